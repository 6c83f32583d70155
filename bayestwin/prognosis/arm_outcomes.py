"""What virtual arms say: each outcome under every population draw, and in whole arms of n patients drawn from it.

    expectation    p_m, the mean over patients of draw m: what is known of the model's own expectation. Its spread over
                   draws is taken free of Monte Carlo noise (quantities.py), which the differences between batches show
    prediction     arms of n independent patients of draw m: binomial responders, times from the mean curves of the
                   draw, Kaplan-Meier estimates where patients drop out: what a published arm of n may show

A median is the first time at which half have had the event, on a line between the months of the grid; not reached is
infinite. Sources: Kaplan and Meier (1958), JASA 53:457; the chance estimators of quantities.py.
"""

from typing import Any, NamedTuple

import numpy as np

from bayestwin.prognosis.quantities import knowledge_spread
from bayestwin.prognosis.virtual_arm import Cells

REPLICATES = 20  # arms drawn from every population draw
MOST_DRAWN = 50_000_000  # patients of all simulated arms; fewer arms of each draw where they are so large


class Group(NamedTuple):
    """Cells of the patients of an arm who go one way, and their share of it."""

    cells: Cells
    share: float


class Expected(NamedTuple):
    """Means over patients under each of M population draws, free of noise as far as it can be told.

    shares : name -> (M,), "response" and "complete_response"; months (L,); free, alive (M, L)
    """

    shares: dict[str, np.ndarray]
    months: np.ndarray
    free: np.ndarray
    alive: np.ndarray

    def of(self, outcome) -> np.ndarray | None:
        """An outcome (`Outcome`) under each draw, (M,); None where the model does not code it."""
        if outcome.what in ("response", "complete_response"):
            return self.shares.get(outcome.what)
        curves = self.free if outcome.what.startswith("pfs") else self.alive
        if outcome.what.endswith("_median"):
            return medians(self.months, curves)
        return at_month(self.months, curves, outcome.month)


def expected(groups, months, *, draws: int, batches: int) -> Expected:
    """Means under each draw of the groups of an arm."""
    shares = {}
    if all(group.cells.response is not None for group in groups):
        for name, field in (("response", "response"), ("complete_response", "complete")):
            means = _by_batch(groups, lambda c, field=field: getattr(c, field)[:, None].astype(float), draws, batches)
            shares[name] = np.clip(_without_noise(means)[:, 0], 0.0, 1.0)  # -7e-18 by rounding
    free, alive = (
        np.minimum.accumulate(np.clip(_without_noise(_by_batch(groups, curve, draws, batches)), 0.0, 1.0), axis=1)
        for curve in (lambda c: c.free, lambda c: c.alive)
    )
    return Expected(shares, np.asarray(months, dtype=float), free, alive)


def _by_batch(groups, values, draws: int, batches: int) -> np.ndarray:
    """Weighted means (M, B, L) of the values (P, L) of cells, over the groups by their shares."""
    total: Any = 0.0
    for cells, share in groups:
        where, v = cells.draw * batches + cells.batch, values(cells)
        weight = np.bincount(where, cells.weight, minlength=draws * batches)
        sums = np.stack([np.bincount(where, cells.weight * x, minlength=draws * batches) for x in v.T], axis=-1)
        total = total + share * sums / weight[:, None]
    return total.reshape(draws, batches, -1)


def _without_noise(means) -> np.ndarray:
    """Means over batches (M, L) from (M, B, L), shrunk by what differs between batches alone.

    What a batch has in common in all draws, its covariates, is no noise: all batches together have the arm's mix.
    """
    draws, batches, count = means.shape
    means = means - means.mean(axis=0, keepdims=True) + means.mean(axis=(0, 1), keepdims=True)
    draw, even = np.repeat(np.arange(draws), batches), np.full(draws * batches, 1.0 / (draws * batches))
    return np.stack([knowledge_spread(means[..., k].ravel(), even, draw).shrunk for k in range(count)], axis=-1)


