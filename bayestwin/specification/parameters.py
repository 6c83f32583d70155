"""Parameters of a model: typical value, between-patient variability, covariate effects, slow drift.

Individual parameter psi on the transformed scale h (log, logit or identity):

    h(psi_i) = h(typical) + sum of covariate effects + eta_i,     eta ~ Normal(0, Omega)

omega is the SD of eta on the transformed scale. A parameter without `between` is typical-only: the
same for every patient, known up to the population posterior.
"""

from dataclasses import dataclass, field
from math import inf, log1p, sqrt

from bayestwin.errors import ModelError
from bayestwin.specification.priors import FRACTION, POSITIVE, REAL, Fixed, holds

SCALES: dict[str, tuple[type, ...]] = {"log": POSITIVE, "logit": FRACTION, "identity": REAL}


def omega_from_cv(percent: float) -> float:
    """omega of a log-normal parameter from its published coefficient of variation: omega^2 = ln(1 + CV^2).

    Papers that print 100 omega as "CV" need no conversion: give percent / 100.
    """
    return sqrt(log1p((percent / 100.0) ** 2))


@dataclass(frozen=True)
class Power:
    """(covariate / reference) ** exponent on the natural scale of a log-scaled parameter."""

    covariate: str
    reference: float
    exponent: object

    def __str__(self):
        return f"* ({self.covariate} / {self.reference:g}) ** exponent, exponent {self.exponent}"


@dataclass(frozen=True)
class Slope:
    """slope * (covariate - reference) added on the transformed scale."""

    covariate: str
    reference: float
    slope: object

    def __str__(self):
        return f"+ slope * ({self.covariate} - {self.reference:g}) on the transformed scale, slope {self.slope}"


@dataclass(frozen=True)
class Category:
    """A shift on the transformed scale for patients whose covariate equals `level`.

    unknown : share of it that a patient of whom nothing says the covariate has, 0 (the reference) to 1: the share of
        patients with the level. How the level varies among them is then left out (missing_covariates.py has it in)
    """

    covariate: str
    level: str
    shift: object
    unknown: float = 0.0

    def __post_init__(self):
        if not 0.0 <= self.unknown <= 1.0:
            raise ModelError(
                "the share of an effect on patients whose covariate is not known is none",
                subject=f"effect of {self.covariate} = {self.level}",
                place="unknown",
                value=self.unknown,
                allowed="0 to 1",
            )

    def __str__(self):
        partly = f", {self.unknown:g} of it if not known" if self.unknown else ""
        return f"+ shift if {self.covariate} = {self.level}{partly}, shift {self.shift}"


@dataclass(frozen=True)
class Parameter:
    """One parameter; see the module text.

    name, unit : as printed
    scale : "log", "logit" or "identity"
    typical : prior of the typical value (natural scale)
    between : prior of omega, the between-patient SD on the transformed scale, or None (typical-only)
    covariates : effects; a patient lacking the covariate stands at its reference, or as `Category(unknown=)` says
    treatment : name of the treatment this parameter belongs to; without it the labs say nothing
    source, mark : where the number comes from; mark as in domain notes ("verified", "derived", "assumed", "memory")
    """

    name: str
    unit: str
    scale: str
    typical: object
    between: object | None = None
    covariates: tuple = ()
    treatment: str = ""
    source: str = ""
    mark: str = ""

    def __post_init__(self):
        if self.scale not in SCALES:
            raise ModelError(
                "unknown scale", subject=f"parameter {self.name}", value=self.scale, allowed="log, logit or identity"
            )
        if not isinstance(self.typical, Fixed) and not holds(SCALES[self.scale], self.typical):
            kinds = " or ".join(k.__name__ for k in SCALES[self.scale])
            raise ModelError(
                f"the typical value's prior does not fit scale {self.scale}",
                subject=f"parameter {self.name}",
                value=self.typical,
                allowed=kinds,
            )
        if isinstance(self.typical, Fixed) and not {
            "log": self.typical.value > 0,
            "logit": 0 < self.typical.value < 1,
        }.get(self.scale, True):
            raise ModelError(
                f"a fixed typical value must lie inside scale {self.scale}",
                subject=f"parameter {self.name}",
                value=self.typical.value,
                allowed="a positive number" if self.scale == "log" else "a number between 0 and 1",
            )
        if isinstance(self.between, Fixed) and not self.between.value > 0:
            raise ModelError(
                "a fixed between-patient SD must be positive",
                subject=f"parameter {self.name}",
                value=self.between.value,
                allowed="a positive number, or between=None for a parameter that is the same for all",
            )
        for effect in self.covariates:
            if isinstance(effect, Power) and not 0 < effect.reference < inf:
                raise ModelError(
                    f"the reference of a Power effect of {effect.covariate} has no logarithm",
                    subject=f"parameter {self.name}",
                    value=effect.reference,
                    allowed="a number more than 0",
                )
            if isinstance(effect, Power) and self.scale != "log":
                raise ModelError(
                    "a Power effect belongs to a parameter on the log scale",
                    subject=f"parameter {self.name}",
                    value=self.scale,
                    allowed="scale log, or a Slope effect",
                )
        if self.between is not None and not holds(POSITIVE, self.between):
            raise ModelError(
                "between-patient SD needs a prior for a positive number",
                subject=f"parameter {self.name}",
                value=self.between,
                allowed=", ".join(kind.__name__ for kind in POSITIVE) + ", all above 0",
            )


