"""Draws of the population given published arms: an ensemble smoother that uses the evidence in steps.

Every member is a draw z of the priors. In each step the outcomes s of all members are simulated and

    z + Cov(z, s) (Cov(s, s) + a C)^-1 (d + sqrt(a) e - s),    e ~ Normal(0, C),    sum of 1/a over the steps = 1

with d the published outcomes, s and d as logits, C their covariance given the mean of the ensemble (evidence_fit.py),
and a so large that a step uses no more than the misfit allows: 1/a = max(m / 2 mean(phi), sqrt(m / 2 var(phi))), phi
half the squared misfit of a member in units of C, m outcomes.

Exact where s is linear in z; else an approximation, which is said wherever the draws go. It asks for no gradient:
thresholds of a few virtual patients make the likelihood rough, and NUTS, which was tried first, did not converge on it
(decision 26).

Sources: Emerick and Reynolds (2013), Computers and Geosciences 55:3; Iglesias and Yang (2021), Inverse Problems
37:025008.
"""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from .evidence_fit import Evidence, law_of_arm
from .treatments import ROWS

NEAREST = 0.004  # to 0 and 1 that a chance may come before its logit is taken


def assimilated(evidence: Evidence, *, members: int, random_seed: int, trial: str = "", report=print):
    """Members (N, size) of the ensemble after all steps, and the outcomes (N, outcomes) that they give, as chances.

    trial : left out. Two threads share the members.
    """
    rng = np.random.default_rng(random_seed)
    arms = [k for k, arm in enumerate(evidence.arms) if arm.trial != trial]
    simulate = jax.jit(evidence.chances)
    z, used = rng.standard_normal((members, evidence.layout.size)), 0.0
    while used < 1.0:
        observed, chances, covariance = _joint_law(evidence, arms, _simulated(simulate, z))
        s, d, covariance_of_d = logit(chances), logit(observed), _of_logits(covariance, observed)
        part = min(share_of_evidence(s, d, covariance_of_d), 1.0 - used)
        z, used = assimilate(z, s, d, covariance_of_d, part, rng), used + part
        off = np.sqrt(np.mean((chances.mean(axis=0) - observed) ** 2 / np.diag(covariance)))
        report(f"  {used:.3f} of the evidence used; before, outcomes were off by {off:.2f} standard errors", flush=True)
    observed, chances, covariance = _joint_law(evidence, arms, _simulated(simulate, z))
    off = np.sqrt(np.mean((chances.mean(axis=0) - observed) ** 2 / np.diag(covariance)))
    report(f"  at the end: {off:.2f} standard errors", flush=True)
    return z, chances


def share_of_evidence(s, d, covariance) -> float:
    """How much of the evidence a step may use, 1/a: the less, the further the members are from d (m,)."""
    white = np.linalg.solve(np.linalg.cholesky(covariance), (d - s).T)
    misfit, half = 0.5 * (white**2).sum(axis=0), 0.5 * len(d)
    return float(max(half / misfit.mean(), np.sqrt(half / misfit.var())))


def assimilate(z, s, d, covariance, part: float, rng):
    """Members z (N, n) moved towards d (m,) by part of the evidence; s (N, m) what they predict."""
    inflated = covariance / part
    about_z, about_s = z - z.mean(axis=0), s - s.mean(axis=0)
    cross, spread = about_z.T @ about_s / (len(z) - 1), about_s.T @ about_s / (len(z) - 1)
    perturbed = d + rng.multivariate_normal(np.zeros(len(d)), inflated, size=len(z))
    return z + np.linalg.solve(spread + inflated, (perturbed - s).T).T @ cross.T


def logit(chance):
    """Logit of a chance, kept off 0 and 1."""
    p = np.clip(chance, NEAREST, 1.0 - NEAREST)
    return np.log(p) - np.log1p(-p)


def _of_logits(covariance, observed):
    p = np.clip(observed, NEAREST, 1.0 - NEAREST)
    slope = 1.0 / (p * (1.0 - p))
    return covariance * slope[:, None] * slope


def _simulated(simulate, z) -> list[list[dict]]:
    """Per member and arm: name of an outcome, or of a pair, -> chance."""
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: jax.tree.map(float, simulate(jnp.asarray(one))), z))
    sound = [all(np.isfinite(v) for arm in member for v in arm.values()) for member in found]
    return [member if ok else found[int(np.flatnonzero(sound)[0])] for member, ok in zip(found, sound)]


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


def new_settings(evidence: Evidence, z, key) -> dict:
    """Population-level sites (N,), each draw that of a setting like a further trial: its own departures of growth and
    of the resistant fractions are added."""
    found = _by_draw(evidence.values, z)
    growth, fractions = jax.random.split(key)
    sites = {n: np.asarray(v) for n, v in found.items() if n not in ("tau_f", "tau_g", "trial_f", "trial_g")}
    sites["g_pop"] = sites["g_pop"] * np.exp(found["tau_g"] * np.asarray(jax.random.normal(growth, (len(z),))))
    moved = np.asarray(jax.random.normal(fractions, (len(ROWS), len(z)))) * np.asarray(found["tau_f"])
    for name, departure in zip(ROWS, moved):
        f = sites[f"f_{name}_pop"]
        sites[f"f_{name}_pop"] = 1.0 / (1.0 + (1.0 - f) / f * np.exp(-departure))
    return sites


def between_trials(evidence: Evidence, z) -> dict:
    """SDs between trials (N,): tau_f of logit f of an arm, tau_g of ln g of a trial."""
    return _by_draw(lambda one: {name: evidence.values(one)[name] for name in ("tau_f", "tau_g")}, z)


def _by_draw(function, z):
    return {name: np.asarray(value) for name, value in jax.jit(jax.vmap(function))(jnp.asarray(z)).items()}
