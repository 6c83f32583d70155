"""A model as a part of another: the drug whose kinetics a disease model needs, defined once, in its own folder.

    dara = part_of("daratumumab", prefix="dara_", treatment="dara_pd")

    def vector_field(t, y, p, u):
        C = dara.outputs["dara_concentration"](t, y, p, u)
        return {**dara.vector_field(t, y, p, u), "ln_burden": p.g - p.kill * C / (p.EC50 + C)}

    model = Model(
        states=(*dara.states, "ln_burden"), parameters=(*dara.parameters, Parameter("g", ...), ...),
        routes=dara.routes, dosing=dara.dosing, outputs={**dara.outputs, ...}, ...
    )

Every name of the part (states, parameters, outputs, routes) gets the prefix, so that two drugs do not collide;
covariates are the patient's and keep theirs. What the part calls t is the time since its treatment started last, where
one is named: a clearance that wanes begins to do so then. The hash of a model covers the parts that it names in plain
text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bayestwin.errors import ModelError
from bayestwin.specification.dose_parameters import Dosing
from bayestwin.specification.load import load_model
from bayestwin.specification.parameters import Parameter


@dataclass(frozen=True)
class Part:
    """What a composed model takes from another; every name prefixed."""

    states: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    initial_state: Callable
    vector_field: Callable
    outputs: Mapping[str, Callable]
    observations: tuple
    routes: Mapping[str, str]
    dosing: tuple[Dosing, ...]
    covariate_units: Mapping[str, str]
    covariate_distributions: tuple


class _Unprefixed:
    """Names read without their prefix, as the part's own functions write them."""

    def __init__(self, names, prefix: str):
        self._names, self._prefix = names, prefix

    def __getattr__(self, name: str):
        return getattr(self._names, self._prefix + name)


def part_of(name_or_path, *, prefix: str = "", treatment: str = "") -> Part:
    """The kinetics of a model, ready to be a part of another.

    prefix : put before every name of the part
    treatment : of the composed model, whose start begins the part's time and to which its parameters belong; without it
        the part's time is the patient's

    Raises
    ------
    ModelError      the part has what cannot be composed: hazards, drift, jumps at a treatment, classes of response
    """
    model = load_model(name_or_path)
    _composable(model)

    def clock(t, u):
        return u.since(treatment) if treatment else t

    def named(values: dict) -> dict:
        return {prefix + key: value for key, value in values.items()}

    def output_of(function):
        return lambda t, y, p, u: function(clock(t, u), _Unprefixed(y, prefix), _Unprefixed(p, prefix), u)

    def initial_state(p):
        return named(model.initial_state(_Unprefixed(p, prefix)))

    def vector_field(t, y, p, u):
        return named(model.vector_field(clock(t, u), _Unprefixed(y, prefix), _Unprefixed(p, prefix), u))

    return Part(
        states=tuple(prefix + state for state in model.states),
        parameters=tuple(replace(p, name=prefix + p.name, treatment=treatment) for p in model.parameters),
        initial_state=initial_state,
        vector_field=vector_field,
        outputs=named({name: output_of(function) for name, function in model.outputs.items()}),
        observations=tuple(replace(o, output=prefix + o.output) for o in model.observations),
        routes={prefix + route: prefix + state for route, state in model.routes.items()},
        dosing=tuple(_prefixed(one, prefix) for one in model.dosing),
        covariate_units=dict(model.covariate_units),
        covariate_distributions=model.covariate_distributions,
    )


def _prefixed(dosing: Dosing, prefix: str) -> Dosing:
    return replace(dosing, into=prefix + dosing.into, **{k: prefix + name for k, name in dosing.named.items()})


def _composable(model) -> None:
    """Refuse a model that says more than the course of a drug."""
    for what in ("hazards", "drift", "at_treatment", "response_classes", "response_correlation", "endpoints", "serial"):
        if getattr(model, what):
            raise ModelError(
                f"a model with {what} cannot be a part of another",
                subject=f"model {model.name}",
                place="part_of",
                value=what,
                allowed="states, parameters, outputs, observations, routes and dosing",
                next_step="Write what the disease needs in its own model, and take the drug from a model without it.",
            )