def medians(months, curves) -> np.ndarray:
    """Where curves (..., L) at these months first reach one half, inf where they do not, (...,)."""
    grid = np.concatenate([[0.0], months])
    s = np.concatenate([np.ones((*curves.shape[:-1], 1)), curves], axis=-1)
    there = s <= 0.5
    k = np.maximum(np.argmax(there, axis=-1), 1)
    high, low = (np.take_along_axis(s, i[..., None], axis=-1)[..., 0] for i in (k - 1, k))
    share = np.divide(high - 0.5, high - low, out=np.zeros_like(high), where=high > low)
    return np.where(there.any(axis=-1), grid[k - 1] + share * (grid[k] - grid[k - 1]), np.inf)


def at_month(months, curves, month: float) -> np.ndarray:
    """Curves (..., L) at one month, on a line between those of the grid, (...,)."""
    grid = np.concatenate([[0.0], months])
    s = np.concatenate([np.ones((*curves.shape[:-1], 1)), curves], axis=-1)
    k = int(np.clip(np.searchsorted(grid, month), 1, len(grid) - 1))
    share = (month - grid[k - 1]) / (grid[k] - grid[k - 1])
    return s[..., k - 1] + share * (s[..., k] - s[..., k - 1])


class Arms(NamedTuple):
    """Whole arms of n patients, A of them, `draw` (A,) the population draw of each.

    shares : name -> (A,) as an arm of n patients shows them; event, death, drop_out (A, n) : months
    """

    draw: np.ndarray
    shares: dict[str, np.ndarray]
    event: np.ndarray
    death: np.ndarray
    drop_out: np.ndarray

    def of(self, outcome) -> np.ndarray | None:
        """An outcome (`Outcome`) as each arm would publish it, (A,); None where the model does not code it."""
        if outcome.what in ("response", "complete_response"):
            return self.shares.get(outcome.what)
        at, estimate = kaplan_meier(self.event if outcome.what.startswith("pfs") else self.death, self.drop_out)
        if outcome.what.endswith("_median"):
            there = estimate <= 0.5 + 1e-12
            return np.where(there.any(axis=1), at[np.arange(len(at)), np.argmax(there, axis=1)], np.inf)
        return step_at(at, estimate, outcome.month)


def draw_arms(expectation: Expected, n: int, *, drop_out: float, rng, replicates: int = REPLICATES) -> Arms:
    """Arms of n patients under each population draw; drop_out : hazard per month.

    Patients of one draw are independent, so that responders are binomial and times come from the mean curve.
    """
    draws = len(expectation.free)
    replicates = max(1, min(replicates, MOST_DRAWN // (draws * n)))
    draw = np.repeat(np.arange(draws), replicates)
    shares = {name: rng.binomial(n, p[draw]) / n for name, p in expectation.shares.items()}
    event, death = (
        np.concatenate([_times(expectation.months, curve, rng.random((replicates, n))) for curve in curves])
        for curves in (expectation.free, expectation.alive)
    )
    leaving = rng.standard_exponential(event.shape) / drop_out if drop_out > 0 else np.full(event.shape, np.inf)
    return Arms(draw, shares, event, death, leaving)


def _times(months, curve, uniform) -> np.ndarray:
    """Times at which a curve (L,) falls to uniform numbers, inf where it does not."""
    s, grid = np.concatenate([[1.0], curve])[::-1], np.concatenate([[0.0], months])[::-1]
    return np.where(uniform < s[0], np.inf, np.interp(uniform, s, grid))


def kaplan_meier(time, drop_out) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan-Meier estimates of A arms from times of the event and of leaving (A, n).

    Returns
    -------
    times in order (A, n), estimate just after each (A, n)
    """
    until, happened = np.minimum(time, drop_out), time <= drop_out
    order = np.lexsort((~happened, until), axis=-1)
    until, happened = (np.take_along_axis(a, order, axis=-1) for a in (until, happened))
    left = until.shape[-1] - np.arange(until.shape[-1])
    happened = happened & np.isfinite(until)
    return until, np.cumprod(1.0 - happened / left, axis=-1)


def step_at(times, estimate, month: float) -> np.ndarray:
    """Estimates (A, n) at one month, (A,)."""
    before = (times <= month).sum(axis=1)
    return np.where(before > 0, np.take_along_axis(estimate, np.maximum(before - 1, 0)[:, None], axis=1)[:, 0], 1.0)
