"""One trajectory of HMC on coordinates whose density, given psi, needs no equations solved."""

import jax
import jax.numpy as jnp

from bayestwin.population.gibbs_density import FAR
from bayestwin.population.gibbs_state import DIVERGENT, LONGEST, Found
from bayestwin.population.whitening import noted


def unsolved_move(log_density, x, steps: int, step, root, key, nothing, phase):
    """(where the coordinates arrive, whether they moved, what the move tells).

    log_density : coordinates -> ln of their density, with its slope; x : where they begin
    steps : leapfrog steps, of size `step` at most; root : square root of the metric; nothing : sums over no points
    """
    keys = jax.random.split(key, 3)
    step = jnp.minimum(step, LONGEST / steps) * jax.random.uniform(keys[0], (), minval=0.7, maxval=1.3)
    p = jax.random.normal(keys[1], x.shape)
    start, slope = log_density(x)
    begin = (x, slope)

    def leapfrog(_, carry):
        x, p, _, slope, sums = carry
        p = p + 0.5 * step * (slope @ root)
        x = x + step * (root @ p)
        value, slope = log_density(x)
        fine = jnp.isfinite(value) & jnp.isfinite(slope).all()
        slope = jnp.where(fine, slope, 0.0)
        p = p + 0.5 * step * (slope @ root)
        known = fine & phase.learning & ~phase.climbing & (value > start - FAR)
        more = noted(x, slope, begin, known.astype(float))
        return x, p, value, slope, jax.tree.map(jnp.add, sums, more)

    new, q, value, _, sums = jax.lax.fori_loop(0, steps, leapfrog, (x, p, start, slope, nothing))
    gain = value - start - 0.5 * ((q**2).sum() - (p**2).sum())
    gain = jnp.where(jnp.isfinite(gain), gain, -jnp.inf)
    taken = (jnp.log(jax.random.uniform(keys[2])) < gain) & ~phase.climbing
    found = Found(sums, jnp.exp(jnp.minimum(gain, 0.0)), jnp.zeros(()), gain < -DIVERGENT)
    return jnp.where(taken, new, x), taken, found
