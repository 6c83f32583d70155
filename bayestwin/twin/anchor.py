"""The anchor: every tenth update a twin is rebuilt from scratch, the gap is told, and the rebuilt twin goes on.

A sequence of updates can pass every check and drift all the same. The gap between the twin as updated and as rebuilt,
both of the same record, is for each parameter the difference of posterior means over its Monte Carlo error,

    z = (m_a - m_b) / sqrt(s_a^2 + s_b^2)        s : SD of the island means / sqrt(islands)

and the difference in posterior SDs. Under equality z follows a Student-t with Welch's degrees of freedom, parameter by
parameter; the gap is more than chance where the smallest of D p-values lies under 0.001 / D (Bonferroni). That is said;
the twin that goes on is the rebuilt one either way.

Source: Welch (1947), Biometrika 34:28.
"""

from dataclasses import dataclass, replace

import numpy as np

from bayestwin.twin.particles import island_means
from bayestwin.twin.state import FROM_FIT, PASS

EVERY = 10  # updates since the twin was last made from scratch
LEVEL = 0.001
AGAIN = ("start", "oracle", FROM_FIT, "NUTS")  # paths that do not build on earlier updates


@dataclass(frozen=True)
class Gap:
    """z : the least likely |difference of means| over its Monte Carlo error, of `parameter`; shift : the largest
    difference of means in posterior SDs; beyond_chance : z is more than two runs of the same posterior would give"""

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
    from jax.scipy.special import betainc

    names = updated.model.individual_names
    means, errors, sds = zip(*(_summary(twin) for twin in (updated, rebuilt)))
    a, b = errors[0] ** 2, errors[1] ** 2
    difference, known = np.abs(means[0] - means[1]), a + b > 0
    z = np.divide(difference, np.sqrt(a + b), out=np.zeros_like(difference), where=known)
    below = a**2 / (updated.islands - 1) + b**2 / (rebuilt.islands - 1)
    freedom = np.divide((a + b) ** 2, below, out=np.ones_like(a), where=known)
    p = np.asarray(betainc(freedom / 2.0, 0.5, freedom / (freedom + z**2)))  # both tails of Student-t
    least = int(np.argmin(p))
    shift = np.divide(difference, sds[1], out=np.zeros_like(difference), where=sds[1] > 0)
    return Gap(float(z[least]), names[least], float(shift.max()), bool(p[least] * len(p) < LEVEL))


def anchored(updated, info, rebuilt, check) -> tuple:
    """The rebuilt twin with what the update says of the new labs and the gap, or, where its check failed, the updated
    one with a note.

    info, check : UpdateInfo of the update and of the rebuilding
    """
    if check.verdict != PASS:
        note = f"not anchored: the rebuilt twin failed its check ({'; '.join(check.reasons)})"
        return updated, replace(info, reasons=(*info.reasons, note))
    found = gap(updated, rebuilt)
    note = f"anchored from scratch, after {info.path}: {found}"
    kept = {name: getattr(info, name) for name in ("surprise", "log_evidence", "log_evidence_error", "new_labs")}
    reasons = tuple(dict.fromkeys((*check.reasons, *info.reasons, note)))
    info = replace(check, reasons=reasons, anchor_gap=found.z, anchor_shift=found.shift, **kept)
    return replace(rebuilt, updates=updated.updates), info


def _summary(twin):
    """Posterior means, their Monte Carlo errors and posterior SDs, (D,) each."""
    psi, islands = np.asarray(twin.particles.psi), twin.islands
    by_island = np.asarray(island_means(psi, twin.particles.log_weights, islands))
    mean = by_island.mean(axis=0)
    sd = np.sqrt(twin.weights @ (psi - mean) ** 2)
    return mean, by_island.std(axis=0, ddof=1) / np.sqrt(islands), sd
