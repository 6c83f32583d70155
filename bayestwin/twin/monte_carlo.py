"""How far another random seed would move a number, from the islands of particles.

The I islands are resampled apart, so each is a repetition of the whole computation with fewer particles.

    a weighted mean       SD of the means of the islands / sqrt(I)
    a quantile at p       (Q(p + e) - Q(p - e)) / 2, with e the error so found of the share up to the quantile
    any other number      the jackknife: the number without one island each time; of a mean it is the first again

The quantiles of the islands themselves would not do for times that only a visit can show: every island then says one
visit or the next, their mean lies between, and the SD / sqrt(I) is too small where all particles together say one or
the next as well. Where all values are different both are the same but for terms of higher order.

Source: Woodruff (1952), JASA 47:635 (quantiles); Efron and Stein (1981), Annals of Statistics 9:586 (jackknife).
"""

import numpy as np

from bayestwin.twin.particles import island_means
from bayestwin.twin.surprise import weighted_quantiles


def island_error(values, log_weights, islands: int):
    """Monte Carlo error of weighted means: values (P,) -> float, (P, K) -> (K,). log_weights (P,)

    An island without any weight repeats nothing and is left out; inf where fewer than two are left.
    """
    weighs = _weights(log_weights).reshape(islands, -1).sum(axis=1) > 0.0
    with np.errstate(invalid="ignore"):
        means = island_means(values, log_weights, islands)[weighs]
    if len(means) < 2:
        error = np.full(means.shape[1:], np.inf)
    else:
        error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    return float(error) if np.ndim(error) == 0 else error


def _weights(log_weights) -> np.ndarray:
    """Weights (P,), 0 where an island has none to be normalised by."""
    return np.nan_to_num(np.exp(np.asarray(log_weights, dtype=float)))


def quantile_errors(values, log_weights, islands: int, probabilities, quantiles_of=weighted_quantiles) -> np.ndarray:
    """Monte Carlo errors of quantiles of values (P,), one per probability, in the unit of the values.

    Values may be inf (no event by the horizon). The error is inf where the number is inf within one error of the share
    and not here, or the other way round; 0 where it is the same value there, inf too: of times that come in steps, and
    near the horizon, another seed may then still say the next one, in about a third of cases at worst.

    quantiles_of : (values, weights, probabilities) -> quantiles, the rule by which the numbers themselves are made
    """
    values, weights = np.asarray(values, dtype=float), _weights(log_weights)
    weights = weights / weights.sum()
    p = np.asarray(probabilities, dtype=float)
    at = np.asarray(quantiles_of(values, weights, p))
    shares = np.concatenate([values[:, None] < at, values[:, None] <= at], axis=1)
    e = island_error(shares, log_weights, islands).reshape(2, -1).max(axis=0)  # of many equal values the larger one
    ends = quantiles_of(values, weights, np.clip(np.concatenate([p - e, p + e]), 0.0, 1.0))
    low, high = np.reshape(ends, (2, -1))
    apart = np.subtract(high, low, out=np.zeros(len(p)), where=high != low)
    return 0.5 * apart


def jackknife_error(number, log_weights, islands: int) -> np.ndarray:
    """Monte Carlo errors of what `number` makes of weights (P,) that sum to one: array of its shape.

    number : weights -> array; weights of the island left out are 0. Not a number where it is none without an island.
    """
    weights = _weights(log_weights).reshape(islands, -1)
    found = []
    for k in range(islands):
        kept = np.where(np.arange(islands)[:, None] == k, 0.0, weights).reshape(-1)
        found.append(number(kept / kept.sum()))
    return np.sqrt(islands - 1.0) * np.std(np.asarray(found, dtype=float), axis=0)
