"""What the twin expected of a lab before it was learnt: quantiles, PIT, log score, CRPS.

Scores are on the observation's error scale (ln for log-normal outputs), the log score on the datum as measured.
Of a censored lab: log of its probability, PIT uniform in its interval, CRPS of the censored distribution: only what
lies outside the interval counts, the integral of (F(x) - 1(x > lab))^2 over x beyond its limits.
Of what is counted or graded: PIT uniform between F(y - 1) and F(y), the two kept too (`pit_range`); CRPS is then the
ranked probability score, the sum over categories or counts j of (F(j) - 1(j >= y))^2; quantiles are values it can have.
Of a measured lab with a value above 0: was it reported ten times too high or too low? See `tenfold`.
Sources: Gneiting and Raftery (2007), JASA 102:359; Gneiting and Ranjan (2011), J Bus Econ Stat 29:411 (weighted CRPS);
Czado, Gneiting and Held (2009), Biometrics 65:1254 (of counts, the randomised PIT and the ranked probability score).
"""

import zlib
from dataclasses import dataclass

import jax
import numpy as np

from bayestwin.individual.discrete import distribution_function, log_probability, probabilities
from bayestwin.individual.residuals import (
    CENSORING,
    departed,
    draw_observation,
    location_and_scale,
    log_cdf,
    log_density,
)
from bayestwin.labs import TINY
from bayestwin.twin.particles import log_sum_exp
from bayestwin.twin.tenfold import ALARM, VALUES, tenfold

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


_log_cdf = jax.jit(log_cdf, static_argnums=1)
_log_density = jax.jit(log_density, static_argnums=0)
_log_probability = jax.jit(log_probability, static_argnums=(0, 1))


@dataclass(frozen=True)
class Surprise:
    """One lab against its predictive distribution; quantiles on the natural scale, mean, sd, crps on `scale`.

    censoring, upper : as of the Lab: `value` is the limit, of an interval the lower end and `upper` the other
    tenfold_high, tenfold_low : ln Bayes factors of a report ten times too high, too low; tenfold_power : the share of
        such errors that would raise an alarm; None for a censored lab, one of 0 or less, and what is counted or graded
    pit_range : of what is counted or graded, F below the value and F at it, between which `pit` is drawn; else None
    interval_range : the same of a measured lab between two limits, F at each of them
    """

    lab_id: str
    output: str
    time: float
    known_time: float
    value: float
    censoring: str
    scale: str
    quantiles: dict
    mean: float
    sd: float
    crps: float
    log_score: float
    pit: float
    tenfold_high: float | None = None
    tenfold_low: float | None = None
    tenfold_power: float | None = None
    upper: float | None = None
    pit_range: tuple[float, float] | None = None
    interval_range: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """F below what the lab says and F at it: of a limit all that lies beyond it, of two all that lies between them,
        of a measured value one number."""
        if self.censoring in ("left", "right"):
            beyond = min(float(np.exp(self.log_score)), 1.0)
            return (0.0, beyond) if self.censoring == "left" else (1.0 - beyond, 1.0)
        return self.pit_range or self.interval_range or (self.pit, self.pit)

    @property
    def tail(self) -> float:
        """How much lies at the lab and further out: the smaller of both sides."""
        below, at = self.ends
        return min(at, 1.0 - below)

    @property
    def alarm(self) -> str:
        """What to ask the laboratory: "ten times too high", "ten times too low", or "" for nothing."""
        if self.tenfold_high is None or self.tenfold_low is None:
            return ""
        sides = (("high", self.tenfold_high), ("low", self.tenfold_low))
        named, factor = max(sides, key=lambda side: side[1])
        return f"ten times too {named}" if factor >= ALARM else ""


def weighted_quantiles(values, weights, probabilities):
    """Quantiles of a weighted sample."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    cumulative = (cumulative - 0.5 * weights[order]) / cumulative[-1]
    return np.interp(probabilities, cumulative, values[order])


def whole_quantiles(values, weights, probabilities):
    """Quantiles of a weighted sample of whole numbers: the least value up to which lies that much."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    at = np.searchsorted(cumulative, np.asarray(probabilities) * cumulative[-1] * (1.0 - 1e-12))
    return values[order][np.minimum(at, len(order) - 1)]


