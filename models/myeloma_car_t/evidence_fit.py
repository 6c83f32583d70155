"""The population given what trials published: priors by class of treatment, the joint likelihood of each arm.

    ln kS_x, logit f_x, logit p_x    Normal around the median of their class, or around the treatment to which a drug is
                                     added and what that class of drugs adds; classes around a common one
    arm a of trial t                 logit f + d_a, ln g + e_t, ln h_disease + o_t           d, e, o ~ Normal(0, tau)
    outcomes of an arm               Normal(s_a(theta), D C D), C = Cov(one patient's outcomes) / n'

s_a are the chances of the arm's virtual patients (arms.py): the individual outcomes integrated over the covariate mix.
ORR, CR and points of one PFS curve are one data set of the same n patients: C holds their covariances (a responder's
PFS, CR within ORR, Kaplan-Meier at two times). n' = n / 1.3 for PFS and OS, whose patients are partly censored
[assumed]; D doubles the standard error of what is marked memory. A median m says PFS(m) = 1/2. Survival is that of
patients who get what trials' patients get after progression: therapy then is in the hazard of death, not in the burden.

Classes and departures stand in evidence_hierarchy.py; everything else in standard normal coordinates of its prior.

Medians of model.py are not used for kS, f and p: they were calibrated to the same outcomes, which would count twice.
Source of the idea: multilevel network meta-regression (Phillippo et al. 2020, J R Stat Soc A 183:1189; memory).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.specification.priors import HalfNormal, LogitNormal, LogNormal, Normal

from . import arms as virtual
from .evidence_hierarchy import DEPARTURES, SITES, Layout
from .treatments import ROWS

RHO = 0.5
CENSORED = 1.3  # patients per patient that counts, of a curve of PFS or OS
SHRUNK = 0.95  # of the covariance of two outcomes: from finitely many nodes, it may come out as certain
NODE_ERROR = 0.015  # SD of an outcome from the finite number of virtual patients, added
ORDER = ("response", "complete_response", "pfs", "os")
HORIZONS = (26.0, 53.0)  # months; an arm is simulated to the first that holds its outcomes


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
    """Arms with outcomes to fit, as functions of x (`Layout`)."""

    def __init__(self, model, arms, *, nodes: int = 128, seed: int = 1):
        self.rho = RHO
        self.model, self.arms = model, [a for a in arms if any(o.use == "fit" for o in a.outcomes) and not a.outside]
        self.trials = tuple(dict.fromkeys(a.trial for a in self.arms))
        apart = {f"{q}_{x}" for q in SITES for x in ROWS}
        self.own = {n: p for n, p in hyper_sites(model).items() if n.removesuffix("_pop") not in apart}
        self.layout = Layout.of(self.own, len(self.arms), len(self.trials))
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

    def values(self, x) -> dict:
        """Population-level sites, natural scale, and departures of arms `trial_f` and trials `trial_g`, `trial_h`."""
        part = {name: x[where] for name, where in self.layout.at.items()}
        found = {name: from_normal(prior, part[name][0]) for name, prior in self.own.items()}
        for q, spread in SITES.items():
            natural = jnp.exp if spread.scale == "ln" else jax.nn.sigmoid
            found |= {f"{q}_{name}_pop": natural(part[f"h_{q}"][k]) for k, name in enumerate(ROWS)}
        return found | {f"trial_{name}": part[where] for name, where in DEPARTURES.items()}

    def chances(self, x) -> list[dict]:
        """Per arm: outcome -> mean over its virtual patients, and joint means `a & b` for the covariance."""
        return self.chances_given(self.values(x))

    def chances_given(self, values: dict) -> list[dict]:
        """As `chances`, of the sites and departures that `values` gives."""
        hyper = assemble(self.model, {k: v for k, v in values.items() if not k.startswith("trial_")}, RHO)
        names = self.model.parameter_names
        sigma = jnp.stack(
            [values[s] for s in ("sigma_add_m_protein", "sigma_prop_m_protein", "sigma_log_involved_flc")]
        )
        found: list[Any] = [None] * len(self.arms)
        for chosen, units, made, grid, at in self.groups:
            shift = []
            for unit in units:
                arm = self.arms[unit.arm]
                trial, row = self.trials.index(arm.trial), jnp.zeros(len(names))
                row = row.at[names.index("g")].add(values["trial_g"][trial])
                row = row.at[names.index("h_disease")].add(values["trial_h"][trial])
                # the departure is the treatment's: those who never started and got another have none
                if unit.treatment == arm.treatment and unit.treatment in ROWS:
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
            nodes = {name: value[number] / entered for name, value in each.items() if name != "entered"}
            for name, value in _arm_outcomes(arm, unit, nodes, days).items():
                total[name] = total.get(name, 0.0) + unit.share * value
        return total


def fitted_outcomes(arm):
    """Outcomes of an arm that are fitted: all but what is only shown."""
    return [o for o in arm.outcomes if o.use == "fit"]


def _longest(arm) -> float:
    months = [o.month or (o.value if o.what.endswith("_median") else 0.0) for o in fitted_outcomes(arm)]
    return max([24.0, *months])


def _key(outcome):
    """What is simulated for an outcome: (kind, months); of a median the share at the published time."""
    kind = outcome.what.removesuffix("_median").removesuffix("_at")
    return kind, outcome.value if outcome.what.endswith("_median") else outcome.month


def name_of(outcome) -> str:
    """As `chances` names a fitted outcome."""
    return _name(_key(outcome))


def _name(*keys) -> str:
    """As `chances` names them: "pfs@12", "response", of a pair "response & pfs@12"."""
    return " & ".join(kind if months is None else f"{kind}@{months:g}" for kind, months in keys)


def _arm_outcomes(arm, unit, nodes, days):
    """Name of an outcome, or of a pair, -> expectation, for every outcome of the arm that is fitted.

    nodes : shares of every virtual patient times his weight, (N,) or (N, V) at the visits
    """
    keys, found = [_key(o) for o in fitted_outcomes(arm)], {}

    def at(kind, months):
        value = nodes[kind]
        if months is None:
            return value
        since = months * virtual.MONTH - unit.wait
        if since < 0:
            return jnp.ones(len(value)) / len(value)
        if kind.endswith("os"):  # deaths are seen when they happen
            return jax.vmap(lambda one: jnp.interp(since, days, one))(value)
        position = int(np.searchsorted(days, since + 1e-9, side="right")) - 1
        return value[:, max(position, 0)]  # progression at visits: the last one by then counts

    for a in keys:
        found[_name(a)] = at(*a).sum()
    for i, a in enumerate(keys):
        for b in keys[i + 1 :]:
            found[_name(a, b)] = _both(at, *sorted((a, b), key=lambda key: ORDER.index(key[0]))).sum()
    return found


def _both(at, a, b):
    """Shares with both of two outcomes, of every virtual patient; a stands before b in ORDER."""
    (first, one), (second, two) = a, b
    if first == second:  # PFS or OS at two times
        return at(first, max(one, two))
    if two is None:
        return at("complete_response", None)
    if first in ("response", "complete_response"):
        return at(f"{first.split('_')[0]}_and_{second}", two)
    if two <= one:
        return at("pfs", one)
    return at("pfs", one) * at("os", two) / jnp.maximum(at("os", one), 1e-12)  # of one patient, classes averaged


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
        [(2.0 if o.mark == "memory" else 1.0) * np.sqrt(CENSORED if a[1] else 1.0) for o, a in zip(outcomes, keys)]
    )
    covariance = (joint - mean[:, None] * mean) / arm.n * scale[:, None] * scale
    return observed, mean, covariance + NODE_ERROR**2 * jnp.eye(len(keys)), [_name(a) for a in keys]


def _joint(found, keys, mean, i, j):
    if i == j:
        return mean[i]
    together = jnp.minimum(found[_name(keys[min(i, j)], keys[max(i, j)])], jnp.minimum(mean[i], mean[j]))
    return mean[i] * mean[j] + SHRUNK * (together - mean[i] * mean[j])
