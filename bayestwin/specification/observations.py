"""Observations: which model output is measured, in which unit, with which residual error and limits.

Error models (f prediction, y datum, all SDs, never variances):
    LogNormalError   ln y = ln f + sd * e            with `low`: ... + sqrt(sd^2 + (low / (low + f))^2) * e
    Additive         y = f + sd * e
    Proportional     y = f + cv * f * e
    Combined         y = f + sqrt(sd^2 + (cv f)^2) * e
with e standard normal, or Student-t with `nu` degrees of freedom where `nu` is given (scale, not SD).

With `serial` a further, serially correlated departure is added on the error scale (ln for log-normal errors):
    loading(f) x(t),   x(t) ~ Normal(0, sd^2),   corr(x(s), x(t)) = exp(-|s - t| / time)
what the mechanism does not say and what the next lab shares with the last one. loading = 1, with `low` of the serial
correlation (low + f) / (low / 3 + f): up to three times as much where the prediction is low.

With `assay_scale` the residual SD (with `nu` the scale) of a laboratory's or product's labs is that of the others times
a factor; with `assay_bias` they read a factor times what the others read: f times that factor in the equations above.
The factors have priors of their own, or, of every laboratory that the records name, one that they share: sites.py.

What is counted or graded instead of measured has a `distribution` in place of an error: specification/discrete.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayestwin.errors import ModelError
from bayestwin.labs import LabSpec
from bayestwin.specification.discrete import check_distribution
from bayestwin.specification.priors import POSITIVE, holds
from bayestwin.specification.sites import OTHER, Sites

LAYERS = ("registry", "routine", "research")


@dataclass(frozen=True, kw_only=True)
class SerialCorrelation:
    """A stationary Ornstein-Uhlenbeck departure of one output from its prediction; errors must be normal.

    sd : prior of its SD on the error scale; time : prior of its correlation time, in the model's time unit
    low : prior of a level, in the observation's unit, under which the departure grows, to three times `sd` at most;
        log-normal errors only; None: the same at every level
    scaled_by : name of a log-scaled parameter that multiplies the departure, so that patients differ in how far they
        wander (between-patient variability of a residual SD); None: the same for every patient

    Source: Karlsson, Beal and Sheiner (1995), J Pharmacokinet Biopharm 23:651 (AR(1) residuals); Diggle (1988),
    Biometrics 44:959 (serial correlation beside measurement error); Karlsson et al. (1998), J Pharmacokinet Biopharm
    26:207 (residual errors that differ between patients).
    """

    sd: object
    time: object
    low: object | None = None
    scaled_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class LogNormalError:
    """Residual error on the log scale; `sd` prior of the SD of ln y.

    low : prior of a further SD in the observation's unit, for assays whose relative error grows towards their limit,
        by this share to 100 % at most (the two-component error of Rocke and Lorenzato 1995, Technometrics 37:176, on
        the log scale and bounded, so that a prediction far below keeps a likelihood with a slope); None for none
    """

    sd: object
    nu: float | None = None
    low: object | None = None
    serial: SerialCorrelation | None = None


@dataclass(frozen=True, kw_only=True)
class Additive:
    """Constant residual SD in the observation's unit."""

    sd: object
    nu: float | None = None
    serial: SerialCorrelation | None = None


@dataclass(frozen=True, kw_only=True)
class Proportional:
    """Residual SD proportional to the prediction; `cv` prior of the coefficient of variation."""

    cv: object
    nu: float | None = None
    serial: SerialCorrelation | None = None


@dataclass(frozen=True, kw_only=True)
class Combined:
    """Additive and proportional SD, added as variances."""

    sd: object
    cv: object
    nu: float | None = None
    serial: SerialCorrelation | None = None


