"""Classes of treatments and departures of trials: drawn from their priors, and drawn anew given what belongs to them.

    h_x  Normal(class of x + shift of x, tau of its class)     a treatment by itself
    h_x  Normal(h_b + class of what is added, tau)             b with a drug added, as daratumumab to Rd
    class  Normal(common, tau_class)    common  Normal(median, sd), one of treatments and one of what is added
    d_a  Normal(0, trials_f)    e_t  Normal(0, trials_g)    o_t  Normal(0, trials_h)    these and every tau half-normal

with h the ln kS, logit f or logit p of treatment x, d the departure of logit f of an arm, e of ln g of a trial, o of
the ln hazard of death of myeloma of a trial (what is given after progression differs by country and year). What arms
published speaks of h, d, e and o alone: given those, the rest is drawn by Gibbs steps, which leave the posterior as it
is however much of the evidence has been used.

Source of adding: components of a network of trials (Welton et al. 2009, Am J Epidemiol 169:1158; memory).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .treatments import ANTIBODY, BISPECIFIC, CAR_T, CONJUGATE, ROWS

INHIBITOR = "proteasome inhibitor"
ADDED = {  # treatment: what it is without the drug added, and the class of that drug
    "teclistamab_dara": ("teclistamab", ANTIBODY),
    "belantamab_vd": ("vd", CONJUGATE),
    "belantamab_pd": ("pd", CONJUGATE),
    "dara_rd": ("rd", ANTIBODY),
    "dara_vd": ("vd", ANTIBODY),
    "dara_pd": ("pd", ANTIBODY),
    "isa_pd": ("pd", ANTIBODY),
    "isa_kd": ("kd", ANTIBODY),
    "krd": ("rd", INHIBITOR),
    "pvd": ("pd", INHIBITOR),
}
OF = [(1, ADDED[name][1]) if name in ADDED else (0, row.group) for name, row in ROWS.items()]
CLASSES = tuple(dict.fromkeys(OF))
CLASS_OF = np.array([CLASSES.index(own) for own in OF])
FAMILY = np.array([family for family, _ in CLASSES])  # of a class: 0 treatments by themselves, 1 what is added
COUNTS = np.bincount(CLASS_OF, minlength=len(CLASSES))
HAS_BASE = np.array([name in ADDED for name in ROWS])
BASE = np.array([list(ROWS).index(ADDED[name][0]) if name in ADDED else 0 for name in ROWS])
# T-cell products of one class differ in binder, dose and expansion, drugs of one class in their partners [assumed]
WIDER = np.array([2.0 if of in ((0, CAR_T), (0, BISPECIFIC)) else 1.0 for of in CLASSES])
# kS of CAR-T cells is the kill of cells above their EC50, 0.05 to 0.3 a day; of drugs, a regimen's in effect [assumed]
SHIFT = {"kS": np.where([row.group == CAR_T for row in ROWS.values()], np.log(0.12 / 0.04), 0.0)}
TRIALS = {"f": 0.7, "g": 0.3, "h": 0.5}  # scales of the half-normals between trials
DEPARTURES = {"f": "d", "g": "e", "h": "o"}
GRID = np.geomspace(0.005, 5.0, 240)  # of a tau, in units of its scale
SWEEPS = 5


class Spread(NamedTuple):
    """Hyperpriors of one quantity: ln or logit, common median and its SD, scale of classes and of treatments (SDs; of
    the treatments of a class times WIDER); mean, SD and the same two scales of what a drug adds."""

    scale: str
    median: float
    sd: float
    classes: float
    treatments: float
    added: tuple[float, float, float, float]

    @property
    def middle(self) -> float:
        """The common median on its scale."""
        return float(np.log(self.median) - (np.log1p(-self.median) if self.scale == "logit" else 0.0))

    @property
    def families(self) -> np.ndarray:
        """Mean, SD and scale of classes (3, 2), of treatments by themselves and of what is added."""
        return np.array([(self.middle, self.sd, self.classes), self.added[:3]]).T

    @property
    def scales(self) -> np.ndarray:
        """Scale of the treatments of each class."""
        return np.where(FAMILY == 0, WIDER * self.treatments, self.added[3])


# An added drug seldom makes the others worse: it kills besides them, and half to a twentieth of what resists them
# resists it too [assumed]
SITES = {
    "kS": Spread("ln", 0.04, 0.7, 0.4, 0.5, (0.4, 0.3, 0.2, 0.3)),
    "f": Spread("logit", 0.003, 2.0, 1.5, 1.0, (-2.0, 1.0, 0.7, 0.7)),
    "p_nonresponse": Spread("logit", 0.05, 1.0, 1.0, 0.7, (-0.7, 0.5, 0.4, 0.5)),
}


def above_of(q: str, h):
    """h (..., treatments) of a quantity less its shift and that of the treatment to which a drug was added."""
    return h - HAS_BASE * h[..., BASE] - shift_of(q)


def shift_of(q: str) -> np.ndarray:
    """What is known of each treatment beyond its class: 0 but for the kS of CAR-T cells."""
    return SHIFT.get(q, np.zeros(len(ROWS)))


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
            own = spread.families[0][FAMILY[CLASS_OF]]
            own = own + shift_of(q)
            x[self.at[f"h_{q}"]] = own + HAS_BASE * own[BASE]
        return x


def drawn(layout: Layout, members: int, rng) -> tuple[np.ndarray, dict]:
    """x (members, size) and what it belongs to, from the priors: name -> (members,), (members, classes or 2)."""
    x, above = rng.standard_normal((members, layout.size)), {}
    for name, scale in TRIALS.items():
        above[f"trials_{name}"] = scale * np.abs(rng.standard_normal(members))
        x[:, layout.at[DEPARTURES[name]]] *= above[f"trials_{name}"][:, None]
    for q, spread in SITES.items():
        middle, sd, classes = spread.families
        tau_class = classes * np.abs(rng.standard_normal((members, 2)))
        tau = spread.scales * np.abs(rng.standard_normal((members, len(CLASSES))))
        common = middle + sd * rng.standard_normal((members, 2))
        of_class = common[:, FAMILY] + tau_class[:, FAMILY] * rng.standard_normal((members, len(CLASSES)))
        own = of_class[:, CLASS_OF] + tau[:, CLASS_OF] * x[:, layout.at[f"h_{q}"]] + shift_of(q)
        x[:, layout.at[f"h_{q}"]] = own + HAS_BASE * own[:, BASE]
        above |= {f"common_{q}": common, f"class_{q}": of_class, f"tau_class_{q}": tau_class, f"tau_{q}": tau}
    return x, above


def drawn_given(layout: Layout, x, above: dict, rng) -> dict:
    """What x belongs to, drawn anew given x."""
    above = dict(above)
    for name, scale in TRIALS.items():
        above[f"trials_{name}"] = tau_given(x[:, layout.at[DEPARTURES[name]]], scale, rng)
    for q, spread in SITES.items():
        own, of_class = above_of(q, x[:, layout.at[f"h_{q}"]]), above[f"class_{q}"]
        middle, sd, classes = spread.families
        for _ in range(SWEEPS):
            about, common = own - of_class[:, CLASS_OF], above[f"common_{q}"]
            above[f"tau_{q}"] = np.stack(
                [tau_given(about[:, CLASS_OF == k], scale, rng) for k, scale in enumerate(spread.scales)], axis=1
            )
            tau_class = np.stack(
                [tau_given((of_class - common[:, FAMILY])[:, FAMILY == k], classes[k], rng) for k in (0, 1)], axis=1
            )
            of_class = _classes_given(own, common[:, FAMILY], tau_class[:, FAMILY], above[f"tau_{q}"], rng)
            above[f"tau_class_{q}"] = tau_class
            above[f"common_{q}"] = np.stack(
                [_mean_given(of_class[:, FAMILY == k], tau_class[:, k], middle[k], sd[k], rng) for k in (0, 1)], axis=1
            )
        above[f"class_{q}"] = of_class
    return above


class Silent(NamedTuple):
    """What no fitted arm speaks of: treatments (T,), arms (A,) and trials (R,) left out, bool."""

    treatments: np.ndarray
    arms: np.ndarray
    trials: np.ndarray

    @classmethod
    def of(cls, every, kept, trials) -> "Silent":
        """every : the arms of the fit; kept : positions of those that are not left out; trials : names in order"""
        given = {name for k in kept for name in (every[k].treatment, every[k].instead)}
        heard = {every[k].trial for k in kept}
        arms = ~np.isin(np.arange(len(every)), kept)
        return cls(np.array([name not in given for name in ROWS]), arms, np.array([t not in heard for t in trials]))


def silent_given(layout: Layout, x, above: dict, silent: Silent, rng) -> np.ndarray:
    """x (members, size) with that of which no arm speaks drawn anew, given what it belongs to and all else of x.

    Left as it was drawn at first it would hold classes and their SDs there, whatever the arms said of them.
    """
    x = np.array(x)
    for q in SITES:
        at, tau = layout.at[f"h_{q}"], above[f"tau_{q}"][:, CLASS_OF]
        of_class = above[f"class_{q}"][:, CLASS_OF] + shift_of(q)
        h = x[:, at]
        for k in np.flatnonzero(silent.treatments):
            mean = of_class[:, k] + (h[:, BASE[k]] if HAS_BASE[k] else 0.0)
            precision = 1.0 / tau[:, k] ** 2
            total = precision * mean
            for child in np.flatnonzero(HAS_BASE & (BASE == k)):
                total = total + (h[:, child] - of_class[:, child]) / tau[:, child] ** 2
                precision = precision + 1.0 / tau[:, child] ** 2
            h[:, k] = total / precision + rng.standard_normal(len(h)) / np.sqrt(precision)
        x[:, at] = h
    for name, one in (("f", silent.arms), ("g", silent.trials), ("h", silent.trials)):
        where = np.arange(layout.size)[layout.at[DEPARTURES[name]]][one]
        x[:, where] = above[f"trials_{name}"][:, None] * rng.standard_normal((len(x), len(where)))
    return x


def tau_given(departures, scale: float, rng) -> np.ndarray:
    """SDs (members,) of a half-normal prior given departures (members, k) of mean 0; on a grid of ratio 1.03."""
    tau, count = scale * GRID, departures.shape[1]
    square = (departures**2).sum(axis=1)[:, None]
    log_p = (1 - count) * np.log(tau) - 0.5 * square / tau**2 - 0.5 * GRID**2  # 1: cells of equal width in ln tau
    chance = np.exp(log_p - log_p.max(axis=1, keepdims=True)).cumsum(axis=1)
    at = (chance < rng.random((len(chance), 1)) * chance[:, -1:]).sum(axis=1)
    return tau[at] * (GRID[1] / GRID[0]) ** (rng.random(len(at)) - 0.5)


def _classes_given(own, common, tau_class, tau, rng):
    sums = np.stack([own[:, CLASS_OF == k].sum(axis=1) for k in range(len(CLASSES))], axis=1)
    precision = 1.0 / tau_class**2 + COUNTS / tau**2
    mean = (common / tau_class**2 + sums / tau**2) / precision
    return mean + rng.standard_normal(mean.shape) / np.sqrt(precision)


def _mean_given(values, tau, middle, sd, rng):
    precision = 1.0 / sd**2 + values.shape[1] / tau**2
    mean = (middle / sd**2 + values.sum(axis=1) / tau**2) / precision
    return mean + rng.standard_normal(len(mean)) / np.sqrt(precision)
