"""Draws of the population given published arms: an ensemble smoother that uses the evidence in steps.

Every member is a draw x of the priors. In each step the outcomes s of all members are simulated and x becomes

    x + T Cov(x, s) (Cov(s, s) + a C)^-1 (d + sqrt(a) e - s),    e ~ Normal(0, C),    sum of 1/a over the steps = 1

with d the published outcomes, s and d as logits, C their covariance given the mean of the ensemble (evidence_fit.py),
and a so large that a step uses no more than the misfit allows, and no more than a tenth: 1/a = max(m / 2 mean(phi),
sqrt(m / 2 var(phi))), phi half the squared misfit of a member in units of C, m outcomes. A member whose likelihood, to
the power used so far, is e^-m times that of the median member is lost and replaced by a copy of another.

T tapers each covariance: of N members, what has nothing to do with an outcome correlates with it by 1/sqrt(N), and 80
outcomes in 13 steps make much of that. Untapered, what no arm speaks of drifted off its prior and narrowed, the more
the fewer members. A correlation r counts max(0, 1 - 3 / (N r^2)) of itself.

x holds the medians of treatments and the departures of trials themselves, which the outcomes follow nearly in a line;
classes and all SDs above them are drawn anew given x after each step, and with them that of x of which no arm speaks
(evidence_hierarchy.py). With standard normal coordinates instead, whose products the outcomes follow, the ensemble
stayed 2.3 standard errors off (decision 26).

Exact for many members where s is linear in x; else an approximation, which is said wherever the draws go. It asks for
no gradient: thresholds of a few virtual patients make the likelihood rough, and NUTS, which was tried first, did not
converge on it (decision 26).

Sources: Emerick and Reynolds (2013), Computers and Geosciences 55:3; Iglesias and Yang (2021), Inverse Problems
37:025008; tapers by correlation: Luo and Bhakta (2020), J Petroleum Science and Engineering 184:106559 (memory).
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .evidence_fit import Evidence, law_of_arm
from .evidence_hierarchy import TRIALS, Silent, drawn, drawn_given, silent_given
from .treatments import ROWS

LARGEST = 0.1  # share of the evidence that a step may use
LOST = 1.0  # log-likelihood behind the median member, per outcome, beyond which a member is replaced
CHANCE = 3.0  # times the mean square of a correlation by chance, 1/N, up to which one is taken for none
ROUNDS = 3  # of drawing anew what no arm speaks of and what it belongs to, after each step
NEAREST = 0.004  # to 0 and 1 that a chance may come before its logit is taken


class Ensemble(NamedTuple):
    """x (N, size) and what it belongs to (evidence_hierarchy.py); outcomes (N, m) as chances, and how far off they are.

    off : root mean square over outcomes of the ensemble's mean from the published value, in standard errors
    misfit : mean over members of half the squared misfit, over m / 2, which it should be near
    """

    x: np.ndarray
    above: dict
    chances: np.ndarray
    off: float
    misfit: float


def assimilated(evidence: Evidence, *, members: int, random_seed: int, trial: str = "", report=print) -> Ensemble:
    """The ensemble after all steps.

    trial : left out. Two threads share the members.
    """
    rng = np.random.default_rng(random_seed)
    arms = [k for k, arm in enumerate(evidence.arms) if arm.trial != trial]
    silent = Silent.of(evidence.arms, arms, evidence.trials)
    simulate = jax.jit(evidence.chances)
    (x, above), used = drawn(evidence.layout, members, rng), 0.0
    while True:
        found = _simulated(simulate, x)
        sound = [all(np.isfinite(v) for arm in member for v in arm.values()) for member in found]
        kept = replaced(np.array(sound), rng)
        observed, chances, covariance = _joint_law(evidence, arms, [found[k] for k in kept])
        d, covariance_of_d = logit(observed), _of_logits(covariance, observed)
        misfit = half_squared_misfit(logit(chances), d, covariance_of_d)
        again = replaced(used * (misfit - np.median(misfit)) < LOST * len(d), rng)
        kept, chances, s = kept[again], chances[again], logit(chances[again])
        x, above = x[kept], {name: value[kept] for name, value in above.items()}
        off = np.sqrt(np.mean((chances.mean(axis=0) - observed) ** 2 / np.diag(covariance)))
        misfit, lost = 2.0 * np.mean(misfit[again]) / len(d), (kept != np.arange(members)).sum()
        state = f"off by {off:.2f} standard errors, misfit {misfit:.2f}, {lost} members replaced"
        report(f"  {used:.3f} of the evidence used; {state}", flush=True)
        if used >= 1.0:
            return Ensemble(x, above, chances, float(off), float(misfit))
        part = min(share_of_evidence(s, d, covariance_of_d), 1.0 - used)
        x, used = assimilate(x, s, d, covariance_of_d, part, rng), used + part
        for _ in range(ROUNDS):
            x = silent_given(evidence.layout, x, above, silent, rng)
            above = drawn_given(evidence.layout, x, above, rng)


def replaced(good, rng) -> np.ndarray:
    """Positions (N,) with those that are not good replaced by good ones at random."""
    return np.where(good, np.arange(len(good)), rng.choice(np.flatnonzero(good), len(good)))


def half_squared_misfit(s, d, covariance) -> np.ndarray:
    """Of every member (N,): half the squared distance of s (N, m) from d (m,), in units of their covariance."""
    white = np.linalg.solve(np.linalg.cholesky(covariance), (d - s).T)
    return 0.5 * (white**2).sum(axis=0)


def share_of_evidence(s, d, covariance) -> float:
    """How much of the evidence a step may use, 1/a: the less, the further the members are from d (m,)."""
    misfit, half = half_squared_misfit(s, d, covariance), 0.5 * len(d)
    return float(min(LARGEST, max(half / misfit.mean(), np.sqrt(half / misfit.var()))))


def assimilate(x, s, d, covariance, part: float, rng):
    """Members x (N, n) moved towards d (m,) by part of the evidence; s (N, m) what they predict."""
    inflated = covariance / part
    about_x, about_s = x - x.mean(axis=0), s - s.mean(axis=0)
    cross, spread = tapered(about_x, about_s), about_s.T @ about_s / (len(x) - 1)
    perturbed = d + rng.multivariate_normal(np.zeros(len(d)), inflated, size=len(x))
    return x + np.linalg.solve(spread + inflated, (perturbed - s).T).T @ cross.T


def tapered(x, s) -> np.ndarray:
    """Covariance (n, m) of x (N, n) and s (N, m), both about their means, each less what chance alone would show."""
    cross = x.T @ s / (len(x) - 1)
    by_chance = CHANCE * np.mean(x**2, axis=0)[:, None] * np.mean(s**2, axis=0) / len(x)
    return cross * np.maximum(0.0, 1.0 - by_chance / np.maximum(cross**2, 1e-300))


def logit(chance):
    """Logit of a chance, kept off 0 and 1."""
    p = np.clip(chance, NEAREST, 1.0 - NEAREST)
    return np.log(p) - np.log1p(-p)


def _of_logits(covariance, observed):
    p = np.clip(observed, NEAREST, 1.0 - NEAREST)
    slope = 1.0 / (p * (1.0 - p))
    return covariance * slope[:, None] * slope


def _simulated(simulate, x) -> list[list[dict]]:
    """Per member and arm: name of an outcome, or of a pair, -> chance."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda one: jax.tree.map(float, simulate(jnp.asarray(one))), x))


