"""Classes of treatments and departures of trials: drawn from their priors, and drawn anew given what belongs to them.

    h_x  Normal(class of x, tau of its class)    class  Normal(common, tau_class)    common  Normal(median, sd)
    d_a  Normal(0, trials_f)    e_t  Normal(0, trials_g)    o_t  Normal(0, trials_h)    these and every tau half-normal

with h the ln kS, logit f or logit p of treatment x, d the departure of logit f of an arm, e of ln g of a trial, o of
the ln hazard of death of myeloma of a trial (what is given after progression differs by country and year). What arms
published speaks of h, d, e and o alone: given those, the rest is drawn by Gibbs steps, which leave the posterior as it
is however much of the evidence has been used.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .treatments import BISPECIFIC, CAR_T, ROWS

GROUPS = tuple(dict.fromkeys(row.group for row in ROWS.values()))
GROUP_OF = np.array([GROUPS.index(row.group) for row in ROWS.values()])
COUNTS = np.bincount(GROUP_OF, minlength=len(GROUPS))
# T-cell products of one class differ in binder, dose and expansion, drugs of one class in their partners [assumed]
WIDER = np.array([2.0 if group in (CAR_T, BISPECIFIC) else 1.0 for group in GROUPS])
TRIALS = {"f": 0.7, "g": 0.3, "h": 0.3}  # scales of the half-normals between trials
DEPARTURES = {"f": "d", "g": "e", "h": "o"}
GRID = np.geomspace(0.005, 5.0, 240)  # of a tau, in units of its scale
SWEEPS = 5


class Spread(NamedTuple):
    """Hyperpriors of one quantity: ln or logit, common median and its SD, scale of classes and of treatments (SDs; of
    the treatments of a class times WIDER)."""

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
    """Where everything stands in x: name -> slice. "h_kS" and so on, "d" by arm, "e" and "o" by trial; all else on its
    own."""

    at: dict
    size: int

    @classmethod
    def of(cls, own, arms: int, trials: int) -> "Layout":
        """own : names of standard normal coordinates"""
        sizes = dict.fromkeys(own, 1) | {f"h_{q}": len(ROWS) for q in SITES} | {"d": arms, "e": trials, "o": trials}
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
    x, above = rng.standard_normal((members, layout.size)), {}
    for name, scale in TRIALS.items():
        above[f"trials_{name}"] = scale * np.abs(rng.standard_normal(members))
        x[:, layout.at[DEPARTURES[name]]] *= above[f"trials_{name}"][:, None]
    for q, spread in SITES.items():
        tau_class = spread.classes * np.abs(rng.standard_normal(members))
        tau = spread.treatments * WIDER * np.abs(rng.standard_normal((members, len(GROUPS))))
        common = spread.middle + spread.sd * rng.standard_normal(members)
        of_class = common[:, None] + tau_class[:, None] * rng.standard_normal((members, len(GROUPS)))
        x[:, layout.at[f"h_{q}"]] = of_class[:, GROUP_OF] + tau[:, GROUP_OF] * x[:, layout.at[f"h_{q}"]]
        above |= {f"common_{q}": common, f"class_{q}": of_class, f"tau_class_{q}": tau_class, f"tau_{q}": tau}
    return x, above


def drawn_given(layout: Layout, x, above: dict, rng) -> dict:
    """What x belongs to, drawn anew given x."""
    above = dict(above)
    for name, scale in TRIALS.items():
        above[f"trials_{name}"] = tau_given(x[:, layout.at[DEPARTURES[name]]], scale, rng)
    for q, spread in SITES.items():
        h, of_class = x[:, layout.at[f"h_{q}"]], above[f"class_{q}"]
        for _ in range(SWEEPS):
            about = h - of_class[:, GROUP_OF]
            above[f"tau_{q}"] = np.stack(
                [tau_given(about[:, GROUP_OF == k], w * spread.treatments, rng) for k, w in enumerate(WIDER)], axis=1
            )
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
    sums = np.stack([h[:, GROUP_OF == k].sum(axis=1) for k in range(len(GROUPS))], axis=1)
    precision = 1.0 / tau_class[:, None] ** 2 + COUNTS / tau**2
    mean = (common[:, None] / tau_class[:, None] ** 2 + sums / tau**2) / precision
    return mean + rng.standard_normal(mean.shape) / np.sqrt(precision)


def _mean_given(values, tau, middle, sd, rng):
    precision = 1.0 / sd**2 + values.shape[1] / tau**2
    mean = (middle / sd**2 + values.sum(axis=1) / tau**2) / precision
    return mean + rng.standard_normal(len(mean)) / np.sqrt(precision)
