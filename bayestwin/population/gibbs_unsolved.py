"""One trajectory of HMC on coordinates whose density, given psi, needs no equations solved."""

import jax
import jax.numpy as jnp

from bayestwin.population.gibbs_density import FAR
from bayestwin.population.gibbs_state import DIVERGENT, LONGEST, Found
from bayestwin.population.whitening import noted


def unsolved_move(log_density, x, steps: int, step, root, key, nothing, phase):
    """(where the coordinates arrive, what was found there, whether they moved, what the move tells).

    log_density : coordinates -> (ln of their density, what else is found there), with the slope of the former
    x : where they begin; steps : leapfrog steps, of size `step` at most
    root : square root of the metric; nothing : sums over no points
    """
    keys = jax.random.split(key, 3)
    step = jnp.minimum(step, LONGEST / steps) * jax.random.uniform(keys[0], (), minval=0.7, maxval=1.3)
    p = jax.random.normal(keys[1], x.shape)

    def leapfrog(number, carry):
        x, p, _, slope, _, begin, sums = carry
        counts = number >= 0  # a step of no length finds the density where the move begins: compiled once
        size = counts * step
        p = p + 0.5 * size * (slope @ root)
        x = x + size * (root @ p)
        (value, found), slope = log_density(x)
        fine = jnp.isfinite(value) & jnp.isfinite(slope).all()
        slope = jnp.where(fine | ~counts, slope, 0.0)
        p = p + 0.5 * size * (slope @ root)
        begin = jax.tree.map(lambda a, b: jnp.where(counts, a, b), begin, (value, x, slope))
        known = counts & fine & phase.learning & ~phase.climbing & (value > begin[0] - FAR)
        more = noted(x, slope, begin[1:], known.astype(float))
        return x, p, value, slope, found, begin, jax.tree.map(jnp.add, sums, more)

    (shape, found), _ = jax.eval_shape(log_density, x)
    value, found = (jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), a) for a in (shape, found))
    carry = (x, p, value, jnp.zeros_like(x), found, (value, x, jnp.zeros_like(x)), nothing)
    new, q, value, _, found, (start, *_), sums = jax.lax.fori_loop(-1, steps, leapfrog, carry)
    gain = value - start - 0.5 * ((q**2).sum() - (p**2).sum())
    gain = jnp.where(jnp.isfinite(gain), gain, -jnp.inf)
    taken = (jnp.log(jax.random.uniform(keys[2])) < gain) & ~phase.climbing
    told = Found(sums, jnp.exp(jnp.minimum(gain, 0.0)), jnp.zeros(()), gain < -DIVERGENT)
    return jnp.where(taken, new, x), found, taken, told
