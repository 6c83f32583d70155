"""Are two numbers equal up to their Monte Carlo error? The error of eight islands is itself known to a quarter only.

    t = (a - b) / sqrt(e_a^2 + e_b^2)           degrees of freedom by Welch and Satterthwaite:
    nu = (e_a^2 + e_b^2)^2 / (e_a^4 / nu_a + e_b^4 / nu_b)

Under equality t follows a Student-t with nu degrees of freedom (7 to 14 for two twins of eight islands), not a normal:
its mean square is nu / (nu - 2), 1.2 to 1.4, and |t| of 4 is nothing rare among forty comparisons. Two uses:

    z           the normal deviate of the same probability, so that z has variance 1 under equality whatever nu is
    adjusted p  Holm's (scores.holm): of a hundred tables of equal posteriors one at most is declared unequal

Sources: Welch (1947), Biometrika 34:28; Holm (1979), Scandinavian Journal of Statistics 6:65.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.evaluation.verification.moments import Estimate

FALSE_ALARM = 0.01  # chance that a table of equal posteriors is called unequal
SAME = 1e-12  # relative difference under which numbers without any error are one


class Difference(NamedTuple):
    """a - b, its combined Monte Carlo error, Welch's t and degrees of freedom, two-sided p and normal deviate z."""

    difference: float
    error: float
    t: float
    freedom: float
    p: float
    z: float


def welch(a: Estimate, b: Estimate) -> Difference:
    """Compare two estimates from separate islands; what is not a number is never equal."""
    from scipy.stats import norm
    from scipy.stats import t as student

    gap, variances = a.value - b.value, np.array([a.error**2, b.error**2])
    error, nan = float(np.sqrt(variances.sum())), float("nan")
    if not np.isfinite([gap, error]).all():
        return Difference(gap, error, nan, nan, 0.0, float("inf"))
    if error <= SAME * (1.0 + abs(a.value)):  # copies of one twin, or a quantity without any spread
        same = abs(gap) <= SAME * (1.0 + abs(a.value))
        return Difference(gap, error, 0.0 if same else np.sign(gap) * np.inf, nan, float(same), 0.0 if same else np.inf)
    freedom = float(variances.sum() ** 2 / (variances**2 / np.array([a.freedom, b.freedom])).sum())
    t = gap / error
    p = float(2.0 * student.sf(abs(t), freedom))
    return Difference(gap, error, t, freedom, p, float(np.sign(gap) * norm.isf(0.5 * p)))


def smallest_seen(error: float, freedom: float, comparisons: int, level: float = FALSE_ALARM) -> float:
    """The difference that the first step of Holm's procedure would have declared, given its Monte Carlo error."""
    from scipy.stats import t as student

    return float(error * student.isf(0.5 * level / comparisons, freedom))
