"""Scores of predictions: coverage, CRPS, log score, error, with intervals that respect patients.

Labs of one patient go wrong together, so whole patients are drawn with replacement (clustered bootstrap). A percentile
interval of few patients is too short; its tail probability is therefore that of Hesterberg (2015, section 3.2),

    alpha' = Phi( -sqrt(n / (n - 1)) t_{n-1, 1-alpha} )          n patients, alpha = 0.05 for a 90 % interval,

which for many patients is alpha. Where all labs are covered, or none, a bootstrap knows no spread: the open end is then
the exact binomial limit with patients as trials, alpha^(1/n) from 1.

A lab is covered by the central p interval where its PIT lies in [(1 - p)/2, (1 + p)/2]; the PIT of a censored lab is
drawn uniformly in its interval, so that a calibrated forecast covers censored labs as often as others. The error of a
lab is mean - observed on the error scale (positive: too high); a censored lab has none, since only a limit is known.

Are the PITs uniform? Their distribution function F(u) at u = 0.01 ... 0.99 is compared with that of n* independent
ones: the least of the pointwise binomial tail probabilities, and a band that holds all points at once (Sailynoja,
Burkner and Vehtari 2022). n* = n / design effect, the number of independent labs that n clustered ones are worth; the
design effect is the clustered variance of F over the independent one, averaged over u, and never under 1 (Kish 1965).

Sources: Gneiting and Raftery (2007), JASA 102:359; Davison and Hinkley (1997), section 3.8; Hesterberg (2015),
The American Statistician 69:371; Sailynoja, Burkner and Vehtari (2022), Statistics and Computing 32:32.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bayestwin.labs import TINY

LEVELS = (0.5, 0.8, 0.9)
GRID = np.arange(1, 100) / 100
BLOCK = 4_000_000  # numbers of the resampling matrix held at once
SIMULATIONS, LARGE = 2000, 500


@dataclass(frozen=True)
class ClusteredMeans:
    """Means (C, S) of S scores in C cells, with intervals; labs and patients (C, S) are what each mean rests on."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    labs: np.ndarray
    patients: np.ndarray


@dataclass(frozen=True)
class Uniformity:
    """Are PITs uniform? p : of the hypothesis that they are; effective : independent labs that they are worth."""

    mean: float
    p: float
    labs: int
    effective: float


def coverage(pit, level: float) -> np.ndarray:
    """1 where the central interval of probability `level` holds the lab, else 0, (N,); NaN where there is no PIT."""
    pit = np.asarray(pit, dtype=float)
    return np.where(np.isnan(pit), np.nan, np.abs(pit - 0.5) <= 0.5 * level)


def lab_scores(predictions, levels=LEVELS) -> dict[str, np.ndarray]:
    """Scores of each row of predictions.csv, name -> (N,); NaN where a row has none."""
    observed = predictions["observed"].to_numpy(dtype=float)
    on_scale = np.where(predictions["scale"] == "ln", np.log(np.maximum(observed, TINY)), observed)
    error = predictions["mean"].to_numpy(dtype=float) - on_scale
    error = np.where(predictions["limit_flag"] == "none", error, np.nan)
    pit = predictions["pit"].to_numpy(dtype=float)
    found = {f"coverage_{100 * level:.0f}": coverage(pit, level) for level in levels}
    found |= {name: predictions[name].to_numpy(dtype=float) for name in ("crps", "log_score")}
    return found | {"error": error, "absolute_error": np.abs(error), "squared_error": error**2, "pit": pit}


