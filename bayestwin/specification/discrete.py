"""Observations that are not measured but counted or graded: yes or no, categories in order, counts.

eta, mu : what the model's output says (of counts mu > 0); y : the datum

    Bernoulli            logit P(y = 1) = eta
    Ordinal              logit P(y <= category j) = cut_j - eta         the larger eta, the higher the category
                         cut_1 < cut_2 < ... : the first cut point, then steps above 0
    Poisson              y ~ Poisson(mu)                                variance mu
    NegativeBinomial     y ~ NegativeBinomial(mean mu)                  variance mu + overdispersion mu^2

Cut points and overdispersion are population-level, each with a prior of its own. Where eta has an intercept of its own
(a typical value), the first cut point says the same twice: fix one of the two.

Sources: McCullagh (1980), J R Stat Soc B 42:109 (proportional odds; the cut points as first and steps as in Monolix);
Lawless (1987), Can J Stat 15:209 (negative binomial by mean and overdispersion).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bayestwin.errors import ModelError
from bayestwin.specification.priors import POSITIVE, REAL, holds


@dataclass(frozen=True)
class Bernoulli:
    """Yes (1) or no (0); the output is the log-odds of yes."""

    @property
    def values(self) -> tuple[int, ...]:
        """What the datum may be."""
        return (0, 1)

    def parameters(self, output: str) -> dict:
        """Names and priors of the population-level parameters."""
        return {}

    def with_parameters(self, priors: tuple):
        """The same under other priors, in the order of `parameters`."""
        return self


@dataclass(frozen=True)
class Poisson:
    """A count; the output is its mean."""

    values = None

    def parameters(self, output: str) -> dict:
        """Names and priors of the population-level parameters."""
        return {}

    def with_parameters(self, priors: tuple):
        """The same under other priors, in the order of `parameters`."""
        return self


@dataclass(frozen=True, kw_only=True)
class NegativeBinomial:
    """A count that varies more than a Poisson count; the output is its mean.

    overdispersion : prior of the overdispersion, above 0: the variance is mean + overdispersion * mean^2
    """

    overdispersion: object
    values = None

    def parameters(self, output: str) -> dict:
        """Names and priors of the population-level parameters."""
        return {f"overdispersion_{output}": self.overdispersion}

    def with_parameters(self, priors: tuple):
        """The same under other priors, in the order of `parameters`."""
        return NegativeBinomial(overdispersion=priors[0])


@dataclass(frozen=True, kw_only=True)
class Ordinal:
    """Categories in order; the output is a severity on the logit scale.

    categories : whole numbers, each one more than the last (0, 1, 2, 3, 4), or words, lowest first, which count from 0
    cut_points : one prior fewer than categories: of the first cut point (any number), then of the step up to each next
        (above 0)
    """

    categories: tuple
    cut_points: tuple

    @property
    def values(self) -> tuple[int, ...]:
        """What the datum may be."""
        return tuple(range(len(self.categories))) if self.words else tuple(int(c) for c in self.categories)

    @property
    def words(self) -> Mapping[str, float]:
        """Category in words -> its number; empty where categories are numbers."""
        in_words = all(isinstance(c, str) for c in self.categories)
        return {c: float(n) for n, c in enumerate(self.categories)} if in_words else {}

    def parameters(self, output: str) -> dict:
        """Names and priors of the population-level parameters."""
        names = ["cut_1", *(f"cut_step_{n}" for n in range(2, len(self.cut_points) + 1))]
        return {f"{name}_{output}": prior for name, prior in zip(names, self.cut_points)}

    def with_parameters(self, priors: tuple):
        """The same under other priors, in the order of `parameters`."""
        return Ordinal(categories=self.categories, cut_points=tuple(priors))


DISTRIBUTIONS = (Bernoulli, Poisson, NegativeBinomial, Ordinal)


def check_distribution(observation) -> None:
    """Raise ModelError for a distribution that cannot be one, or that contradicts the rest of the observation."""
    found = observation.distribution
    if not isinstance(found, DISTRIBUTIONS):
        raise _error(
            observation,
            "unknown distribution",
            found,
            "Bernoulli(), Poisson(), NegativeBinomial(overdispersion=...) or Ordinal(categories=..., cut_points=...)",
        )
    for name, told in (
        ("error", observation.error),
        ("lower_limit", observation.lower_limit),
        ("assay_scale", observation.assay_scale or None),
        ("assay_bias", observation.assay_bias or None),
        ("findings", observation.findings or None),
    ):
        if told is not None:
            raise _error(observation, f"an observation with a distribution has no {name}", told, f"no {name}")
    if isinstance(found, Ordinal):
        _check_categories(observation, found)
    for name, prior in found.parameters(observation.output).items():
        kinds = REAL if name.startswith("cut_1_") else POSITIVE
        if not holds(kinds, prior):
            what = "any number" if kinds is REAL else "positive numbers"
            allowed = ", ".join(kind.__name__ for kind in kinds) + (", all above 0" if kinds is POSITIVE else "")
            raise _error(observation, f"{name} needs a prior of {what}", prior, allowed)
    if found.values is None and observation.plausible is None:
        raise _error(
            observation, "a count needs its plausible range", None, "plausible=(0, the largest count to believe)"
        )


def _check_categories(observation, found: Ordinal) -> None:
    """Categories are at least two, distinct, in order; there is one cut point fewer."""
    names = found.categories
    in_words = isinstance(names, tuple) and all(isinstance(c, str) and c.strip() for c in names)
    numbers = isinstance(names, tuple) and all(isinstance(c, int) and not isinstance(c, bool) for c in names)
    rising = numbers and tuple(names) == tuple(range(names[0], names[0] + len(names))) if names else False
    if not (rising or in_words) or len(set(names)) != len(names) or len(names) < 2:
        raise _error(
            observation,
            "categories are two or more, in order, lowest first",
            names,
            "a tuple of whole numbers, each one more than the last, or of distinct words",
        )
    if not isinstance(found.cut_points, tuple) or len(found.cut_points) != len(names) - 1:
        count = len(found.cut_points) if isinstance(found.cut_points, tuple) else found.cut_points
        raise _error(
            observation,
            f"{len(names)} categories have {len(names) - 1} cut points",
            count,
            f"a tuple of {len(names) - 1} priors: the first cut point, then the steps up",
        )


def _error(observation, problem: str, value, allowed: str) -> ModelError:
    return ModelError(problem, subject=f"observation {observation.output}", value=value, allowed=allowed)
