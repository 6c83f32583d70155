"""Classes of treatments and departures of trials: drawn from their priors, and drawn anew given what belongs to them.

    h_x  Normal(class of x, tau)     class  Normal(common, tau_class)     common  Normal(median, sd)
    d_a  Normal(0, trials_f)         e_t    Normal(0, trials_g)           these and every tau half-normal

with h the ln kS, logit f or logit p of treatment x, d the departure of logit f of an arm, e of ln g of a trial. What
arms published speaks of h, d and e alone: given those, the rest is drawn by Gibbs steps, which leave the posterior as
it is however much of the evidence has been used.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .treatments import ROWS

GROUPS = tuple(dict.fromkeys(row.group for row in ROWS.values()))
GROUP_OF = np.array([GROUPS.index(row.group) for row in ROWS.values()])
TRIALS_F, TRIALS_G = 0.7, 0.3  # scales of the half-normals between trials
GRID = np.geomspace(0.005, 5.0, 240)  # of a tau, in units of its scale
SWEEPS = 5


class Spread(NamedTuple):
    """Hyperpriors of one quantity: ln or logit, common median and its SD, scale of classes and of treatments (SDs)."""

    scale: str
    median: float
    sd: float
    classes: float
    treatments: float

    @property
    def middle(self) -> float:
        """The common median on its scale."""
        return float(np.log(self.median) - (np.log1p(-self.median) if self.scale == "logit" else 0.0))


SITES = {
    "kS": Spread("ln", 0.04, 0.7, 0.4, 0.5),
    "f": Spread("logit", 0.003, 2.0, 1.5, 1.0),
    "p_nonresponse": Spread("logit", 0.05, 1.0, 1.0, 0.7),
}


@dataclass(frozen=True)
class Layout:
    """Where everything stands in x: name -> slice. "h_kS" and so on, "d" by arm, "e" by trial; all else on its own."""

    at: dict
    size: int

    @classmethod
    def of(cls, own, arms: int, trials: int) -> "Layout":
        """own : names of standard normal coordinates"""
        sizes = dict.fromkeys(own, 1) | {f"h_{q}": len(ROWS) for q in SITES} | {"d": arms, "e": trials}
        at, total = {}, 0
        for name, size in sizes.items():
            at[name], total = slice(total, total + size), total + size
        return cls(at, total)

    def middle(self) -> np.ndarray:
        """x (size,) with everything at its median."""
        x = np.zeros(self.size)
        for q, spread in SITES.items():
            x[self.at[f"h_{q}"]] = spread.middle
        return x


def drawn(layout: Layout, members: int, rng) -> tuple[np.ndarray, dict]:
    """x (members, size) and what it belongs to (name -> (members,) or (members, classes)), from the priors."""
    x = rng.standard_normal((members, layout.size))
    above = {
        "trials_f": TRIALS_F * np.abs(rng.standard_normal(members)),
        "trials_g": TRIALS_G * np.abs(rng.standard_normal(members)),
    }
    x[:, layout.at["d"]] *= above["trials_f"][:, None]
    x[:, layout.at["e"]] *= above["trials_g"][:, None]
    for q, spread in SITES.items():
        tau_class, tau = np.abs(rng.standard_normal((2, members))) * [[spread.classes], [spread.treatments]]
        common = spread.middle + spread.sd * rng.standard_normal(members)
        of_class = common[:, None] + tau_class[:, None] * rng.standard_normal((members, len(GROUPS)))
        x[:, layout.at[f"h_{q}"]] = of_class[:, GROUP_OF] + tau[:, None] * x[:, layout.at[f"h_{q}"]]
        above |= {f"common_{q}": common, f"class_{q}": of_class, f"tau_class_{q}": tau_class, f"tau_{q}": tau}
    return x, above


def drawn_given(layout: Layout, x, above: dict, rng) -> dict:
    """What x belongs to, drawn anew given x."""
    above = dict(above)
    above["trials_f"] = tau_given(x[:, layout.at["d"]], TRIALS_F, rng)
    above["trials_g"] = tau_given(x[:, layout.at["e"]], TRIALS_G, rng)
    for q, spread in SITES.items():
        h, of_class = x[:, layout.at[f"h_{q}"]], above[f"class_{q}"]
        for _ in range(SWEEPS):
            above[f"tau_{q}"] = tau_given(h - of_class[:, GROUP_OF], spread.treatments, rng)
            above[f"tau_class_{q}"] = tau_given(of_class - above[f"common_{q}"][:, None], spread.classes, rng)
            of_class = _classes_given(h, above[f"common_{q}"], above[f"tau_class_{q}"], above[f"tau_{q}"], rng)
            above[f"common_{q}"] = _mean_given(of_class, above[f"tau_class_{q}"], spread.middle, spread.sd, rng)
        above[f"class_{q}"] = of_class
    return above


def tau_given(departures, scale: float, rng) -> np.ndarray:
    """SDs (members,) of a half-normal prior given departures (members, k) of mean 0; on a grid of ratio 1.03."""
    tau, count = scale * GRID, departures.shape[1]
    square = (departures**2).sum(axis=1)[:, None]
    log_p = (1 - count) * np.log(tau) - 0.5 * square / tau**2 - 0.5 * GRID**2  # 1: cells of equal width in ln tau
    chance = np.exp(log_p - log_p.max(axis=1, keepdims=True)).cumsum(axis=1)
    at = (chance < rng.random((len(chance), 1)) * chance[:, -1:]).sum(axis=1)
    return tau[at] * (GRID[1] / GRID[0]) ** (rng.random(len(at)) - 0.5)


def _classes_given(h, common, tau_class, tau, rng):
    counts = np.bincount(GROUP_OF, minlength=len(GROUPS))
    sums = np.stack([h[:, GROUP_OF == k].sum(axis=1) for k in range(len(GROUPS))], axis=1)
    precision = 1.0 / tau_class[:, None] ** 2 + counts / tau[:, None] ** 2
    mean = (common[:, None] / tau_class[:, None] ** 2 + sums / tau[:, None] ** 2) / precision
    return mean + rng.standard_normal(mean.shape) / np.sqrt(precision)


def _mean_given(values, tau, middle, sd, rng):
    precision = 1.0 / sd**2 + values.shape[1] / tau**2
    mean = (middle / sd**2 + values.sum(axis=1) / tau**2) / precision
    return mean + rng.standard_normal(len(mean)) / np.sqrt(precision)