def sample_crps(values, weights, y) -> float:
    """CRPS of a weighted sample: E|X - y| - 1/2 E|X - X'|."""
    order = np.argsort(values)
    x, w = values[order], weights[order] / weights.sum()
    below = np.cumsum(w)
    spread = 2.0 * np.sum(w * x * (2.0 * below - w - 1.0)) / 2.0
    return float(np.sum(w * np.abs(x - y)) - spread)


def beyond_limits(x, ends, censoring: str):
    """Values x of a forecast as a lab sees them, whose own place is ends[0]: all that it may be is one point.

    ends : the lab or its limit, of an interval both ends; on the error scale like x
    """
    if censoring == "interval":
        return np.where(x < ends[0], x, np.maximum(x, ends[1]) - (ends[1] - ends[0]))
    return {"none": x, "left": np.maximum(x, ends[0]), "right": np.minimum(x, ends[0])}[censoring]


def pit_of(below, censoring: str, u: float) -> float:
    """PIT of a lab from the forecast's distribution function at its `ends`, uniform (u) in the interval if censored."""
    if censoring == "none":
        return below[0]
    low, high = {"left": (0.0, below[0]), "right": (below[0], 1.0)}.get(censoring) or (below[0], below[-1])
    return low + u * (high - low)


def patients_own(u: float, key: str) -> float:
    """A uniform number of this patient out of one that patients with the same seed share: PITs that are drawn must be
    independent between patients, or a visit that many of them have counts as that many labs."""
    return np.random.default_rng([int(u * 2**53), zlib.crc32(key.encode())]).random()


def surprises(
    model, labs, pieces, class_probability, log_weights, population, draw, *, key: str, rng: np.random.Generator
) -> tuple[Surprise, ...]:
    """Predictive summary of each new lab, in the order of the rows of `pieces`; none where no particle has weight.

    pieces : ClassLikelihood (P, C, N) at the labs' times given what was known before; class_probability (P, C), 0 in
        all classes of a particle that no class explains
    key : of the patient
    """
    # a particle whose solve failed has no prediction and no say, nor has one that does not explain what was known
    fine = np.asarray(pieces.ok).all(axis=1) & np.isfinite(np.asarray(pieces.prediction)).all(axis=(1, 2))
    fine &= class_probability.sum(axis=1) > 0
    weights = np.nan_to_num(np.where(fine, np.exp(np.asarray(log_weights)), 0.0))
    if not weights.sum() > 0:  # nothing is left to expect anything
        return ()
    weights = weights / weights.sum()
    predictions = np.where(fine[:, None, None], np.asarray(pieces.prediction), 1.0)
    joint = weights[:, None] * class_probability
    cumulative = np.cumsum(class_probability, axis=1)
    sigma = np.asarray(population.sigma)[np.asarray(draw)]
    found = []
    for n, lab in enumerate(labs):
        k = model.observation_index[lab.output]
        observation = model.observations[k]
        drawn = (rng.random((len(sigma), 1)) * cumulative[:, -1:] > cumulative).sum(axis=1)
        classes = np.minimum(drawn, cumulative.shape[1] - 1)
        departure = None if pieces.departure is None else pieces.departure[:, :, n]
        own, assay = (np.arange(len(classes)), classes), observation.assay_of(lab)
        simulated = draw_observation(
            model, k, rng, predictions[(*own, n)], sigma, None if departure is None else departure[own], assay
        )
        mixture = predictions[:, :, n], sigma[:, None, :], joint, simulated, weights
        if observation.discrete:
            law = _of_counted(model, k, lab, *mixture, patients_own(rng.random(), key))
        else:
            law = _of_measured(model, k, lab, *mixture, departure, patients_own(rng.random(), key))
        found.append(
            Surprise(
                lab_id=lab.lab_id,
                output=lab.output,
                time=lab.time,
                known_time=lab.known_time,
                value=lab.value,
                censoring=lab.censoring,
                scale="ln" if observation.log_scale else "natural",
                upper=lab.upper,
                **law,
            )
        )
    return tuple(found)


