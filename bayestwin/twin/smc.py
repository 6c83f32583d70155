"""Tempered sequential Monte Carlo from one target to another; used by every rung of the ladder.

Steps in t are chosen so that the effective sample size stays above half the particles; after each, islands are
resampled and moved. With no record seen before (`from_scratch`) this is the oracle: it needs no stored state.

Source: Chopin (2002), Biometrika 89:539; Del Moral, Doucet and Jasra (2006), JRSS B 68:411.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.twin.moves import CYCLE, fitted_gaussian, full_likelihood, old_likelihood, sweep
from bayestwin.twin.particles import Particles, effective_size, normalised, pareto_k, systematic, unique_particles
from bayestwin.twin.target import evaluator, log_target

MAX_STAGES = 60


class BridgeInfo(NamedTuple):
    """stages : tempering steps; moves : sweeps; acceptance : mean over sweeps of the last stage
    pareto_k : largest over the bridges, before resampling, inf where the bridge was not crossed
    unique : distinct particles; log_evidence (islands,); failures : share of proposals on which the solver gave up
    resampled : False where reweighting was enough"""

    stages: int
    moves: int
    acceptance: float
    pareto_k: float
    unique: int
    log_evidence: np.ndarray
    failures: float
    resampled: bool


def bridge(
    model,
    psi,
    draw,
    log_weights,
    population,
    data,
    *,
    key,
    islands: int,
    rho: float,
    seen=None,
    start_from=None,
    stage_sweeps: int = 6,
    final_sweeps: int = 18,
    accuracy: Accuracy = NO_GRADIENT,
):
    """Carry weighted particles to the target given the whole record in `data`.

    seen (N,) : rows that the particles have learnt already, or None from scratch
    start_from (P,) : log target-without-prior at which the particles stand (where `seen` is given)

    Returns
    -------
    Particles, BridgeInfo
    """
    from_scratch = seen is None
    seen = np.zeros(len(data.mask)) if from_scratch else seen
    data = jax.tree.map(jnp.asarray, data)
    pieces = evaluator(model, accuracy, False)(psi, draw, population, data, rho)
    old = jnp.zeros(pieces.alive.shape) if from_scratch else old_likelihood(pieces, seen)
    zero = jnp.zeros(psi.shape[0])
    failures = [float((~pieces.ok).mean())]

    def height(t):
        return np.nan_to_num(
            np.asarray(log_target(zero, pieces.log_class, old, full_likelihood(pieces), t)), nan=-1e300, neginf=-1e300
        )

    log_evidence = np.zeros(islands)
    if from_scratch:
        here = height(0.0)
    else:  # what events say, and classes of a treatment started since, by one reweighting
        here = height(0.0)
        log_weights, gain = _reweighted(log_weights, here - np.asarray(start_from), islands)
        log_evidence += gain
    prior_sd = np.asarray(population.scale).std(axis=0).max() + np.sqrt(
        np.einsum("mde,mde->md", population.scale, population.scale)
    ).mean(axis=0)
    do_sweep, t, step, stages, moves, worst_k, acceptance = sweep(model, accuracy), 0.0, 0.6, 0, 0, -np.inf, 1.0
    while t < 1.0 and stages < MAX_STAGES:
        here = height(t)
        t_next = _next_t(height, here, log_weights, t, islands)
        gain = height(t_next) - here
        worst_k = max(worst_k, pareto_k(np.asarray(log_weights) + gain))
        log_weights, more = _reweighted(log_weights, gain, islands)
        log_evidence += more
        t, stages = t_next, stages + 1
        key, key_resample = jax.random.split(key)
        kept = systematic(key_resample, log_weights, islands)
        psi, draw, pieces, old = jax.tree.map(lambda a, kept=kept: a[kept], (psi, draw, pieces, old))
        log_weights = jnp.asarray(normalised(zero, islands))
        mean, chol = fitted_gaussian(psi, log_weights, islands, prior_sd)
        accepted = []
        for sweep_number in range(final_sweeps if t >= 1.0 else stage_sweeps):
            kind = CYCLE[sweep_number % len(CYCLE)]
            key, key_sweep = jax.random.split(key)
            psi, draw, pieces, old, rate, failed = do_sweep(
                kind,
                key_sweep,
                psi,
                draw,
                pieces,
                old,
                population,
                (data, jnp.asarray(seen)),
                rho,
                jnp.asarray(t),
                mean,
                chol,
                step,
                from_scratch=from_scratch,
            )
            failures.append(float(failed))
            moves += 1
            if kind == 0:
                accepted.append(float(rate))
                step = float(np.clip(step * np.exp(1.5 * (float(rate) - 0.3)), 0.05, 2.0))
            if sweep_number % len(CYCLE) == len(CYCLE) - 1:
                mean, chol = fitted_gaussian(psi, log_weights, islands, prior_sd)
        acceptance = float(np.mean(accepted)) if accepted else acceptance
    particles = Particles(
        psi, draw, log_weights, pieces.rows.sum(-1), pieces.alive, pieces.other, pieces.log_class, pieces.end
    )
    if t < 1.0:  # stages ran out: these particles are not at the target
        worst_k = np.inf
    return particles, BridgeInfo(
        stages, moves, acceptance, float(worst_k), unique_particles(psi), log_evidence, float(np.mean(failures)), True
    )


def _reweighted(log_weights, gain, islands):
    """Normalised new weights and each island's log evidence increment."""
    gain = np.where(np.isfinite(gain), gain, -np.inf)  # a failed solve weighs nothing
    joint = (np.asarray(log_weights) + gain).reshape(islands, -1)
    more = np.asarray(logsumexp(joint, axis=1))
    return jnp.asarray(normalised(jnp.asarray(joint.reshape(-1)), islands)), more


def _next_t(height, here, log_weights, t, islands, target=0.5):
    """The largest t' <= 1 at which the effective sample size is still `target` of the particles (bisection)."""

    def enough(t_next):
        new, _ = _reweighted(log_weights, height(t_next) - here, islands)
        return effective_size(new, islands) >= target * len(here)

    if enough(1.0):
        return 1.0
    low, high = t, 1.0
    for _ in range(18):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if enough(middle) else (low, middle)
    return max(low, t + 1e-5)