@dataclass(frozen=True)
class Drift:
    """Slow change of a parameter: one Gaussian step of SD `sd` on the transformed scale every `every` time units.

    The steps are further individual parameters (one target, any order of arrival); after `steps` intervals the
    value stays. Between two knots the parameter is constant.
    """

    parameter: str
    every: float
    steps: int
    sd: object
    source: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the step parameters, for example g_step_1."""
        return tuple(f"{self.parameter}_step_{k + 1}" for k in range(self.steps))


@dataclass(frozen=True)
class ResponseClass:
    """A non-responder class of one treatment: with `probability`, `parameter` is replaced by `value`'s parameter.

    The class is never sampled: both classes stay alive in every particle and in the population fit, and the
    likelihood is their probability-weighted sum.

    moved_by, slope : an individual parameter, and a parameter times which it is added to the logit of the probability
        (a latent fitness that makes a response more likely); neither, or both
    without : a parameter of scale "identity" that the model adds to `parameter` on its transformed scale, and not to
        what replaces it: that stands for itself
    """

    treatment: str
    parameter: str
    replaced_by: str
    probability: str
    moved_by: str = ""
    slope: str = ""
    without: str = field(default="", repr=False)


@dataclass(frozen=True)
class ResponseCorrelation:
    """How the response to one treatment speaks of another: a declared prior, not an estimate.

    A standard normal frailty c is shared: corr(eta_a, eta_b) = rho for the named parameters of two treatments,
    and the class probability is Phi((Phi^-1(p) + sqrt(rho) c) / sqrt(1 - rho)) (one-factor Gaussian copula).
    Pairs within one group of `alike` (treatments of one target, say) have rho' = 1 - (1 - rho)^closeness >= rho
    instead, 0 where rho is 0; their class probabilities are tied by c alone. `of` says the correlation of a pair.
    """

    parameters: tuple[str, ...]
    rho: float = 0.5
    shown: tuple[float, ...] = (0.0, 0.5, 0.9)
    frailty: str = "frailty"
    alike: tuple[tuple[str, ...], ...] = ()
    closeness: float = 1.5

    def of(self, a: str, b: str, rho: float) -> float:
        """Correlation of the responses of two parameters under a common rho."""
        close = any(a in group and b in group for group in self.alike)
        return 1.0 if a == b else 1.0 - (1.0 - rho) ** self.closeness if close else rho

    def __post_init__(self):
        if not self.closeness >= 1.0:
            raise ModelError("treatments that are alike are no less alike", value=self.closeness, allowed="1 or more")
        named = [name for group in self.alike for name in group]
        for name in named:
            if name not in self.parameters or named.count(name) > 1:
                raise ModelError(
                    "a group of treatments that are alike",
                    place="response correlation, alike",
                    value=name,
                    allowed="parameters of the response correlation, each in one group at most",
                )
        for value in (self.rho, *self.shown):
            if not 0 <= value < 1:
                raise ModelError("a response correlation lies in [0, 1)", value=value, allowed="0 <= rho < 1")


@dataclass(frozen=True)
class Linear:
    """The vector field is linear in the states (a constant part is allowed) and changes only at events.

    Every interval is then solved exactly, by the matrix exponential, however stiff it is; a vector field that turns
    out not to be linear counts as failed. Not for models with hazards, whose integrals are not linear.
    """

    def __str__(self):
        return "exact, by matrix exponential"


@dataclass(frozen=True)
class Adaptive:
    """The adaptive solver, also where the vector field is linear and would be solved exactly without a word."""

    def __str__(self):
        return "adaptive"


@dataclass(frozen=True)
class Steps:
    """A fixed integration grid instead of an adaptive solver, for models solved for thousands of particles.

    A step is at most first + (growth - 1) * (time since the last dose or treatment start), and never over `largest`.
    A solution in which one step's embedded error estimate is above the tolerance counts as failed.
    """

    first: float
    growth: float
    largest: float

    def finer(self, times: int) -> "Steps":
        """The grid with steps so many times shorter."""
        return Steps(self.first / times, 1.0 + (self.growth - 1.0) / times, self.largest / times)

    def __post_init__(self):
        if not (0 < self.first <= self.largest and self.growth >= 1):
            raise ModelError(
                "a step grid starts with a positive step and grows to its largest",
                value=self,
                allowed="0 < first <= largest, growth >= 1",
            )