@dataclass(frozen=True)
class Observation:
    """One output as measured, counted or graded.

    output : name in the model's outputs; plausible : (low, high) in `unit`, outside is refused; of categories their
        ends, which need not be said
    error : of what is measured; distribution : Bernoulli, Ordinal, Poisson or NegativeBinomial of what is not
    lower_limit : usual limit of quantification, used when simulating visits; rows bring their own limits
    findings : words of labs.csv for below and for above the limit that a row gives in `lloq`, ("negative", "positive")
    assay_scale : laboratory or product -> prior of the factor on the residual SD of its labs; every other has factor 1,
        or where there is a level "other" the factor of that. Or `Sites(sd=...)`: a factor for each that a cohort names
    assay_bias : laboratory or product -> prior of the factor by which its labs read higher than the others', likewise
    assay_by : "laboratory" (column `lab` of labs.csv) or "product"
    layer : where such labs are to be had: "registry", "routine" or "research"
    derived_from : outputs of which this one may be no more than a reading (a response category, of M-protein); a lab
        of it says nothing where a lab of one of them lies within `derived_within` time units
    """

    output: str
    unit: str
    error: Any = None
    plausible: tuple[float, float] | Any = None
    lower_limit: float | None = None
    unit_required: bool = True
    positive: bool = True
    label: str = ""
    source: str = ""
    assay_scale: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)
    assay_by: str = field(default="laboratory", repr=False)
    distribution: Any = field(default=None, repr=False)
    layer: str = field(default="routine", repr=False)
    derived_from: tuple[str, ...] = field(default=(), repr=False)
    derived_within: float = field(default=0.0, repr=False)
    assay_bias: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)
    findings: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self):
        if self.layer not in LAYERS:
            raise ModelError(
                "unknown layer",
                subject=f"observation {self.output}",
                value=self.layer,
                allowed=", ".join(LAYERS),
            )
        if self.distribution is not None:
            check_distribution(self)
            if self.plausible is None:
                object.__setattr__(self, "plausible", (self.distribution.values[0], self.distribution.values[-1]))
            return
        if self.plausible is None:
            raise ModelError(
                "plausible is missing", subject=f"observation {self.output}", allowed="(low, high) in `unit`"
            )
        if not self.plausible[0] < self.plausible[1]:
            raise ModelError(
                "no value is plausible",
                subject=f"observation {self.output}",
                value=self.plausible,
                allowed="(low, high) with low below high",
            )
        _check_assays(self)
        _check_findings(self)
        if not isinstance(self.error, (LogNormalError, Additive, Proportional, Combined)):
            raise ModelError(
                "unknown error model",
                subject=f"observation {self.output}",
                value=self.error,
                allowed="LogNormalError, Additive, Proportional or Combined; or a distribution instead",
            )
        if self.error.nu is not None and (self.error.nu != int(self.error.nu) or not 1 <= self.error.nu <= 10):
            raise ModelError(
                "Student-t errors need whole degrees of freedom",
                subject=f"observation {self.output}",
                value=self.error.nu,
                allowed="a whole number from 1 to 10, or None for normal errors",
            )

        serial = self.error.serial
        if serial is not None and not isinstance(serial, SerialCorrelation):
            raise ModelError(
                "serial wants a SerialCorrelation",
                subject=f"observation {self.output}",
                value=serial,
                allowed="SerialCorrelation(sd=..., time=...) or None",
            )
        if serial is not None and self.error.nu is not None:
            raise ModelError(
                "a serially correlated departure is summed out for normal errors only",
                subject=f"observation {self.output}",
                value=f"nu={self.error.nu:g} with serial",
                allowed="nu=None beside serial",
            )
        for name, prior in self.residual_parameters.items() if serial is not None else ():
            if name.startswith("serial_") and not holds(POSITIVE, prior):
                raise ModelError(
                    "a departure needs priors of positive numbers",
                    subject=f"observation {self.output}",
                    place=name,
                    value=prior,
                    allowed=", ".join(kind.__name__ for kind in POSITIVE) + ", all above 0",
                )
        if serial is not None and serial.low is not None and not self.log_scale:
            raise ModelError(
                "a departure that grows towards low values needs log-normal errors",
                subject=f"observation {self.output}",
                value=f"{type(self.error).__name__} with serial low",
                allowed="LogNormalError, or SerialCorrelation without low",
            )

    @property
    def log_scale(self) -> bool:
        """True where errors live on the log scale."""
        return isinstance(self.error, LogNormalError)

    @property
    def discrete(self) -> bool:
        """True for what is counted or graded: values are whole numbers."""
        return self.distribution is not None

    @property
    def residual_parameters(self) -> dict:
        """Names and priors of the residual parameters, for example sigma_add_m_protein."""
        if self.discrete:
            return self.distribution.parameters(self.output)
        short = {"sd": "sigma_log" if self.log_scale else "sigma_add", "cv": "sigma_prop", "low": "sigma_low"}
        priors = {name: getattr(self.error, key, None) for key, name in short.items()}
        serial: SerialCorrelation | None = getattr(self.error, "serial", None)
        if serial is not None:
            priors |= {"serial_sd": serial.sd, "serial_time": serial.time, "serial_low": serial.low}
        for kind in ("assay_scale", "assay_bias"):
            said = getattr(self, kind)
            priors |= {f"{kind}_sd": said.sd} if isinstance(said, Sites) else {}
            priors |= {f"{kind}_{level}": prior for level, prior in said.items()}
        return {f"{name}_{self.output}": prior for name, prior in priors.items() if prior is not None}

    @property
    def assay_levels(self) -> tuple[str, ...]:
        """Laboratories or products that `assay_scale` or `assay_bias` name."""
        return tuple(dict.fromkeys((*self.assay_scale, *self.assay_bias)))

    def assay_level(self, kind: str, level: str) -> str | None:
        """The level of "assay_scale" or "assay_bias" that speaks of a named one: itself, "other", or none."""
        said = getattr(self, kind)
        return level if level in said else OTHER if OTHER in said else None

    def assay_of(self, lab) -> int:
        """Which factors a lab has: 0 for none, else its place in `assay_levels` from 1."""
        levels, level = self.assay_levels, getattr(lab, self.assay_by)
        named = level if level in levels else OTHER if level and OTHER in levels else None
        return 0 if named is None else 1 + levels.index(named)

    @property
    def lab_spec(self) -> LabSpec:
        """What the readers need to know."""
        return LabSpec(
            name=self.output,
            unit=self.unit,
            plausible=self.plausible,
            scale="ln" if self.log_scale else "natural",
            unit_required=self.unit_required and not self.discrete,
            positive=self.positive and not self.discrete,
            label=self.label or self.output,
            assays=self.assay_levels,
            assay_by=self.assay_by,
            words=getattr(self.distribution, "words", {}),
            findings=self.findings,
            whole=self.discrete,
            categories=(self.distribution.values or ()) if self.discrete else (),
        )