def clustered_means(
    values,
    patients,
    cells=None,
    *,
    random_seed: int,
    probability: float = 0.9,
    resamples: int = 2000,
    over="labs",
    shares=(),
) -> ClusteredMeans:
    """Means of scores in cells, with intervals from one bootstrap over patients that all of them share.

    Axes: N labs, S scores, C cells.

    Parameters
    ----------
    values : (N, S)       NaN where a lab has no such score; an infinite score makes its mean infinite, without interval
    patients : (N,)       whole patients are resampled; cells : (N,) cell of each lab from 0, -1 for none
    over : "labs" or "patients"     mean over labs, or over patients of the patient's own mean
    probability : of the intervals; an interval is NaN where fewer than two patients are at hand
    shares : scores (places in S) that are 0 or 1 in each lab, whose interval from 0 or 1 has an exact end
    """
    values = np.asarray(values, dtype=float)
    cells = np.zeros(len(values), dtype=int) if cells is None else np.asarray(cells)
    values, patients, cells = values[cells >= 0], np.asarray(patients)[cells >= 0], cells[cells >= 0]
    names, member = np.unique(patients, return_inverse=True)
    size, width = int(cells.max(initial=0)) + 1, values.shape[1]
    there = ~np.isnan(values)

    def summed(weights):
        found = [np.bincount(member * size + cells, w, minlength=len(names) * size) for w in weights.T]
        return np.stack(found, axis=-1).reshape(len(names), size, width)

    count, total = summed(there.astype(float)), summed(np.where(there, values, 0.0))
    labs, own = count.sum(axis=0).astype(int), (count > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if over == "patients":
            total, count = np.where(count > 0, total / count, 0.0), (count > 0).astype(float)
        value = total.sum(axis=0) / count.sum(axis=0)
    means = _resampled_means(np.where(np.isfinite(total), total, 0.0), count, random_seed, resamples)
    low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
    for cell, score in np.argwhere((own >= 2) & np.isfinite(value)):
        tail = expanded_tail((1 - probability) / 2, int(own[cell, score]))
        low[cell, score], high[cell, score] = np.nanquantile(means[:, cell, score], [tail, 1 - tail])
    exact = ((1 - probability) / 2) ** (1 / np.maximum(own, 1))
    share = np.isin(np.arange(width), list(shares)) & (own >= 2)
    low, high = np.where(share & (value == 1), exact, low), np.where(share & (value == 0), 1 - exact, high)
    return ClusteredMeans(value, low, high, labs, own)


def _resampled_means(total, count, random_seed, resamples):
    """Ratio of sums over patients drawn with replacement, (resamples, C, S); NaN where none of a cell was drawn."""
    patients, *shape = total.shape
    rng, found = np.random.default_rng(random_seed), []
    block = max(1, BLOCK // max(patients, 1))
    flat = np.concatenate([total.reshape(patients, -1), count.reshape(patients, -1)], axis=1)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(patients, size=(rows, patients)) + patients * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * patients).reshape(rows, patients)
        sums, counts = np.split(times.astype(float) @ flat, 2, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.where(counts > 0, sums / counts, np.nan))
    return np.concatenate(found).reshape(resamples, *shape)


@lru_cache(maxsize=1024)
def expanded_tail(tail: float, patients: int) -> float:
    """Tail probability of the percentile interval that gives `tail` with few patients (Hesterberg 2015)."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(np.sqrt(patients / (patients - 1)) * stdtrit(patients - 1, tail)))


def holm(p) -> np.ndarray:
    """Adjusted p of every comparison of a family; under its level the family errs with that chance at most.

    p (n,) : NaN where nothing was tested; stays NaN and does not count

    Source: Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    p = np.asarray(p, dtype=float)
    adjusted, tested = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested])]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(order) - np.arange(len(order)))))
    return adjusted


def clustered_interval(values, patients, *, random_seed: int, probability: float = 0.9, resamples: int = 2000):
    """Mean of `values` (N,) and its interval when patients are drawn with replacement.

    Returns
    -------
    mean, low, high      low and high are NaN where fewer than two patients are at hand
    """
    values = np.asarray(values, dtype=float)
    if not len(values):
        return np.nan, np.nan, np.nan
    found = clustered_means(
        values[:, None], patients, random_seed=random_seed, probability=probability, resamples=resamples
    )
    return float(found.value[0, 0]), float(found.low[0, 0]), float(found.high[0, 0])


def effective_labs(pit, patients) -> float:
    """Number of independent labs that these are worth for the distribution of PITs; NaN for one patient."""
    pit = np.asarray(pit, dtype=float)
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2:
        return np.nan
    width = len(GRID) + 1
    bins = np.searchsorted(GRID, pit, side="left")  # the first grid point that is not below
    counts = np.bincount(member * width + bins, minlength=len(names) * width).reshape(len(names), width)
    below, own = counts.cumsum(axis=1)[:, :-1], counts.sum(axis=1)
    share = below.sum(axis=0) / len(pit)
    clustered = ((below - own[:, None] * share) ** 2).sum(axis=0) * len(names) / (len(names) - 1)
    independent = len(pit) * share * (1 - share)
    if not independent.any():  # every PIT at one end
        return float(len(names))
    return len(pit) / max(1.0, float(clustered.sum() / independent.sum()))


