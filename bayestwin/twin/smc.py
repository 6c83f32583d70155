"""Tempered sequential Monte Carlo from one target to another; used by every rung of the ladder.

Steps in t are chosen so that the effective sample size stays above half the particles and k-hat passes; after each,
islands are resampled and moved. At the target the moves go on, a few rounds at most, while islands disagree: after many
resamplings an island has few ancestors, and only moves forget them. With no record seen before (`from_scratch`) this is
the oracle: it needs no stored state.

Source: Chopin (2002), Biometrika 89:539; Del Moral, Doucet and Jasra (2006), JRSS B 68:411.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.twin.mover import Cloud, Mover, islands_apart
from bayestwin.twin.particles import (
    LARGEST_K,
    Particles,
    effective_size,
    log_sum_exp,
    normalised,
    pareto_k,
    systematic,
    unique_particles,
    within_draws,
)
from bayestwin.twin.target import evaluator, full_likelihood, log_target, old_likelihood

MAX_STAGES = 60
STAGE_SWEEPS, FINAL_SWEEPS = 6, 18
HALVINGS = 3  # of a step with too large a k-hat
MORE_ROUNDS = 6  # of FINAL_SWEEPS, at most, each with moves between draws and classes


class BridgeInfo(NamedTuple):
    """stages : tempering steps; moves : sweeps; acceptance : mean over sweeps of the last stage
    pareto_k : largest over the bridges, before resampling, inf where the bridge was not crossed
    unique : distinct particles; log_evidence (islands,); failures : share of proposals on which the solver gave up"""

    stages: int
    moves: int
    acceptance: float
    pareto_k: float
    unique: int
    log_evidence: np.ndarray
    failures: float


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
    from_scratch: bool,
    pieces=None,
    start_from=None,
    keep_draws: bool = False,
    feedback: bool = True,
    accuracy: Accuracy = NO_GRADIENT,
):
    """Carry weighted particles to the target given the whole record in `data`.

    data : what the particles have learnt already is marked (`with_seen`); from_scratch : they have learnt nothing
    pieces : the likelihood of the particles given `data`, where it is known already
    start_from (P,) : log target-without-prior at which the particles stand, unless from scratch
    keep_draws : the weights of the population draws are what they should be before the new labs: no move changes them
    feedback : False for the cut posterior, in which no lab changes them either

    Returns
    -------
    Particles, BridgeInfo
    """
    data = jax.tree.map(jnp.asarray, data)
    if pieces is None:
        pieces = evaluator(model, accuracy)(psi, draw, population, data, rho)
    old = jnp.asarray(np.zeros(pieces.alive.shape)) if from_scratch else old_likelihood(pieces)
    cloud, log_evidence, t, stages, worst_k = Cloud(psi, draw, pieces, old), np.zeros(islands), 0.0, 0, -np.inf
    own = None if feedback else np.asarray(population.drawn(draw))  # no move changes it, and no resampling
    if not from_scratch:  # what events say, and classes of a treatment started since, by one reweighting
        log_weights, log_evidence = _reweighted(log_weights, _height(cloud, 0.0) - np.asarray(start_from), islands, own)
    mover = Mover(
        model, accuracy, population, data, rho, islands, from_scratch, key, keep_draws=keep_draws or not feedback
    )
    mover.failures.append(float((~np.asarray(pieces.ok)).mean()))
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    while t < 1.0 and stages < MAX_STAGES:
        here = _height(cloud, t)
        t, gain, k = _step(cloud, here, log_weights, t, islands, own)
        worst_k = max(worst_k, k)
        log_weights, more = _reweighted(log_weights, gain, islands, own)
        log_evidence, stages = log_evidence + more, stages + 1
        kept = systematic(rng, log_weights, islands, draw=own)
        cloud, own = _taken(cloud, kept), None if own is None else own[kept]
        log_weights = normalised(np.zeros(len(log_weights)), islands)
        cloud = mover.move(cloud, log_weights, t, FINAL_SWEEPS if t >= 1.0 else STAGE_SWEEPS)
    for _ in range(MORE_ROUNDS if t >= 1.0 else 0):
        if not islands_apart(cloud, log_weights, islands):
            break
        cloud = mover.move(cloud, log_weights, t, FINAL_SWEEPS, between=True)
    pieces = cloud.pieces
    particles = Particles(
        cloud.psi,
        cloud.draw,
        jnp.asarray(log_weights),
        _labs(pieces.rows),
        pieces.alive,
        pieces.other,
        pieces.log_class,
        pieces.end,
    )
    if t < 1.0:  # stages ran out: these particles are not at the target
        worst_k = np.inf
    unique, failed = unique_particles(cloud.psi), float(np.mean(mover.failures))
    return particles, BridgeInfo(stages, mover.sweeps, mover.acceptance, float(worst_k), unique, log_evidence, failed)


@jax.jit
def _labs(rows):
    return rows.sum(-1)


@jax.jit
def _taken(cloud, kept):
    return jax.tree.map(lambda a: a[kept], cloud)


def _height(cloud: Cloud, t: float) -> np.ndarray:
    """ln target without the prior, (P,); a failed solve far below everything."""
    heights = log_target(0.0, cloud.pieces.log_class, cloud.old, full_likelihood(cloud.pieces), t)
    return np.nan_to_num(np.asarray(heights), nan=-1e300, neginf=-1e300)


def _reweighted(log_weights, gain, islands, own=None):
    """Normalised new weights and each island's log evidence increment; own (P,) : draws that keep their weight."""
    gain = np.where(np.isfinite(gain), gain, -np.inf)  # a failed solve weighs nothing
    joint = (np.asarray(log_weights) + gain).reshape(islands, -1)
    weights = joint.reshape(-1) if own is None else within_draws(joint.reshape(-1), islands, own)
    return normalised(weights, islands), log_sum_exp(joint, axis=1)


def _step(cloud, here, log_weights, t, islands, own):
    """The next t, the gain in height (P,) and its k-hat; a step whose k-hat is too large is halved, thrice at most."""
    t_next = _next_t(cloud, here, log_weights, t, islands, own)
    for halvings in range(HALVINGS + 1):
        gain = _height(cloud, t_next) - here
        ratios = np.asarray(log_weights) + gain
        k = pareto_k(ratios if own is None else within_draws(ratios, islands, own))
        if k <= LARGEST_K or halvings == HALVINGS:
            break
        t_next = t + 0.5 * (t_next - t)
    return t_next, gain, k


def _next_t(cloud, here, log_weights, t, islands, own, target=0.5):
    """The largest t' <= 1 at which the effective sample size is still `target` of the particles (bisection)."""

    def enough(t_next):
        new, _ = _reweighted(log_weights, _height(cloud, t_next) - here, islands, own)
        return effective_size(new, islands) >= target * len(here)

    if enough(1.0):
        return 1.0
    low, high = t, 1.0
    for _ in range(18):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if enough(middle) else (low, middle)
    return max(low, t + 1e-5)
