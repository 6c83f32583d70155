"""What the twin expected of a lab before it was learnt: quantiles, PIT, log score, CRPS.

Scores are on the observation's error scale (ln for log-normal outputs), the log score on the datum as measured.
Of a censored lab: log of its probability, PIT uniform in its interval, CRPS of the censored distribution: only what
lies outside the interval counts, the integral of (F(x) - 1(x > lab))^2 over x beyond its limits.
Of a lab with a value above 0: was it reported ten times too high or too low? See `tenfold`.
Sources: Gneiting and Raftery (2007), JASA 102:359; Gneiting and Ranjan (2011), J Bus Econ Stat 29:411 (weighted CRPS).
"""

from dataclasses import dataclass

import jax
import numpy as np

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


@dataclass(frozen=True)
class Surprise:
    """One lab against its predictive distribution; quantiles on the natural scale, mean, sd, crps on `scale`.

    censoring, upper : as of the Lab: `value` is the limit, of an interval the lower end and `upper` the other
    tenfold_high, tenfold_low : ln Bayes factors of a report ten times too high, too low; tenfold_power : the share of
        such errors that would raise an alarm; None for a censored lab and one of 0 or less
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

    @property
    def alarm(self) -> str:
        """What to ask the laboratory: "ten times too high", "ten times too low", or "" for nothing."""
        if self.tenfold_high is None or self.tenfold_low is None:
            return ""
        high = self.tenfold_high >= self.tenfold_low
        return "" if max(self.tenfold_high, self.tenfold_low) < ALARM else f"ten times too {'high' if high else 'low'}"


def weighted_quantiles(values, weights, probabilities):
    """Quantiles of a weighted sample."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    cumulative = (cumulative - 0.5 * weights[order]) / cumulative[-1]
    return np.interp(probabilities, cumulative, values[order])


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


def surprises(
    model, labs, pieces, class_probability, log_weights, population, draw, *, rng: np.random.Generator
) -> tuple[Surprise, ...]:
    """Predictive summary of each new lab, in the order of the rows of `pieces`; none where no particle has weight.

    pieces : ClassLikelihood (P, C, N) at the labs' times given what was known before; class_probability (P, C)
    """
    # a particle whose solve failed has no prediction and no say
    fine = np.asarray(pieces.ok).all(axis=1) & np.isfinite(np.asarray(pieces.prediction)).all(axis=(1, 2))
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
        location, scale = location_and_scale(model, k, predictions[:, :, n], sigma[:, None, :], assay=assay, xp=np)
        location, scale = departed(location, scale, departure, xp=np)
        log_p = np.asarray(
            _log_density(observation, location, scale, lab.value, CENSORING[lab.censoring], upper=lab.upper)
        )
        with np.errstate(divide="ignore"):
            log_score = float(log_sum_exp((np.log(joint) + log_p).ravel(), axis=0))
        ends = [end for end in (lab.value, lab.upper) if end is not None]
        ends = [np.log(max(end, TINY)) if observation.log_scale else end for end in ends]
        cdf = [np.exp(np.asarray(_log_cdf((end - location) / scale, observation.error.nu))) for end in ends]
        below = [float((joint * one).sum()) for one in cdf]
        on_scale = np.log(np.maximum(simulated, TINY)) if observation.log_scale else simulated
        pit = pit_of(below, lab.censoring, rng.random())
        mean = float(np.sum(weights * on_scale))
        wrong_unit = None
        if lab.censoring == "none" and lab.value > 0:
            at, width = (np.broadcast_to(a, joint.shape).ravel() for a in (location, scale))
            expected = weighted_quantiles(simulated, weights, (np.arange(VALUES) + 0.5) / VALUES)
            wrong_unit = tenfold(observation, at, width, joint.ravel(), lab.value, expected)
        found.append(
            Surprise(
                lab_id=lab.lab_id,
                output=lab.output,
                time=lab.time,
                known_time=lab.known_time,
                value=lab.value,
                censoring=lab.censoring,
                scale="ln" if observation.log_scale else "natural",
                quantiles=dict(zip(QUANTILES, (float(q) for q in weighted_quantiles(simulated, weights, QUANTILES)))),
                mean=mean,
                sd=float(np.sqrt(np.sum(weights * (on_scale - mean) ** 2))),
                crps=sample_crps(beyond_limits(on_scale, ends, lab.censoring), weights, ends[0]),
                log_score=log_score,
                pit=pit,
                tenfold_high=None if wrong_unit is None else wrong_unit.high,
                tenfold_low=None if wrong_unit is None else wrong_unit.low,
                tenfold_power=None if wrong_unit is None else wrong_unit.power,
                upper=lab.upper,
            )
        )
    return tuple(found)


__all__ = ["QUANTILES", "Surprise", "beyond_limits", "pit_of", "sample_crps", "surprises", "weighted_quantiles"]
