"""Prior distributions of a model file, keywords only, on the scale a pharmacometrician reads.

Typical values are Gaussian on the parameter's transformed scale (log, logit, identity), so
`LogNormal(median=2.8, sd_log=0.5)` for a clearance and `LogitNormal(median=0.2, sd_logit=1)` for a
fraction. Standard deviations of between-patient effects and residual errors are half-normal or fixed.
"""

from dataclasses import dataclass
from math import inf, isfinite

from bayestwin.errors import ModelError


def _positive(value, name, prior):
    if not 0 < value < inf:
        raise ModelError(f"{prior} needs a positive {name}", value=value, allowed=f"{name} > 0 and finite")


def _finite(value, name, prior):
    if not isfinite(value):
        raise ModelError(f"{prior} needs a finite {name}", value=value, allowed="a number")


@dataclass(frozen=True, kw_only=True)
class LogNormal:
    """ln x ~ Normal(ln median, sd_log); for positive parameters (scale "log") and residual SDs."""

    median: float
    sd_log: float

    def __post_init__(self):
        _positive(self.median, "median", "LogNormal")
        _positive(self.sd_log, "sd_log", "LogNormal")

    def __str__(self):
        return f"LogNormal(median {self.median:g}, SD of ln {self.sd_log:g})"


@dataclass(frozen=True, kw_only=True)
class LogitNormal:
    """logit x ~ Normal(logit median, sd_logit); for fractions (scale "logit")."""

    median: float
    sd_logit: float

    def __post_init__(self):
        _positive(self.sd_logit, "sd_logit", "LogitNormal")
        if not 0 < self.median < 1:
            raise ModelError("LogitNormal needs a median between 0 and 1", value=self.median, allowed="0 < median < 1")

    def __str__(self):
        return f"LogitNormal(median {self.median:.3g}, SD of logit {self.sd_logit:g})"


@dataclass(frozen=True, kw_only=True)
class Normal:
    """x ~ Normal(mean, sd); for parameters on the identity scale and covariate slopes."""

    mean: float
    sd: float

    def __post_init__(self):
        _finite(self.mean, "mean", "Normal")
        _positive(self.sd, "sd", "Normal")

    def __str__(self):
        return f"Normal(mean {self.mean:g}, SD {self.sd:g})"


@dataclass(frozen=True, kw_only=True)
class HalfNormal:
    """x ~ |Normal(0, sd)|; for standard deviations."""

    sd: float

    def __post_init__(self):
        _positive(self.sd, "sd", "HalfNormal")

    def __str__(self):
        return f"HalfNormal(SD {self.sd:g})"


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A number taken as known."""

    value: float

    def __str__(self):
        return f"fixed at {self.value:g}"


@dataclass(frozen=True, kw_only=True)
class LKJ:
    """Correlation of between-patient effects: LKJ(concentration) over the named parameters.

    `Model(correlation=...)` takes one, over all parameters (a full covariance) or some, or a tuple of several that
    share no parameter (blocks); without it the covariance is diagonal. `Occasions(correlation=...)` takes one.
    """

    over: tuple[str, ...]
    concentration: float = 2.0

    def __str__(self):
        return f"LKJ(concentration {self.concentration:g}) over {', '.join(self.over)}"


@dataclass(frozen=True, kw_only=True)
class HalfCauchy:
    """x ~ |Cauchy(0, scale)|; for positive parameters and standard deviations."""

    scale: float

    def __post_init__(self):
        _positive(self.scale, "scale", "HalfCauchy")

    def __str__(self):
        return f"HalfCauchy(scale {self.scale:g})"


@dataclass(frozen=True, kw_only=True)
class Exponential:
    """x ~ Exponential(rate), mean 1 / rate."""

    rate: float

    def __post_init__(self):
        _positive(self.rate, "rate", "Exponential")

    def __str__(self):
        return f"Exponential(rate {self.rate:g})"


@dataclass(frozen=True, kw_only=True)
class Gamma:
    """x ~ Gamma(shape, rate), mean shape / rate."""

    shape: float
    rate: float

    def __post_init__(self):
        _positive(self.shape, "shape", "Gamma")
        _positive(self.rate, "rate", "Gamma")

    def __str__(self):
        return f"Gamma(shape {self.shape:g}, rate {self.rate:g})"


@dataclass(frozen=True, kw_only=True)
class InverseGamma:
    """1 / x ~ Gamma(shape, rate = scale)."""

    shape: float
    scale: float

    def __post_init__(self):
        _positive(self.shape, "shape", "InverseGamma")
        _positive(self.scale, "scale", "InverseGamma")

    def __str__(self):
        return f"InverseGamma(shape {self.shape:g}, scale {self.scale:g})"


@dataclass(frozen=True, kw_only=True)
class TruncatedNormal:
    """x ~ Normal(mean, sd) cut off below 0: what Stan programs write as a normal with `lower=0`."""

    mean: float
    sd: float

    def __post_init__(self):
        _positive(self.sd, "sd", "TruncatedNormal")

    def __str__(self):
        return f"TruncatedNormal(mean {self.mean:g}, SD {self.sd:g}, above 0)"


@dataclass(frozen=True, kw_only=True)
class Beta:
    """x ~ Beta(a, b); for fractions."""

    a: float
    b: float

    def __post_init__(self):
        _positive(self.a, "a", "Beta")
        _positive(self.b, "b", "Beta")

    def __str__(self):
        return f"Beta({self.a:g}, {self.b:g})"


@dataclass(frozen=True, kw_only=True)
class StudentT:
    """x ~ Student-t(df, location, scale); for parameters on the identity scale and covariate slopes."""

    df: float
    location: float
    scale: float

    def __post_init__(self):
        _positive(self.df, "df", "StudentT")
        _positive(self.scale, "scale", "StudentT")

    def __str__(self):
        return f"StudentT({self.df:g} df, location {self.location:g}, scale {self.scale:g})"


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """x ~ Uniform(low, high); on any scale that holds the whole interval."""

    low: float
    high: float

    def __post_init__(self):
        if not self.low < self.high:
            value = f"{self.low:g} to {self.high:g}"
            raise ModelError("Uniform needs low below high", value=value, allowed="low < high")

    def __str__(self):
        return f"Uniform({self.low:g} to {self.high:g})"


# what a prior may stand for: any number, a positive one, a fraction
REAL = (Normal, StudentT, Uniform, Fixed)
POSITIVE = (LogNormal, HalfNormal, HalfCauchy, Exponential, Gamma, InverseGamma, TruncatedNormal, Uniform, Fixed)
FRACTION = (LogitNormal, Beta, Uniform, Fixed)
FAMILIES = {kind.__name__: kind for kind in dict.fromkeys((*REAL, *POSITIVE, *FRACTION))}


def holds(kinds: tuple, prior) -> bool:
    """True where a prior may stand for a number of this sort (REAL, POSITIVE, FRACTION)."""
    if not isinstance(prior, kinds):
        return False
    low, high = {POSITIVE: (0.0, float("inf")), FRACTION: (0.0, 1.0)}.get(kinds, (float("-inf"), float("inf")))
    if isinstance(prior, Uniform):
        return prior.low >= low and prior.high <= high
    return not isinstance(prior, Fixed) or low < prior.value < high or kinds is REAL
