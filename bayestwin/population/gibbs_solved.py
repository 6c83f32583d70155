"""The moves of HMC within Gibbs in which the equations are solved: patients given the population, by trajectories and
by jumps between modes, and the population given v, which takes psi along. One program serves all, so that the equations
are compiled once."""

import jax
import jax.numpy as jnp

from bayestwin.population.gibbs_density import Density
from bayestwin.population.gibbs_jump import jumped
from bayestwin.population.gibbs_state import DIVERGENT, LONGEST, Found, ascended

PATIENTS, JUMP, POPULATION = 0, 1, 2


def solved_move(density: Density, steps, tuning, key, kind, h, z, likelihood, ascent, phase):
    """Patients given the population, or the population given v; every leapfrog step, or jump, solves the equations.

    steps : leapfrog steps of each kind; kind : PATIENTS, JUMP (no step but a jump) or POPULATION
    """
    keys, root, moving = jax.random.split(key, 6), tuning.population, density.moving
    bent = density.bent
    v = density.v(tuning.view, h, z)
    start = density.point(tuning.view, h, v, likelihood)
    patients, population = (kind == PATIENTS).astype(float), (kind == POPULATION).astype(float)
    # what is observed and classes have moved before the patients: a step of no length solves where they stand
    idle = (kind == JUMP) & (phase.climbing | ~tuning.mixture.known)
    count = jnp.where(idle, 0, jnp.asarray(steps)[kind])
    first = -(kind == PATIENTS).astype(int) * bool(len(density.observing) or density.exchanging)
    jitter = jax.random.uniform(keys[0], (), minval=0.7, maxval=1.3)
    step_v, step_h = (jnp.minimum(e, LONGEST / jnp.maximum(count, 1)) * jitter for e in tuning.steps[:2])
    size_v, size_h = patients * step_v[:, None], population * step_h
    p_v = jax.random.normal(keys[1], v.shape) * patients
    p_h = jax.random.normal(keys[2], density.moving.shape) * population

    def jump():
        psi, ratio = jumped(tuning.mixture, keys[4], start.psi)
        return density.v(tuning.view, h, density.z(h, psi)), ratio

    there, ratio = jax.lax.cond(kind == JUMP, jump, lambda: (v, jnp.zeros(len(v))))

    def step(number, carry):
        q, v, p_h, p_v, point, begin, sums, ascent = carry
        counts = number >= 0
        step_h, step_v = counts * size_h, counts * size_v
        p_h, p_v = p_h + 0.5 * step_h * (density.by_q(point, q) @ root), p_v + 0.5 * step_v * point.by_v
        ascent, up_h, up_v = ascended(ascent, point, phase.rate)
        along = q.at[moving].add(step_h * (root @ p_h))
        q = jnp.where(phase.climbing, bent.q(bent.h(q) + counts * up_h), along)  # uphill no SD passes 0
        v = jnp.where(kind == JUMP, there, v + jnp.where(phase.climbing, counts * up_v, step_v * p_v))
        point = density.point(tuning.view, bent.h(q), v)
        begin = jax.tree.map(lambda a, b: jnp.where(counts, a, b), begin, (point, q))
        p_h, p_v = p_h + 0.5 * step_h * (density.by_q(point, q) @ root), p_v + 0.5 * step_v * point.by_v
        teaches = phase.learning & counts & (kind != JUMP)
        sums = jax.lax.cond(teaches, density.learnt, lambda s, *_: s, sums, point, q, population, begin)
        return q, v, p_h, p_v, point, begin, sums, ascent

    q = bent.either_sign(keys[5], bent.q(h))
    carry = (q, v, p_h, p_v, start, (start, q), density.nothing_learnt(h, z)[:3], ascent)
    new_q, _, q_h, q_v, end, (start, _), sums, ascent = jax.lax.fori_loop(first, count, step, carry)
    new_h = bent.h(new_q)
    gain = gained(kind, phase, start, end, ((p_h, p_v), (q_h, q_v)))
    gain = gain + jnp.where(kind == POPULATION, bent.log_jacobian(new_q) - bent.log_jacobian(q), ratio)
    gain = jnp.where(jnp.isnan(gain), -jnp.inf, gain)
    taken = drawn(keys[3], kind, gain)
    h = jnp.where(((kind == POPULATION) & taken[0]) | phase.climbing, new_h, h)
    z, likelihood = moved(taken, end, z, start.likelihood)
    kinetic = 0.5 * ((p_v**2).sum() + (p_h**2).sum())
    found = Found(sums, jnp.exp(jnp.minimum(gain, 0.0)), kinetic, (kind != JUMP) & (gain < -DIVERGENT).any())
    return h, z, likelihood, ascent, found


def gained(kind, phase, start, end, momenta):
    """ln of the ratio of acceptance, (N,): each patient's own, or the same for all in a move of the population."""
    (p_h, p_v), (q_h, q_v) = momenta
    own = end.own - 0.5 * (q_v**2).sum(-1) - (start.own - 0.5 * (p_v**2).sum(-1))
    whole = own.sum() + end.log_prior - start.log_prior - 0.5 * ((q_h**2).sum() - (p_h**2).sum())
    gain = jnp.where(kind == POPULATION, whole, own)
    gain = jnp.where(phase.climbing, jnp.where(jnp.isfinite(end.own), 0.0, -jnp.inf), gain)
    return jnp.where(jnp.isnan(gain), -jnp.inf, gain)


def drawn(key, kind, gain):
    """True for every patient whose move is taken; the population's is for all or none."""
    draw = jax.random.uniform(key, gain.shape)
    return jnp.log(jnp.where(kind == POPULATION, draw[0], draw)) < gain


def moved(taken, end, z, likelihood):
    """Effects and likelihood where the move was taken, as before elsewhere."""
    return jax.tree.map(
        lambda a, b: jnp.where(taken.reshape(-1, *[1] * (a.ndim - 1)), a, b), (end.z, end.likelihood), (z, likelihood)
    )
