"""The model language: one `Model` holds everything a modeller has to say about a disease.

Functions of a model file (t in the model's time unit; y states, p parameters, u what is being done):

    initial_state(p)            -> {state: value}          at the patient's time zero
    vector_field(t, y, p, u)    -> {state: derivative}
    at_treatment(y, p, u)       -> {state: value}          optional; jump when a treatment starts
    outputs[name](t, y, p, u)   -> value in the observation's unit
    hazards[name](t, y, p, u)   -> events per time unit; integrated along with the states

y and p are read by name (y.central, p.CL). u.on("dara_pd") is 1 while that treatment is the current one,
u.since("ide_cel") the time since its start (negative before). Drift is already applied to p.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bayestwin.errors import ModelError
from bayestwin.labs import OCCASION, RecordSchema
from bayestwin.specification.check_model import check_model
from bayestwin.specification.correlation import Block, blocks_of
from bayestwin.specification.dose_parameters import Dosing
from bayestwin.specification.function_hash import source_text, values_read
from bayestwin.specification.missing_covariates import CategoryCovariate, is_summed_out, latent_names
from bayestwin.specification.occasions import Occasions
from bayestwin.specification.parameters import (
    Adaptive,
    Category,
    Drift,
    Linear,
    Parameter,
    Power,
    ResponseClass,
    ResponseCorrelation,
    Steps,
)
from bayestwin.specification.priors import LKJ
from bayestwin.specification.sites import Sites, sites_as_text, sites_of


@dataclass(frozen=True, eq=False)
class Model:
    """A disease or drug model; see the module text and models/ for whole examples."""

    name: str
    time_unit: str
    states: tuple[str, ...]
    initial_state: Callable
    vector_field: Callable
    parameters: tuple[Parameter, ...]
    outputs: Mapping[str, Callable]
    observations: tuple
    label: str = ""
    routes: Mapping[str, str] = field(default_factory=dict)
    dose_unit: str = ""
    dosing: tuple[Dosing, ...] = ()
    at_treatment: Callable | None = None
    hazards: Mapping[str, Callable] = field(default_factory=dict)
    correlation: LKJ | tuple[LKJ, ...] | None = None
    drift: tuple[Drift, ...] = ()
    occasions: Occasions | None = None
    covariate_distributions: tuple = ()
    steps: Steps | Linear | Adaptive | None = None
    response_classes: tuple[ResponseClass, ...] = ()
    response_correlation: ResponseCorrelation | None = None
    treatments: tuple = ()
    endpoints: tuple = ()
    covariate_units: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    context_of_use: str = ""
    source_hash: str = ""
    folder: str = ""

    def __post_init__(self):
        check_model(self)

    @cached_property
    def hash(self) -> str:
        """Hash of the source; two models are equal when their hashes are."""
        if self.source_hash:
            return self.source_hash
        functions = {
            "initial_state": self.initial_state,
            "vector_field": self.vector_field,
            "at_treatment": self.at_treatment,
            **{f"outputs, {name}": function for name, function in self.outputs.items()},
            **{f"hazards, {name}": function for name, function in self.hazards.items()},
            **{f"treatment {t.name}, never_starts": t.never_starts for t in self.treatments},
        }
        functions = {name: function for name, function in functions.items() if function is not None}
        code = "".join(source_text(function) for function in functions.values()) + values_read(functions, self.name)
        body = repr(
            (
                self.name,
                self.time_unit,
                self.states,
                self.parameters,
                self.observations,
                self.routes,
                self.drift,
                self.response_classes,
                self.response_correlation,
                self.treatments,
                self.endpoints,
                self.correlation,
                self.steps,
                tuple(self.outputs),
                tuple(self.hazards),
                *((self.dosing,) if self.dosing else ()),
                *((self.occasions,) if self.occasions else ()),
                *((self.occasions.correlation,) if self.occasions and self.occasions.correlation else ()),
                *((self.covariate_distributions,) if self.covariate_distributions else ()),
                *((c.covariate, "as_normal") for c in self.covariate_distributions if getattr(c, "as_normal", False)),
                *((name, "acquired") for name in self.acquired),
                *((c.treatment, "without", c.without) for c in self.response_classes if c.without),
                *((o.output, o.assay_by, _said(o.assay_scale)) for o in self.observations if o.assay_scale),
                *((o.output, o.distribution) for o in self.observations if o.discrete),
                *((o.output, o.assay_by, "bias", _said(o.assay_bias)) for o in self.observations if o.assay_bias),
                *((o.output, o.derived_from, o.derived_within) for o in self.observations if o.derived_from),
                *((o.output, "findings", o.findings) for o in self.observations if o.findings),
                *((t.name, "pause") for t in self.treatments if t.pause),
                *(("dose_unit", self.dose_unit) if self.dose_unit else ()),
                *(("covariate_units", dict(self.covariate_units)) if self.covariate_units else ()),
            )
        )
        body = re.sub(r" at 0x[0-9a-f]+", "", body)  # where a function lies in memory; what it is stands in `code`
        return hashlib.sha256((code + body).encode()).hexdigest()

    def __eq__(self, other):
        return isinstance(other, Model) and self.hash == other.hash and self.sites == other.sites

    def __hash__(self):
        return hash((self.hash, self.sites))

    def __reduce__(self):
        from bayestwin.specification.load import model_from_source, source_of

        if not self.folder:
            raise ModelError(
                "only a model loaded from a folder can be pickled",
                subject=f"model {self.name}",
                next_step="Save the model as a folder with model.py and load it with load_model(path).",
            )
        return model_from_source, (source_of(self), self.hash, None, sites_as_text(self))

    def __str__(self):
        from bayestwin.specification.show import describe

        return describe(self)

    def __repr__(self):
        return f"<Model {self.name} ({self.hash[:8]}): {len(self.states)} states, {len(self.parameters)} parameters>"

    # names and indices -------------------------------------------------------------------------------------

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """All parameters, Q, in file order."""
        return tuple(p.name for p in self.parameters)

    @cached_property
    def varying(self) -> tuple[int, ...]:
        """Positions in `parameters` of those that vary between patients."""
        return tuple(i for i, p in enumerate(self.parameters) if p.between is not None)

    @cached_property
    def individual_names(self) -> tuple[str, ...]:
        """Individual parameters, D: varying parameters, then frailty, drift steps, latent covariates (standard normal)
        and effects of occasions."""
        names = [self.parameters[i].name for i in self.varying]
        if self.response_correlation is not None:
            names.append(self.response_correlation.frailty)
        for drift in self.drift:
            names.extend(drift.names)
        names.extend(name for own in self.latent_covariates.values() for name in own)
        return (*names, *(self.occasions.names if self.occasions else ()))

    @cached_property
    def correlation_blocks(self) -> tuple[Block, ...]:
        """Which individual parameters each LKJ prior is over."""
        return blocks_of(self)

    @cached_property
    def effects(self) -> tuple[tuple[str, int, Any], ...]:
        """Covariate effects, F: (name, position in `parameters`, effect)."""
        found = []
        for i, parameter in enumerate(self.parameters):
            for effect in parameter.covariates:
                level = f"_{effect.level}" if isinstance(effect, Category) else ""
                found.append((f"beta_{parameter.name}_{effect.covariate}{level}", i, effect))
        return tuple(found)

    @cached_property
    def acting_covariates(self) -> tuple[str, ...]:
        """Covariates that act on a parameter, each once, and the occasion; what is said of them in time counts."""
        names = dict.fromkeys(effect.covariate for _, _, effect in self.effects)
        return (*names, OCCASION) if self.occasions else tuple(names)

    @cached_property
    def latent_covariates(self) -> dict[str, tuple[str, ...]]:
        """Covariates whose missing value is not summed out -> the individual parameters that say it."""
        return {c.covariate: latent_names(c) for c in self.covariate_distributions if not is_summed_out(self, c)}

    @cached_property
    def acquired(self) -> tuple[str, ...]:
        """Covariates with a distribution that patients come to have: what is said of one says nothing of before."""
        return tuple(c.covariate for c in self.covariate_distributions if getattr(c, "acquired", False))

    @cached_property
    def occasional(self) -> tuple[int, ...]:
        """Positions in `parameters` of those that vary between occasions."""
        return tuple(self.parameter_names.index(name) for name in self.occasions.sd) if self.occasions else ()

    @cached_property
    def residual_parameters(self) -> dict:
        """Residual SDs and CVs, R: name -> prior."""
        found = {}
        for observation in self.observations:
            found.update(observation.residual_parameters)
        return found

    @cached_property
    def serial(self) -> tuple[int, ...]:
        """Positions in `observations` of those with a serially correlated departure, W."""
        return tuple(k for k, o in enumerate(self.observations) if not o.discrete and o.error.serial is not None)

    @cached_property
    def discrete(self) -> tuple[int, ...]:
        """Positions in `observations` of those that are counted or graded."""
        return tuple(k for k, o in enumerate(self.observations) if o.discrete)

    @cached_property
    def tells_assays_apart(self) -> bool:
        """True where the residual error or the level of an output differs between laboratories or products."""
        return any(o.assay_levels for o in self.observations)

    @cached_property
    def sites(self) -> tuple:
        """(kind, output, names) of the laboratories and products that a cohort named, see `Sites`."""
        return tuple((*key, said.levels) for key, said in sites_of(self).items())

    @cached_property
    def treatment_names(self) -> tuple[str, ...]:
        """Names of the treatments, X, in file order."""
        return tuple(t.name for t in self.treatments)

    @property
    def offered(self) -> tuple[str, ...]:
        """Names of the treatments that are forecast where nobody names any."""
        return tuple(t.name for t in self.treatments if not t.by_request)

    @cached_property
    def dosing_of(self) -> dict[int, Dosing]:
        """Position of a state -> what parameters say of doses into it."""
        return {self.states.index(self.routes.get(one.into, one.into)): one for one in self.dosing}

    @cached_property
    def hazard_names(self) -> tuple[str, ...]:
        """Names of the hazards in order; their integrals follow the states."""
        return tuple(self.hazards)

    @cached_property
    def observation_index(self) -> dict[str, int]:
        """Output name -> position in `observations`."""
        return {o.output: k for k, o in enumerate(self.observations)}

    @property
    def progression(self):
        """The progression endpoint, or None."""
        return next((e for e in self.endpoints if hasattr(e, "rules")), None)

    def treatment(self, name: str):
        """The treatment of that name."""
        for treatment in self.treatments:
            if treatment.name == name:
                return treatment
        raise ModelError(
            "unknown treatment",
            subject=f"model {self.name}",
            value=name,
            allowed=f"one of {', '.join(self.treatment_names) or '(none)'}",
        )

    def record_schema(self) -> RecordSchema:
        """What the readers may accept for this model."""
        covariates = {e.covariate: "" for _, _, e in self.effects}
        eligibility = tuple(dict.fromkeys(rule.covariate for t in self.treatments for rule in t.eligibility))
        covariates.update(dict.fromkeys(eligibility, ""))
        covariates.update(self.covariate_units)
        covariates.update({OCCASION: ""} if self.occasions else {})
        return RecordSchema(
            model=self.name,
            time_unit=self.time_unit,
            labs={o.output: o.lab_spec for o in self.observations},
            compartments=self.states,
            routes=dict(self.routes),
            dose_unit=self.dose_unit,
            treatments=self.treatment_names,
            infused=tuple(t.name for t in self.treatments if t.starts_with == "infusion"),
            covariates=covariates,
            levels=self._covariate_levels(),
            all_levels=tuple(c.covariate for c in self.covariate_distributions if isinstance(c, CategoryCovariate)),
            numeric=self._numeric_covariates(),
            positive=tuple(dict.fromkeys(e.covariate for _, _, e in self.effects if isinstance(e, Power))),
            effects=self.acting_covariates,
            eligibility=eligibility,
            distributed=tuple(one.covariate for one in self.covariate_distributions),
            acquired=self.acquired,
            averaged=tuple(dict.fromkeys(e.covariate for _, _, e in self.effects if getattr(e, "unknown", 0.0))),
            occasions=self.occasions.most if self.occasions else 0,
            modelled={self.states[state]: tuple(one.named) for state, one in self.dosing_of.items()},
            dosed_per={t.name: t.regimen.per for t in self.treatments if t.starts_with == "dose" and t.regimen.per},
        )

    def _covariate_levels(self) -> dict[str, tuple[str, ...]]:
        """Levels of categorical covariates that an effect, a progression rule or an eligibility rule names."""
        named: list = [
            (c.covariate, v) for c in self.covariate_distributions if isinstance(c, CategoryCovariate) for v in c.levels
        ]
        named += [(e.covariate, e.level) for _, _, e in self.effects if isinstance(e, Category)]
        named += [rule.when for e in self.endpoints for rule in getattr(e, "rules", ()) if rule.when is not None]
        named += [(r.covariate, r.equals) for t in self.treatments for r in t.eligibility if r.equals is not None]
        named += [pair for t in self.treatments for pair in t.sets]
        found: dict[str, tuple[str, ...]] = {}
        for name, value in named:
            level = f"{value:g}" if isinstance(value, int | float) else str(value)
            if level not in found.setdefault(name, ()):
                found[name] += (level,)
        return found

    def _numeric_covariates(self) -> tuple[str, ...]:
        """Covariates that effects and ranges of eligibility calculate with."""
        names = [e.covariate for _, _, e in self.effects if not isinstance(e, Category)]
        names += [r.covariate for t in self.treatments for r in t.eligibility if r.equals is None]
        return tuple(dict.fromkeys(names))


def _said(factors):
    """What a model file says of laboratories; which of them a cohort named is no part of it."""
    return factors if isinstance(factors, Sites) else dict(factors)