def _joint_law(evidence: Evidence, arms, found):
    """(observed (m,), chances of every member (N, m), covariance (m, m)) of the fitted outcomes of these arms."""
    observed, chances, blocks = [], [], []
    for k in arms:
        mean = {name: jnp.asarray(np.mean([member[k][name] for member in found])) for name in found[0][k]}
        d, _, covariance, names = law_of_arm(evidence.arms[k], mean)
        observed.append(np.asarray(d))
        chances.append(np.array([[member[k][name] for name in names] for member in found]))
        blocks.append(np.asarray(covariance))
    total = np.zeros((sum(map(len, blocks)),) * 2)
    at = 0
    for block in blocks:
        total[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return np.concatenate(observed), np.concatenate(chances, axis=1), total


def new_settings(evidence: Evidence, ensemble: Ensemble, key) -> dict:
    """Population-level sites (N,), each draw that of a setting like a further trial: its own departures of growth, of
    the hazard of death of myeloma and of the resistant fractions are added."""
    found = jax.jit(jax.vmap(evidence.values))(jnp.asarray(ensemble.x))
    growth, fractions, deaths = jax.random.split(key, 3)
    sites = {n: np.asarray(v) for n, v in found.items() if not n.startswith("trial_")}
    for one, name, of in ((growth, "g", "g"), (deaths, "h", "h_disease")):
        departures = np.asarray(jax.random.normal(one, (len(ensemble.x),)))
        sites[f"{of}_pop"] = sites[f"{of}_pop"] * np.exp(ensemble.above[f"trials_{name}"] * departures)
    moved = np.asarray(jax.random.normal(fractions, (len(ROWS), len(ensemble.x)))) * ensemble.above["trials_f"]
    for name, departure in zip(ROWS, moved):
        f = sites[f"f_{name}_pop"]
        sites[f"f_{name}_pop"] = 1.0 / (1.0 + (1.0 - f) / f * np.exp(-departure))
    return sites


def between_trials(ensemble: Ensemble) -> dict:
    """SDs between trials (N,): tau_f of logit f of an arm, tau_g of ln g and tau_h of ln h_disease of a trial."""
    return {f"tau_{x}": ensemble.above[f"trials_{x}"] for x in TRIALS}
