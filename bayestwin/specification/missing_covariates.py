"""How covariates are distributed among patients, so that one that is not known is integrated over.

A covariate of `Model(covariate_distributions=...)` that a patient's record never says is not put at its reference:

    NormalCovariate      x ~ Normal(mean, sd)                  effects Slope
    LogNormalCovariate   ln x ~ Normal(ln median, sd_log)      effects Power (linear in ln x), Slope
    CategoryCovariate    P(x = level) = share of the level     effects Category
      as_normal          indicators of the levels are normal, with the mean and covariance of the level drawn

Means, SDs and shares are population parameters with priors, learnt from the patients whose value is known, or fixed.
Shares have a Dirichlet prior, written as a chain of Beta priors of one number each: the share of a level among those
that follow it. How a missing value is integrated over: individual/missing.py.

Source: Ibrahim, Chen, Lipsitz and Herring (2005), J Am Stat Assoc 100:332 (missing covariates as part of the model).
"""

from dataclasses import dataclass, field, replace
from math import isclose, prod

from bayestwin.errors import ModelError
from bayestwin.specification.parameters import Category, Power, Slope
from bayestwin.specification.priors import POSITIVE, REAL, Beta, Fixed, holds

MOST_COMBINATIONS = 64  # of levels of all categories that may be missing, each a component of a mixture


@dataclass(frozen=True)
class NormalCovariate:
    """A number that is normal among patients: priors of its mean and SD (`Fixed` where known)."""

    covariate: str
    mean: object
    sd: object

    effects = (Slope,)

    @property
    def sites(self) -> dict[str, object]:
        """Population-level site -> prior: where it is centred, how far it spreads."""
        return {f"mean_{self.covariate}": self.mean, f"sd_{self.covariate}": self.sd}

    def with_priors(self, priors: tuple):
        """The same under other priors, in the order of `sites`."""
        return type(self)(self.covariate, *priors)

    def __str__(self):
        return f"normal, mean {self.mean}, SD {self.sd}"


@dataclass(frozen=True)
class LogNormalCovariate:
    """A positive number whose logarithm is normal among patients: priors of its median and of the SD of ln x."""

    covariate: str
    median: object
    sd_log: object

    effects = (Power, Slope)

    @property
    def sites(self) -> dict[str, object]:
        """Population-level site -> prior: where it is centred, how far it spreads."""
        return {f"median_{self.covariate}": self.median, f"sd_log_{self.covariate}": self.sd_log}

    def with_priors(self, priors: tuple):
        """The same under other priors, in the order of `sites`."""
        return type(self)(self.covariate, *priors)

    def __str__(self):
        return f"log-normal, median {self.median}, SD of ln {self.sd_log}"


@dataclass(frozen=True)
class CategoryCovariate:
    """A category with its levels, all of them.

    shares : of each level, known; None: learnt, with a Dirichlet prior of weights `counts` (None: 1 each)
    as_normal : a missing one is an individual parameter of its own, normal as above. Its effects then have their mean
        and variance among patients and no peaks, and it may act on what does not vary between patients; for effects
        that are small beside what varies, and many categories, of which a mixture would have too many components
    acquired : patients come to have it (a lesion, refractoriness), so that it is missing until it is said; else one
        that is said later holds from the beginning. Only with as_normal
    """

    covariate: str
    levels: tuple[str, ...]
    shares: tuple[float, ...] | None = None
    counts: tuple[float, ...] | None = None
    priors: tuple = ()
    as_normal: bool = field(default=False, repr=False)
    acquired: bool = field(default=False, repr=False)

    effects = (Category,)

    @property
    def sites(self) -> dict[str, object]:
        """Population-level site -> prior: the share of each level but the last among it and those that follow."""
        names = [f"share_{self.covariate}_{level}" for level in self.levels[:-1]]
        if self.priors:
            return dict(zip(names, self.priors))
        if self.shares is not None:
            left = [sum(self.shares[k:]) for k in range(len(names))]
            return {name: Fixed(value=self.shares[k] / left[k]) for k, name in enumerate(names)}
        weights = self.counts or (1.0,) * len(self.levels)
        return {name: Beta(a=weights[k], b=sum(weights[k + 1 :])) for k, name in enumerate(names)}

    def with_priors(self, priors: tuple):
        """The same under other priors, in the order of `sites`."""
        return replace(self, priors=tuple(priors))

    def __str__(self):
        said = "; ".join(f"{name} {prior}" for name, prior in self.sites.items())
        return f"{said}; a missing one normal" if self.as_normal else said


def is_summed_out(model, one) -> bool:
    """True where a missing value leaves psi normal: it acts linearly, only on parameters that vary between patients.

    Else the value itself is a further individual parameter of every patient.
    """
    if isinstance(one, CategoryCovariate):
        return not one.as_normal
    linear = Power if isinstance(one, LogNormalCovariate) else Slope
    acting = [(position, effect) for _, position, effect in model.effects if effect.covariate == one.covariate]
    return all(isinstance(effect, linear) and position in model.varying for position, effect in acting)


def latent_names(one) -> tuple[str, ...]:
    """Individual parameters, standard normal, that say a missing covariate which is not summed out: one of a number,
    one of each level but the first of a category."""
    if isinstance(one, CategoryCovariate) and len(one.levels) > 2:
        return tuple(f"{one.covariate}_{level}_if_missing" for level in one.levels[1:])
    return (f"{one.covariate}_if_missing",)