def _of_measured(model, k, lab, prediction, sigma, joint, simulated, weights, departure, u) -> dict:
    """Scores of a measured lab. prediction, joint (P, C): mixture; simulated, weights (P,): draws; u : for the PIT."""
    observation, assay = model.observations[k], model.observations[k].assay_of(lab)
    location, scale = location_and_scale(model, k, prediction, sigma, assay=assay, xp=np)
    location, scale = departed(location, scale, departure, xp=np)
    log_p = np.asarray(_log_density(observation, location, scale, lab.value, CENSORING[lab.censoring], upper=lab.upper))
    ends = [end for end in (lab.value, lab.upper) if end is not None]
    ends = [np.log(max(end, TINY)) if observation.log_scale else end for end in ends]
    cdf = [np.exp(np.asarray(_log_cdf((end - location) / scale, observation.error.nu))) for end in ends]
    below = [float((joint * one).sum()) for one in cdf]
    on_scale = np.log(np.maximum(simulated, TINY)) if observation.log_scale else simulated
    found = {
        "quantiles": dict(zip(QUANTILES, (float(q) for q in weighted_quantiles(simulated, weights, QUANTILES)))),
        "crps": sample_crps(beyond_limits(on_scale, ends, lab.censoring), weights, ends[0]),
        "log_score": _log_score(joint, log_p),
        "pit": pit_of(below, lab.censoring, u),
        "interval_range": None if lab.upper is None else (below[0], below[1]),
    }
    if lab.censoring == "none" and lab.value > 0:
        at, width = (np.broadcast_to(a, joint.shape).ravel() for a in (location, scale))
        likely = weighted_quantiles(simulated, weights, (np.arange(VALUES) + 0.5) / VALUES)
        wrong_unit = tenfold(observation, at, width, joint.ravel(), lab.value, likely)
        found |= {f"tenfold_{name}": value for name, value in wrong_unit._asdict().items()}
    return found | _mean_and_sd(on_scale, weights)


def _of_counted(model, k, lab, prediction, sigma, joint, simulated, weights, u) -> dict:
    """Scores of a lab that is counted or graded, of categories from their chances; arrays as for `_of_measured`."""
    values = model.observations[k].distribution.values
    if values is not None:
        simulated = np.array(values, dtype=float)
        weights = (joint[..., None] * probabilities(model, k, prediction, sigma)).sum(axis=(0, 1)) / joint.sum()
    log_p = np.asarray(_log_probability(model, k, prediction, lab.value, sigma))
    below, at = (
        float(np.clip((joint * distribution_function(model, k, prediction, end, sigma)).sum() / joint.sum(), 0.0, 1.0))
        for end in (lab.value - 1, lab.value)
    )
    return {
        "quantiles": dict(zip(QUANTILES, (float(q) for q in whole_quantiles(simulated, weights, QUANTILES)))),
        "crps": sample_crps(simulated, weights, lab.value),
        "log_score": _log_score(joint, log_p),
        "pit": below + u * (at - below),
        "pit_range": (below, at),
    } | _mean_and_sd(simulated, weights)


def _log_score(joint, log_p) -> float:
    with np.errstate(divide="ignore"):
        return float(log_sum_exp((np.log(joint) + log_p).ravel(), axis=0))


def _mean_and_sd(values, weights) -> dict:
    mean = float(np.sum(weights * values))
    return {"mean": mean, "sd": float(np.sqrt(np.sum(weights * (values - mean) ** 2)))}


__all__ = [
    "QUANTILES",
    "Surprise",
    "beyond_limits",
    "pit_of",
    "sample_crps",
    "surprises",
    "weighted_quantiles",
    "whole_quantiles",
]
