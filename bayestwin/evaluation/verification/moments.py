"""What a twin says, each number with its Monte Carlo error: means and SDs from islands that were resampled separately.

With m_j and s_j the weighted first and second moment of a quantity in island j of J,

    mean = average of m_j                       error = SD of m_j / sqrt(J)
    SD   = sqrt(average of s_j - mean^2)        error by leaving out one island after the other (jackknife)

Parameters stand on the scale on which they vary (ln, logit or their own), forecasts on the error scale of their lab;
of a forecast the residual error is averaged exactly, not drawn:

    mean = E[location]                          SD^2 = E[kappa scale^2 + location^2] - mean^2

kappa being 1, or nu / (nu - 2) for a Student-t error. Of independent draws with weights w (a reference by importance
sampling) the errors follow from the draws themselves, to first order:

    error of the mean = sqrt(sum w^2 (f - mean)^2)      of the SD: f replaced by (f^2 - 2 mean f) / (2 SD)

Source: Efron and Stein (1981), Annals of Statistics 9:586; Owen (2013), Monte Carlo theory, 9.2 (ratio estimates).
"""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual.discrete import mean_and_variance
from bayestwin.individual.residuals import departed, location_and_scale
from bayestwin.records.record import Lab
from bayestwin.twin.compare import difference
from bayestwin.twin.newer import solve_through
from bayestwin.twin.particles import island_means
from bayestwin.twin.target import class_weights

INDEPENDENT = "importance sampling"  # path of a twin whose particles are independent draws


class Estimate(NamedTuple):
    """A number from islands: its Monte Carlo error, and the degrees of freedom behind that error."""

    value: float
    error: float
    freedom: float


@dataclass(frozen=True)
class Moments:
    """Weighted first and second moment of one quantity in every island, (J,) each; second None: only a mean is asked"""

    first: np.ndarray
    second: np.ndarray | None = None

    def mean(self) -> Estimate:
        """The posterior or predictive mean."""
        count = len(self.first)
        return Estimate(float(self.first.mean()), float(self.first.std(ddof=1) / np.sqrt(count)), count - 1.0)

    def sd(self) -> Estimate:
        """The posterior or predictive SD."""
        count = len(self.first)

        def spread(first, second):
            return np.sqrt(np.maximum(second - first**2, 0.0))

        without = spread(*((x.sum() - x) / (count - 1) for x in (self.first, self.second)))
        error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
        return Estimate(float(spread(self.first.mean(), self.second.mean())), float(error), count - 1.0)

    def estimates(self, name: str) -> dict[tuple[str, str], Estimate]:
        """(quantity, "mean" or "sd") -> Estimate."""
        found = {(name, "mean"): self.mean()}
        return found if self.second is None else found | {(name, "sd"): self.sd()}


@dataclass(frozen=True)
class Weighted:
    """First and second moment of one quantity in every one of P independent draws, and their weights, (P,) each."""

    first: np.ndarray
    second: np.ndarray | None
    weights: np.ndarray

    def mean(self) -> Estimate:
        """The posterior or predictive mean."""
        share = self.weights / self.weights.sum()
        value = float(share @ self.first)
        return self._estimate(value, self.first - value, share)

    def sd(self) -> Estimate:
        """The posterior or predictive SD."""
        share = self.weights / self.weights.sum()
        mean, square = share @ self.first, share @ self.second
        value = float(np.sqrt(max(square - mean**2, 0.0)))
        change = self.second - square - 2.0 * mean * (self.first - mean)
        return self._estimate(value, change / (2.0 * value) if value > 0 else 0.0 * change, share)

    def sd_error_of(self, count: int) -> float:
        """Relative error of the SD from so many independent draws of the target: 1 / sqrt(2 count) if normal.

        What a mode of one in a thousand, thirty SDs off, adds to a variance is known to nobody who has few draws there.
        """
        share = self.weights / self.weights.sum()
        mean, square = share @ self.first, share @ self.second
        change = self.second - square - 2.0 * mean * (self.first - mean)
        variance = max(square - mean**2, 1e-300)
        return float(0.5 * np.sqrt(share @ change**2 / count) / variance)

    def mean_unseen_by(self, count: int) -> float:
        """Share of the mean that comes from where not one of so many independent draws is expected, in [0, 1].

        That is, of the mean distance from the median, what the farthest 1 / count of the posterior has in it: so many
        draws nearly always miss it, and their own error says nothing of it. 0.0003 if normal, 16,000 draws.
        """
        share = self.weights / self.weights.sum()
        upward = np.argsort(self.first)
        median = self.first[upward][np.searchsorted(share[upward].cumsum(), 0.5)]
        distance = np.abs(self.first - median)
        order = np.argsort(-distance)
        own = share[order]
        unseen = np.clip(1.0 / count - (own.cumsum() - own), 0.0, own)
        return float(unseen @ distance[order] / max(share @ distance, 1e-300))

    def _estimate(self, value, change, share) -> Estimate:
        size = 1.0 / (share**2).sum()
        return Estimate(value, float(np.sqrt(((share * change) ** 2).sum())), max(float(size) - 1.0, 1.0))

    estimates = Moments.estimates


