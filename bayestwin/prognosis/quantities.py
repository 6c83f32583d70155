"""Chance, knowledge range, doubt: the estimators of report_spec 1.2, named as there.

With draws (theta_m, eta_mk) and S_mk = P(T > h | theta_m, eta_mk):

    chance            p = mean of S
    p_m               mean of S over the draws k that share population draw m (weights w)
    knowledge range   10 to 90 % over m of p_m, after its Monte Carlo noise (within-variance / K_m) is taken out:
                      p_m is shrunk towards p by sqrt(corrected / naive variance); not available where the p_m
                      differ no more than that noise, unless they differ by less than half a point anyway
    doubt             knowledge Var_m(p_m) corrected; chance p - E[S^2]; patient the rest; the three sum to p (1 - p)

How far another random seed would move them: the islands say (twin/monte_carlo.py).
A draw-wise interval of S is useless (given all parameters a mechanistic twin is nearly 0 or 1) and is never made.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bayestwin.twin.few_draws import draws_error
from bayestwin.twin.monte_carlo import island_error, jackknife_error
from bayestwin.twin.surprise import weighted_quantiles

FEWEST_DRAWS, FEWEST_PER_DRAW, ENOUGH_PER_DRAW = 20.0, 4.0, 20.0
LEVELS = (0.5, 0.8, 0.95)
HALF_A_POINT = 0.005  # SD over draws under which a range is a point for every reader
ONLY_NOISE = "population draws differ no more than Monte Carlo noise"


class Spread(NamedTuple):
    """What differs between population draws: shrunk p_m (M,), share (M,), corrected variance, effective K and M.

    noise_only : the draws cannot be told apart, and p_m is not shrunk
    """

    shrunk: np.ndarray
    share: np.ndarray
    corrected: float
    per_draw: float
    draws: float
    noise_only: bool

    @property
    def reason(self) -> str:
        """Why no range is available, or ""."""
        return self.too_few or (ONLY_NOISE if self.noise_only else "")

    @property
    def too_few(self) -> str:
        """Which draws are too few for any range, or ""."""
        if self.draws < FEWEST_DRAWS:
            return f"only {self.draws:.0f} effective population draws"
        if self.per_draw < FEWEST_PER_DRAW:
            return f"only {self.per_draw:.1f} patient draws per population draw"
        return ""


class Estimate(NamedTuple):
    """One number and its Monte Carlo error (SD between random seeds)."""

    value: float
    mcse: float


@dataclass(frozen=True)
class Chance:
    """One chance with what is known of its accuracy.

    draws_error : of the value because population draws are few, see `twin.few_draws`
    value, mcse ; knowledge : level -> (low, high) or None with `reason`
    approximate : fewer than 20 draws per population draw
    doubt (patient, knowledge, chance) parts of p (1 - p), summing to it; per_draw : effective K; draws : effective M
    doubt_mcse : Monte Carlo errors of these parts as shares of p (1 - p). Ends of `knowledge` have none: an
        island holds too few particles of a population draw for a range of its own, and the jackknife of such a quantile
        is not to be believed (1.4 times too large on a known hierarchy)
    """

    value: float
    mcse: float
    knowledge: dict | None
    reason: str
    approximate: bool
    doubt: tuple[float, float, float]
    per_draw: float
    draws: float
    draws_error: float = 0.0
    doubt_mcse: tuple[float, float, float] | None = None


def by_population_draw(values, weights, draw):
    """Means of `values` (P,) per population draw, their weights, effective numbers and within-variances, (M,)."""
    count = int(draw.max()) + 1
    total = np.bincount(draw, weights, minlength=count)
    used = total > 0
    mean = np.bincount(draw, weights * values, minlength=count)[used] / total[used]
    square = np.bincount(draw, weights * values**2, minlength=count)[used] / total[used]
    effective = total[used] ** 2 / np.bincount(draw, weights**2, minlength=count)[used]
    bessel = np.where(effective > 1.0001, effective / np.maximum(effective - 1.0, 1e-9), np.nan)
    return mean, total[used] / total[used].sum(), effective, np.maximum(square - mean**2, 0.0) * bessel


def knowledge_spread(values, weights, draw) -> Spread:
    """What differs between population draws once Monte Carlo noise is taken out.

    The noise of the naive variance is estimated too, with a standard error of about noise sqrt(2 / M): a remainder
    within it is no knowledge.
    """
    mean, share, effective, within = by_population_draw(values, weights, draw)
    centre = float((share * mean).sum())
    naive = float((share * (mean - centre) ** 2).sum())
    fine = np.isfinite(within)
    pooled = float((share[fine] * within[fine]).sum() / share[fine].sum()) if fine.any() else np.nan
    noise = float((share * pooled / effective).sum())
    corrected, draws = max(naive - noise, 0.0), float(1.0 / (share**2).sum())
    unclear = corrected <= noise * np.sqrt(2.0 / max(draws - 1.0, 1.0))
    tiny = np.sqrt(naive) < HALF_A_POINT  # noise included: the range is narrower still
    shrink = 1.0 if unclear else np.sqrt(corrected / naive)
    shrunk = centre + (mean - centre) * shrink
    return Spread(shrunk, share, corrected, float((share * effective).sum()), draws, bool(unclear and not tiny))


def _middle(spread: Spread, level: float) -> tuple[float, float]:
    """The central range of p_m that holds this share of the population draws, within 0 to 1."""
    ends = weighted_quantiles(spread.shrunk, spread.share, ((1 - level) / 2, (1 + level) / 2))
    low, high = np.clip(ends, 0.0, 1.0)
    return float(low), float(high)


def estimate(values, log_weights, islands: int) -> Estimate:
    """Weighted mean of values (P,) with its Monte Carlo error."""
    weights = np.exp(log_weights) / islands
    return Estimate(float(weights @ values), island_error(values, log_weights, islands))


def chance_of(survival, squared, weights, draw, log_weights, islands: int) -> Chance:
    """Chance of one landmark from S (P,) and an unbiased S^2 (P,)."""
    p, spread, doubt = _parts(survival, squared, weights, draw)
    knowledge = None if spread.reason else {level: _middle(spread, level) for level in LEVELS}
    few = spread.per_draw < ENOUGH_PER_DRAW

    def shares(kept):
        parts = _parts(survival, squared, kept, draw)[2]
        return np.divide(parts, max(sum(parts), 1e-300))

    patient, known, luck = jackknife_error(shares, log_weights, islands)
    return Chance(
        p,
        island_error(survival, log_weights, islands),
        knowledge,
        spread.reason,
        few,
        doubt,
        spread.per_draw,
        spread.draws,
        float(draws_error(survival, weights, draw)),
        (float(patient), float(known), float(luck)),
    )


def _parts(survival, squared, weights, draw) -> tuple[float, Spread, tuple[float, float, float]]:
    """Chance, what differs between population draws, and the doubt (patient, knowledge, chance)."""
    p = float((weights * survival).sum())
    spread = knowledge_spread(survival, weights, draw)
    of_chance = float(np.clip(p - (weights * squared).sum(), 0.0, p * (1 - p)))
    of_knowledge = float(np.clip(spread.corrected, 0.0, p * (1 - p) - of_chance))
    return p, spread, (p * (1 - p) - of_chance - of_knowledge, of_knowledge, of_chance)
