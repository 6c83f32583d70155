"""Prior distributions of a model file, keywords only, on the scale a pharmacometrician reads.

Typical values are Gaussian on the parameter's transformed scale (log, logit, identity), so
`LogNormal(median=2.8, sd_log=0.5)` for a clearance and `LogitNormal(median=0.2, sd_logit=1)` for a
fraction. Standard deviations of between-patient effects and residual errors are half-normal or fixed.
"""

from dataclasses import dataclass

from bayestwin.errors import ModelError


def _positive(value, name, prior):
    if not value > 0:
        raise ModelError(f"{prior} needs a positive {name}", value=value, allowed=f"{name} > 0")


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
    """Correlation of between-patient effects: LKJ(concentration) over the named parameters."""

    over: tuple[str, ...]
    concentration: float = 2.0

    def __str__(self):
        return f"LKJ(concentration {self.concentration:g}) over {', '.join(self.over)}"