def pooled(parts) -> dict[str, Any]:
    """Moments of several independent runs of one target as if they were one run with all islands, or all draws."""
    parts = list(parts)

    def joined(of_name):
        columns = [[getattr(one, f.name) for one in of_name] for f in fields(of_name[0])]
        return type(of_name[0])(*(None if c[0] is None else np.concatenate(c) for c in columns))

    return {name: joined([p[name] for p in parts]) for name in parts[0]}


def scale_label(model, name: str) -> str:
    """How an individual parameter is called on the scale on which it varies: ln CL, logit f_R, frailty."""
    if name not in model.parameter_names:
        return name
    scale = model.parameters[model.parameter_names.index(name)].scale
    return {"log": f"ln {name}", "logit": f"logit {name}"}.get(scale, name)


def parameter_moments(twin, names=None) -> dict[str, Any]:
    """Individual parameters by their label; all of them, or those of `names`."""
    model = twin.model
    found = {}
    for d, name in enumerate(model.individual_names):
        if names is None or name in names:
            values = np.asarray(twin.particles.psi[:, d])
            found[scale_label(model, name)] = _moments(twin, values, values**2)
    return found


def class_moments(twin) -> dict[str, Any]:
    """The chance that the patient is a non-responder, of every treatment that was started."""
    rows, chance = twin.class_rows, class_weights(twin.particles)
    return {
        f"P(no response to {cls.treatment})": _moments(twin, (chance * (rows[:, k] > 0)).sum(axis=1))
        for k, cls in enumerate(twin.model.response_classes)
        if rows[:, k].any()
    }


def forecast_moments(twin, asked) -> dict[str, Any]:
    """Labs the twin expects next, with their residual error.

    asked : pairs (output, time), each later than what the twin has learnt
    """
    some = {o.output: o.lab_spec.some_value for o in twin.model.observations}
    labs = tuple(
        Lab(f"forecast of {output} at {time!r}", output, float(time), some[output], float(time))
        for output, time in asked
    )
    record = replace(twin.record, labs=(*twin.record.labs, *labs))
    with jax.enable_x64(True):
        newer = solve_through(twin, record, difference(twin, record), NO_GRADIENT)
        pieces = jax.tree.map(np.asarray, newer.pieces)
        chance = np.asarray(jax.nn.softmax(newer.made.log_class + newer.before, axis=-1))
    # a particle whose solve failed has no prediction and no say
    fine = pieces.ok.all(axis=1) & np.isfinite(pieces.prediction[:, :, : len(newer.labs)]).all(axis=(1, 2))
    weights = np.where(fine, np.exp(np.asarray(twin.particles.log_weights)), 0.0)
    sigma = np.asarray(twin.population.sigma)[np.asarray(twin.particles.draw)][:, None, :]
    columns = {(lab.output, lab.time): n for n, lab in enumerate(newer.labs) if lab.lab_id.startswith("forecast of ")}
    found = {}
    for output, time in asked:
        k, n = twin.model.observation_index[output], columns[output, float(time)]
        prediction = np.where(fine[:, None], pieces.prediction[:, :, n], 1.0)
        if twin.model.observations[k].discrete:
            mean, variance = mean_and_variance(twin.model, k, prediction, sigma)
            first, second = (chance * mean).sum(axis=1), (chance * (mean**2 + variance)).sum(axis=1)
            found[forecast_label(twin.model, output, time)] = _moments(twin, first, second, weights)
            continue
        location, scale = location_and_scale(twin.model, k, prediction, sigma, xp=np)
        departure = None if pieces.departure is None else np.where(fine[:, None, None], pieces.departure[:, :, n], 0.0)
        location, scale = departed(location, scale, departure, xp=np)
        nu = twin.model.observations[k].error.nu
        kappa = 1.0 if nu is None else nu / (nu - 2.0) if nu > 2 else None
        first = (chance * location).sum(axis=1)
        second = None if kappa is None else (chance * (location**2 + kappa * scale**2)).sum(axis=1)
        found[forecast_label(twin.model, output, time)] = _moments(twin, first, second, weights)
    return found


def forecast_label(model, output: str, time: float) -> str:
    """How a forecast is called: ln psa at 1200."""
    log_scale = model.observations[model.observation_index[output]].log_scale
    return f"{'ln ' if log_scale else ''}{output} at {time:g}"


def _moments(twin, first, second=None, weights=None) -> Moments | Weighted:
    """By islands; of independent draws (`path` INDEPENDENT) by draws."""
    weights = np.exp(np.asarray(twin.particles.log_weights)) if weights is None else weights
    if twin.info.path == INDEPENDENT:
        some = weights > 0.0  # what has no weight may be no number
        first, second = (None if f is None else np.where(some, f, 0.0) for f in (first, second))
        return Weighted(first, second, weights)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)

    def by_island(values):
        return island_means(values, log_weights, twin.islands)

    return Moments(by_island(first), None if second is None else by_island(second))
