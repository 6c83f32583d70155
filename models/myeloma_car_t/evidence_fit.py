"""The population given what trials published: priors by class of treatment, the joint likelihood of each arm.

    ln kS_x, logit f_x, logit p_x    Normal around the median of their class, classes around a common one
    arm a of trial t                 logit f + d_a, ln g + e_t       d ~ Normal(0, tau_f), e ~ Normal(0, tau_g)
    outcomes of an arm               Normal(s_a(theta), D C D), C = Cov(one patient's outcomes) / n'

s_a are the chances of the arm's virtual patients (arms.py): the individual outcomes integrated over the covariate mix.
ORR, CR and points of one PFS curve are one data set of the same n patients: C holds their covariances (a responder's
PFS, CR within ORR, Kaplan-Meier at two times). n' = n / 1.3 for PFS, whose patients are partly censored [assumed]; D
doubles the standard error of what is marked memory. A median m says PFS(m) = 1/2.

Everything is in standard normal coordinates z of the priors, so that ln p(z | data) = -|z|^2 / 2 + log-likelihood
(evidence_sampling.py).

Medians of model.py are not used for kS, f and p: they were calibrated to the same outcomes, which would count twice.
Source of the idea: multilevel network meta-regression (Phillippo et al. 2020, J R Stat Soc A 183:1189; memory).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.specification.priors import HalfNormal, LogitNormal, LogNormal, Normal

from . import arms as virtual
from .treatments import ROWS

RHO = 0.5
CENSORED = 1.3  # patients per patient that counts, of a PFS curve
SHRUNK = 0.95  # of the covariance of two outcomes: from finitely many nodes, it may come out as certain
NODE_ERROR = 0.015  # SD of an outcome from the finite number of virtual patients, added
HORIZONS = (20.0, 50.0)  # months; an arm is simulated to the first that holds its outcomes
GROUPS = tuple(dict.fromkeys(row.group for row in ROWS.values()))
SITES = {
    "kS": ("ln", 0.04, 0.7, 0.4, 0.5),
    "f": ("logit", 0.003, 2.0, 1.5, 1.0),
    "p_nonresponse": ("logit", 0.05, 1.0, 1.0, 0.7),
}


class Spread(NamedTuple):
    """Hyperpriors of one quantity: ln or logit, common median and its SD, scale of classes and of treatments (SDs)."""

    scale: str
    median: float
    sd: float
    classes: float
    treatments: float


@dataclass(frozen=True)
class Layout:
    """Where everything stands in z: name -> slice."""

    at: dict
    size: int

    @classmethod
    def of(cls, sizes: dict) -> "Layout":
        at, total = {}, 0
        for name, size in sizes.items():
            at[name], total = slice(total, total + size), total + size
        return cls(at, total)


def from_normal(prior, z):
    """The value of a prior at the quantile of a standard normal, natural scale."""
    if isinstance(prior, LogNormal):
        return prior.median * jnp.exp(prior.sd_log * z)
    if isinstance(prior, LogitNormal):
        return jax.nn.sigmoid(np.log(prior.median) - np.log1p(-prior.median) + prior.sd_logit * z)
    if isinstance(prior, Normal):
        return prior.mean + prior.sd * z
    if isinstance(prior, HalfNormal):  # exact: 2 Phi(x / sd) - 1 = Phi(z)
        return -prior.sd * jax.scipy.special.ndtri(0.5 * jax.scipy.special.ndtr(-z))
    raise TypeError(type(prior).__name__)


class Evidence:
    """Arms with outcomes to fit, as functions of z."""

    def __init__(self, model, arms, *, nodes: int = 128, seed: int = 1):
        self.rho = RHO
        self.model, self.arms = model, [a for a in arms if any(o.use == "fit" for o in a.outcomes) and not a.outside]
        self.trials = tuple(dict.fromkeys(a.trial for a in self.arms))
        apart = {f"{q}_{x}" for q in SITES for x in ROWS}
        self.own = {n: p for n, p in hyper_sites(model).items() if n.removesuffix("_pop") not in apart}
        self.layout = Layout.of(
            {**{name: 1 for name in self.own}, "tau_f": 1, "tau_g": 1, "d": len(self.arms), "e": len(self.trials)}
            | {f"common_{q}": 1 for q in SITES}
            | {f"tau_class_{q}": 1 for q in SITES}
            | {f"tau_{q}": 1 for q in SITES}
            | {f"class_{q}": len(GROUPS) for q in SITES}
            | {f"each_{q}": len(ROWS) for q in SITES}
        )
        self.groups = [self._group(h, nodes, seed) for h in HORIZONS]
        self.groups = [g for g in self.groups if g is not None]

    def _group(self, horizon, nodes, seed):
        low = max([0.0, *(h for h in HORIZONS if h < horizon)])
        chosen = [k for k, a in enumerate(self.arms) if low < _longest(a) <= horizon]
        if not chosen:
            return None
        units = [u._replace(arm=chosen[u.arm]) for u in virtual.units_of([self.arms[k] for k in chosen])]
        days = horizon * virtual.MONTH
        made = virtual.make_nodes(self.model, self.arms, units, nodes, days, seed, RHO)
        grid, at = virtual.time_grid(days, self.arms[chosen[0]].visit_every)
        return chosen, units, made, grid, at

    def values(self, z) -> dict:
        """Population-level sites, natural scale, and the effects of trials (`trial_f`, `trial_g`)."""
        found = {name: from_normal(prior, z[self.layout.at[name]][0]) for name, prior in self.own.items()}
        part = {name: z[where] for name, where in self.layout.at.items()}
        for q, numbers in SITES.items():
            s = Spread(*numbers)
            middle = np.log(s.median) - (np.log1p(-s.median) if s.scale == "logit" else 0.0)
            tau_class = from_normal(HalfNormal(sd=s.classes), part[f"tau_class_{q}"][0])
            tau = from_normal(HalfNormal(sd=s.treatments), part[f"tau_{q}"][0])
            group = middle + s.sd * part[f"common_{q}"][0] + tau_class * part[f"class_{q}"]
            for k, (x, row) in enumerate(ROWS.items()):
                h = group[GROUPS.index(row.group)] + tau * part[f"each_{q}"][k]
                found[f"{q}_{x}_pop"] = jnp.exp(h) if s.scale == "ln" else jax.nn.sigmoid(h)
        tau_f, tau_g = (
            from_normal(HalfNormal(sd=0.7), part["tau_f"][0]),
            from_normal(HalfNormal(sd=0.3), part["tau_g"][0]),
        )
        found |= {"tau_f": tau_f, "tau_g": tau_g, "trial_f": tau_f * part["d"], "trial_g": tau_g * part["e"]}
        return found

    def chances(self, z) -> list[dict]:
        """Per arm: outcome -> mean over its virtual patients, and joint means `a & b` for the covariance."""
        values = self.values(z)
        hyper = assemble(
            self.model, {k: v for k, v in values.items() if k not in ("tau_f", "tau_g", "trial_f", "trial_g")}, RHO
        )
        names = self.model.parameter_names
        sigma = jnp.stack(
            [values[s] for s in ("sigma_add_m_protein", "sigma_prop_m_protein", "sigma_log_involved_flc")]
        )
        found: list[Any] = [None] * len(self.arms)
        for chosen, units, made, grid, at in self.groups:
            shift = []
            for unit in units:
                arm = self.arms[unit.arm]
                row = jnp.zeros(len(names)).at[names.index("g")].add(values["trial_g"][self.trials.index(arm.trial)])
                if unit.treatment in ROWS:
                    row = row.at[names.index(f"f_{unit.treatment}")].add(values["trial_f"][unit.arm])
                shift.append(row)
            each = virtual.simulate(self.model, hyper, jnp.stack(shift), made, grid, at, RHO, sigma)
            for k in chosen:
                found[k] = self._arm(k, units, each, grid[at])
        return found

    def _arm(self, k, units, each, days):
        arm, total = self.arms[k], {}
        for number, unit in enumerate(units):
            if unit.arm != k:
                continue
            entered = each["entered"][number].sum()
            curves = {name: value[number].sum(axis=0) / entered for name, value in each.items()}
            for name, value in _arm_outcomes(arm, unit, curves, days).items():
                total[name] = total.get(name, 0.0) + unit.share * value
        return total


def fitted_outcomes(arm):
    """Outcomes of an arm that are fitted: what is not shown only, and no survival (therapy after progression)."""
    return [o for o in arm.outcomes if o.use == "fit" and not o.what.startswith("os")]


def _longest(arm) -> float:
    months = [o.month or (o.value if o.what == "pfs_median" else 0.0) for o in fitted_outcomes(arm)]
    return max([12.0, *months])


def _key(outcome):
    """What is simulated for an outcome: (kind, months); of a median the share at the published time."""
    if outcome.is_share:
        return ("pfs", outcome.month) if outcome.what == "pfs_at" else (outcome.what, None)
    return "pfs", outcome.value


def _name(*keys) -> str:
    """As `chances` names them: "pfs@12", "response", of a pair "response & pfs@12"."""
    return " & ".join(kind if months is None else f"{kind}@{months:g}" for kind, months in keys)


def _arm_outcomes(arm, unit, curves, days):
    """Name of an outcome, or of a pair, -> expectation, for every outcome of the arm that is fitted."""
    keys, found = [_key(o) for o in fitted_outcomes(arm)], {}

    def at(name, months):
        since = months * virtual.MONTH - unit.wait  # events are seen at visits: the last one by then counts
        position = int(np.searchsorted(days, since + 1e-9, side="right")) - 1
        return curves[name][max(position, 0)] if since >= 0 else jnp.ones(())

    for a in keys:
        found[_name(a)] = at("pfs", a[1]) if a[0] == "pfs" else curves[a[0]]
    for i, a in enumerate(keys):
        for b in keys[i + 1 :]:
            (first, one), (second, two) = sorted((a, b), key=lambda key: key[0] == "pfs")
            if first == "pfs":
                found[_name(a, b)] = at("pfs", max(one, two))
            elif second == "pfs":
                found[_name(a, b)] = at("response_and_pfs" if first == "response" else "complete_and_pfs", two)
            else:
                found[_name(a, b)] = curves["complete_response"]
    return found


def law_of_arm(arm, found):
    """(observed, expected, covariance, names) of the fitted outcomes of an arm."""
    outcomes = fitted_outcomes(arm)
    keys = [_key(o) for o in outcomes]
    observed = jnp.array([o.value if o.is_share else 0.5 for o in outcomes])
    mean = jnp.clip(jnp.stack([found[_name(a)] for a in keys]), 0.002, 0.998)
    joint = jnp.stack(
        [jnp.stack([_joint(found, keys, mean, i, j) for j in range(len(keys))]) for i in range(len(keys))]
    )
    scale = np.array(
        [
            (2.0 if o.mark == "memory" else 1.0) * np.sqrt(CENSORED if a[0] == "pfs" else 1.0)
            for o, a in zip(outcomes, keys)
        ]
    )
    covariance = (joint - mean[:, None] * mean) / arm.n * scale[:, None] * scale
    return observed, mean, covariance + NODE_ERROR**2 * jnp.eye(len(keys)), [_name(a) for a in keys]


def _joint(found, keys, mean, i, j):
    if i == j:
        return mean[i]
    together = jnp.minimum(found[_name(keys[min(i, j)], keys[max(i, j)])], jnp.minimum(mean[i], mean[j]))
    return mean[i] * mean[j] + SHRUNK * (together - mean[i] * mean[j])