def uniformity(pit, patients, *, random_seed: int) -> Uniformity:
    """Mean of PITs (N,) and how far they are from uniform, given that labs come in patients."""
    pit, patients = np.asarray(pit, dtype=float), np.asarray(patients)
    pit, patients = pit[~np.isnan(pit)], patients[~np.isnan(pit)]
    mean, effective = float(pit.mean()) if len(pit) else np.nan, effective_labs(pit, patients)
    if np.isnan(effective):
        return Uniformity(mean, np.nan, len(pit), np.nan)
    size = _rounded(effective)
    share = np.searchsorted(np.sort(pit), GRID, side="right") / len(pit)
    least = _two_tails(share * size, size).min()
    return Uniformity(mean, float((_simulated_tails(size, random_seed) <= least).mean()), len(pit), effective)


def ecdf_band(effective: float, *, probability: float, random_seed: int):
    """u (99,) and the band, low and high (99,), that holds F(u) - u at all u at once with `probability`."""
    from scipy.stats import binom

    size = _rounded(effective)
    tail = np.quantile(_simulated_tails(size, random_seed), 1 - probability)
    return GRID, *(binom.ppf(level, size, GRID) / size - GRID for level in (tail / 2, 1 - tail / 2))


def histogram_band(effective: float, *, bins: int, probability: float):
    """Binomial limits of one bar of the PIT histogram, as shares of the labs; each bar by itself."""
    from scipy.stats import binom

    size = _rounded(effective)
    return tuple(
        float(binom.ppf(level, size, 1 / bins)) / size for level in ((1 - probability) / 2, (1 + probability) / 2)
    )


def _rounded(effective):
    """A whole number of labs, to two digits, so that one simulation serves many tables."""
    return max(1, int(float(f"{effective:.2g}")))


def _two_tails(counts, size):
    """Twice the lesser of P(X <= count) and P(X >= count), X binomial at every u of the grid; counts may be broken."""
    from scipy.special import betainc

    lower = betainc(np.maximum(size - counts, 1e-12), counts + 1, 1 - GRID)
    return 2 * np.minimum(lower, betainc(np.maximum(counts, 1e-12), size - counts + 1, GRID))


@lru_cache(maxsize=256)
def _simulated_tails(size: int, random_seed: int):
    """Least tails of simulated independent PITs; beyond LARGE labs their law no longer depends on how many."""
    size = min(size, LARGE)
    cells = np.full(len(GRID) + 1, 1 / (len(GRID) + 1))
    counts = np.random.default_rng(random_seed).multinomial(size, cells, size=SIMULATIONS).cumsum(axis=1)[:, :-1]
    every = _two_tails(np.arange(size + 1.0)[:, None], size)
    return every[counts, np.arange(len(GRID))].min(axis=1)


def score_predictions(predictions, *, random_seed: int, levels=LEVELS, probability: float = 0.9, resamples: int = 2000):
    """Coverage, CRPS and log score of each output, with clustered intervals; `score_table` has more.

    Parameters
    ----------
    predictions : DataFrame     rows of predictions.csv (formats.md)
    levels : probabilities of the central intervals

    Returns
    -------
    DataFrame                   output, score, value, low, high, labs, patients; CRPS on the observation's error scale
    """
    import pandas as pd

    boot: dict[str, Any] = {"random_seed": random_seed, "probability": probability, "resamples": resamples}
    rows = []
    for output, mine in predictions.groupby("output", sort=False):
        scores = {f"coverage_{100 * level:.0f}": coverage(mine["pit"], level) for level in levels}
        scores |= {name: mine[name].to_numpy() for name in ("crps", "log_score")}
        found = clustered_means(
            np.column_stack(list(scores.values())), mine["patient"].to_numpy(), shares=range(len(levels)), **boot
        )
        counts = (len(mine), mine["patient"].nunique())
        for k, name in enumerate(scores):
            rows.append((output, name, found.value[0, k], found.low[0, k], found.high[0, k], *counts))
    return pd.DataFrame(rows, columns=["output", "score", "value", "low", "high", "labs", "patients"])
