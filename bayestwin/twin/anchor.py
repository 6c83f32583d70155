"""The anchor: every tenth update a twin is rebuilt from scratch, the gap is told, and the rebuilt twin goes on.

A sequence of updates can pass every check and drift all the same. The gap between the twin as updated and as rebuilt,
both of the same record, is for each parameter the difference of posterior means over its Monte Carlo error,

    z = (m_a - m_b) / sqrt(s_a^2 + s_b^2)        s : SD of the island means / sqrt(islands)

and the difference in posterior SDs. The largest |z| of D parameters is more than chance where it passes the Student-t
quantile of 0.001 / D. That is said; the twin that goes on is the rebuilt one either way.
"""

from dataclasses import dataclass

import numpy as np

from bayestwin.twin.particles import island_means

EVERY = 10  # updates since the twin was last made from scratch
LEVEL = 0.001
AGAIN = ("start", "oracle", "joint fit")  # paths that do not build on earlier updates


@dataclass(frozen=True)
class Gap:
    """z : largest |difference of means| over its Monte Carlo error, of `parameter`; shift : the largest difference of
    means in posterior SDs; beyond_chance : z is more than two runs of the same posterior would give"""

    z: float
    parameter: str
    shift: float
    beyond_chance: bool

    def __str__(self):
        said = f"largest gap {self.z:.1f} Monte Carlo errors ({self.parameter}), {self.shift:.2f} posterior SD"
        return said + ("; more than chance: the updates had gone astray" if self.beyond_chance else "")


def since_scratch(history) -> int:
    """Updates since the twin was last made from scratch."""
    number = 0
    for info in reversed(history):
        if info.path in AGAIN:
            break
        number += 1
    return number


def gap(updated, rebuilt) -> Gap:
    """The gap between two twins of the same record, over the parameters that differ between patients."""
    names = updated.model.individual_names
    means, errors, sds = zip(*(_summary(twin) for twin in (updated, rebuilt)))
    difference, error = np.abs(means[0] - means[1]), np.sqrt(errors[0] ** 2 + errors[1] ** 2)
    z = np.divide(difference, error, out=np.zeros_like(difference), where=error > 0)
    largest = int(np.argmax(z))
    limit = _t_quantile(1.0 - LEVEL / (2 * len(z)), updated.islands + rebuilt.islands - 2)
    shift = np.divide(difference, sds[1], out=np.zeros_like(difference), where=sds[1] > 0)
    return Gap(float(z[largest]), names[largest], float(shift.max()), bool(z[largest] > limit))


def _summary(twin):
    """Posterior means, their Monte Carlo errors and posterior SDs, (D,) each."""
    psi, islands = np.asarray(twin.particles.psi), twin.islands
    by_island = np.asarray(island_means(psi, twin.particles.log_weights, islands))
    mean = by_island.mean(axis=0)
    sd = np.sqrt(twin.weights @ (psi - mean) ** 2)
    return mean, by_island.std(axis=0, ddof=1) / np.sqrt(islands), sd


def _t_quantile(p: float, freedom: int) -> float:
    """Quantile of Student-t by the series of Abramowitz and Stegun 26.7.5 around the normal one."""
    from jax.scipy.special import ndtri

    z = float(ndtri(p))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom ** (k + 1) for k, term in enumerate(terms))
