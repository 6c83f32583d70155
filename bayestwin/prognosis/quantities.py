"""Chance, knowledge range, doubt: the estimators of report_spec 1.2, named as there.

With draws (theta_m, eta_mk) and S_mk = P(T > h | theta_m, eta_mk):

    chance            p = mean of S
    p_m               mean of S over the draws k that share population draw m (weights w)
    knowledge range   10 to 90 % over m of p_m, after its Monte Carlo noise (within-variance / K_m) is taken out:
                      p_m is shrunk towards p by sqrt(corrected / naive variance)
    doubt             knowledge Var_m(p_m) corrected; chance p - E[S^2]; patient the rest; the three sum to p (1 - p)

A draw-wise interval of S is useless (given all parameters a mechanistic twin is nearly 0 or 1) and is never made.
"""

from dataclasses import dataclass

import numpy as np

from bayestwin.twin.particles import island_means
from bayestwin.twin.surprise import weighted_quantiles

FEWEST_DRAWS, FEWEST_PER_DRAW, ENOUGH_PER_DRAW = 20.0, 4.0, 20.0
LEVELS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Chance:
    """One chance with what is known of its accuracy.

    value, mcse ; knowledge : level -> (low, high) or None with `reason`
    approximate : fewer than 20 draws per population draw
    doubt (patient, knowledge, chance) parts of p (1 - p), summing to it; per_draw : effective K; draws : effective M
    """

    value: float
    mcse: float
    knowledge: dict | None
    reason: str
    approximate: bool
    doubt: tuple[float, float, float]
    per_draw: float
    draws: float


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


def knowledge_spread(values, weights, draw):
    """(shrunk p_m, weights over m, corrected variance, effective K, effective M)."""
    mean, share, effective, within = by_population_draw(values, weights, draw)
    centre = float((share * mean).sum())
    naive = float((share * (mean - centre) ** 2).sum())
    fine = np.isfinite(within)
    pooled = float((share[fine] * within[fine]).sum() / share[fine].sum()) if fine.any() else np.nan
    noise = float((share * pooled / effective).sum())
    corrected = max(naive - noise, 0.0)
    shrunk = centre + (mean - centre) * (np.sqrt(corrected / naive) if naive > 0 else 0.0)
    return shrunk, share, corrected, float((share * effective).sum()), float(1.0 / (share**2).sum())


def chance_of(survival, squared, weights, draw, log_weights, islands: int) -> Chance:
    """Chance of one landmark from S (P,) and an unbiased S^2 (P,)."""
    p = float((weights * survival).sum())
    islands_p = island_means(survival, log_weights, islands)
    mcse = float(islands_p.std(ddof=1) / np.sqrt(islands))
    shrunk, share, corrected, per_draw, draws = knowledge_spread(survival, weights, draw)
    reason = ""
    if draws < FEWEST_DRAWS:
        reason = f"only {draws:.0f} effective population draws"
    elif per_draw < FEWEST_PER_DRAW:
        reason = f"only {per_draw:.1f} patient draws per population draw"
    knowledge = (
        None
        if reason
        else {
            level: tuple(
                float(q)
                for q in np.clip(weighted_quantiles(shrunk, share, ((1 - level) / 2, (1 + level) / 2)), 0.0, 1.0)
            )
            for level in LEVELS
        }
    )
    of_chance = float(np.clip(p - (weights * squared).sum(), 0.0, p * (1 - p)))
    of_knowledge = float(np.clip(corrected, 0.0, p * (1 - p) - of_chance))
    doubt = (p * (1 - p) - of_chance - of_knowledge, of_knowledge, of_chance)
    return Chance(p, mcse, knowledge, reason, per_draw < ENOUGH_PER_DRAW, doubt, per_draw, draws)