def mixed(model) -> tuple:
    """Categories whose levels are the components of a mixture where they are missing."""
    return tuple(c for c in model.covariate_distributions if isinstance(c, CategoryCovariate) and not c.as_normal)


def check_distributions(model) -> None:
    """Contradictions of a model's `covariate_distributions`; raises ModelError."""
    named = [one.covariate for one in model.covariate_distributions]
    for one in model.covariate_distributions:
        where = {"subject": f"model {model.name}", "place": f"covariate_distributions, {one.covariate}"}
        if named.count(one.covariate) > 1:
            raise ModelError("a covariate has two distributions", value=one.covariate, allowed="one", **where)
        acting = [(position, effect) for _, position, effect in model.effects if effect.covariate == one.covariate]
        if not acting:
            known = ", ".join(sorted({e.covariate for _, _, e in model.effects})) or "(none)"
            step = "Leave it out; eligibility and rules need no distribution."
            raise ModelError(
                "a covariate that acts on no parameter needs no distribution",
                value=one.covariate,
                allowed=f"one of {known}",
                next_step=step,
                **where,
            )
        for _, effect in acting:
            if not isinstance(effect, one.effects):
                allowed = " or ".join(kind.__name__ for kind in one.effects)
                raise ModelError(
                    f"a {type(one).__name__} cannot have this effect", value=effect, allowed=allowed, **where
                )
        _check_chances(model, one, acting, where)
        if isinstance(one, CategoryCovariate):
            _check_category(model, one, acting, where)
        else:
            _check_number(one, where)
    count = prod(len(one.levels) for one in mixed(model))
    if count > MOST_COMBINATIONS:
        raise ModelError(
            "too many combinations of categories that may be missing",
            subject=f"model {model.name}",
            place="covariate_distributions",
            value=count,
            allowed=f"{MOST_COMBINATIONS} at most, each a component of a mixture",
            next_step="Leave out the categories that are always known, join rare levels, or take as_normal=True.",
        )


def _check_chances(model, one, acting, where) -> None:
    latent = not is_summed_out(model, one)
    chances = {model.parameter_names.index(c.probability) for c in model.response_classes}
    chances |= {
        model.parameter_names.index(c.replaced_by)
        for c in model.response_classes
        if c.replaced_by in model.parameter_names
    }
    named = {n for c in model.response_classes for n in (c.moved_by, c.slope) if n}
    named |= {o.error.serial.scaled_by for o in model.observations if not o.discrete and o.error.serial is not None}
    elsewhere = {k for k, name in enumerate(model.parameter_names) if name in named}  # read without what x adds
    for position, _ in acting:
        if position in chances or (latent and position in elsewhere):
            raise ModelError(
                "a covariate that may be missing cannot act on a response class, on what moves its chance or on what "
                "scales a departure",
                value=model.parameter_names[position],
                allowed="other parameters",
                next_step="Leave the covariate out of `covariate_distributions`, or the effect out of the parameter.",
                **where,
            )


def _check_number(one, where) -> None:
    (centre_name, centre), (spread_name, spread) = one.sites.items()
    kinds = POSITIVE if isinstance(one, LogNormalCovariate) else REAL
    for name, prior, allowed in ((centre_name, centre, kinds), (spread_name, spread, POSITIVE)):
        if not holds(allowed, prior):
            names = ", ".join(kind.__name__ for kind in allowed)
            raise ModelError(f"this prior does not fit {name}", value=prior, allowed=names, **where)


def _check_category(model, one, acting, where) -> None:
    if len(one.levels) < 2 or len(set(one.levels)) < len(one.levels) or not all(isinstance(v, str) for v in one.levels):
        raise ModelError("a category has two levels or more", value=one.levels, allowed="distinct words", **where)
    for position, effect in acting:
        if effect.level not in one.levels:
            raise ModelError(
                "an effect names a level that the distribution does not",
                value=effect.level,
                allowed=", ".join(one.levels),
                next_step="Name all levels, the reference too.",
                **where,
            )
        if effect.unknown:
            raise ModelError(
                "a category that is integrated over where it is missing has a share of its effect there too",
                value=f"unknown = {effect.unknown:g}",
                allowed="a distribution of the covariate, or `unknown` in its effects",
                **where,
            )
        if position not in model.varying and not one.as_normal:
            raise ModelError(
                "a category that may be missing acts on a parameter that is the same for all patients",
                value=model.parameter_names[position],
                allowed="parameters with `between`",
                next_step="Give the parameter a `between`, a small fixed one say, or the category as_normal=True.",
                **where,
            )
    for what, numbers in (("shares", one.shares), ("counts", one.counts)):
        if numbers is None:
            continue
        if len(numbers) != len(one.levels) or not all(n > 0 for n in numbers):
            raise ModelError(
                f"{what} are one positive number per level",
                value=numbers,
                allowed=f"{len(one.levels)} of them",
                **where,
            )
    if one.acquired and not one.as_normal:
        raise ModelError(
            "a category that is acquired would change between the components of a mixture",
            value="acquired=True",
            allowed="acquired together with as_normal=True",
            **where,
        )
    if one.shares is not None and not isclose(sum(one.shares), 1.0, abs_tol=1e-9):
        raise ModelError("shares sum to 1", value=one.shares, allowed="a sum of 1", **where)