def _check_findings(observation) -> None:
    """Raise ModelError for findings that are not two words that differ."""
    found = observation.findings
    fine = isinstance(found, tuple) and all(isinstance(word, str) and word.strip() for word in found)
    if found != () and not (fine and len(found) == 2 and len({word.casefold() for word in found}) == 2):
        raise ModelError(
            "findings are the words for below and for above a limit",
            subject=f"observation {observation.output}",
            value=found,
            allowed='two words that differ, ("negative", "positive"), or ()',
        )


def _check_assays(observation) -> None:
    """Raise ModelError for an assay_scale or assay_bias that cannot be one."""
    said = []
    for kind in ("assay_scale", "assay_bias"):
        levels = getattr(observation, kind)
        pairs = [("sd of Sites", levels.sd)] if isinstance(levels, Sites) else levels.items()
        said += [(kind, *pair) for pair in pairs]
    for kind, level, prior in said:
        if not (isinstance(level, str) and level.strip()) or not holds(POSITIVE, prior):
            raise ModelError(
                f"{kind} wants a prior of a positive factor for each named level",
                subject=f"observation {observation.output}",
                place=f"{kind} {level!r}",
                value=prior,
                allowed="a name, and " + ", ".join(kind.__name__ for kind in POSITIVE) + ", all above 0",
            )
    if observation.assay_by not in ("laboratory", "product"):
        raise ModelError(
            "an assay differs by laboratory or by product",
            subject=f"observation {observation.output}",
            place="assay_by",
            value=observation.assay_by,
            allowed="laboratory or product",
        )
