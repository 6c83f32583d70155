"""The move of HMC within Gibbs that solves no equations: what does not act on the labs, given psi."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from bayestwin.population.gibbs_density import FAR, Density
from bayestwin.population.gibbs_state import DIVERGENT, LONGEST, Found
from bayestwin.population.whitening import noted


def centred_move(density: Density, steps: int, tuning, key, h, z, phase):
    """Passive coordinates given psi, by so many leapfrog steps; z moves along."""
    nothing = density.nothing_learnt(h, z).centred
    if not len(density.passive):
        return h, z, Found(nothing, jnp.ones(()), jnp.zeros(()), jnp.asarray(False))
    means, scale = density.individual(h)
    z_of, log_density = given_psi(density, h, means + z @ scale.T)
    keys, root = jax.random.split(key, 3), tuning.centred
    step = jnp.minimum(tuning.steps[2], LONGEST / steps)
    step = step * jax.random.uniform(keys[0], (), minval=0.7, maxval=1.3)
    x, p = h[density.passive], jax.random.normal(keys[1], (len(density.passive),))
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
    moved = h.at[density.passive].set(jnp.where(taken, new, x))
    z = jnp.where(taken, z_of(moved), z)
    return moved, z, Found(sums, jnp.exp(jnp.minimum(gain, 0.0)), jnp.zeros(()), gain < -DIVERGENT)


def given_psi(density: Density, h, psi):
    """h -> z that gives this psi, and passive coordinates -> ln of their density given psi, with its slope."""

    def back(h):
        means, scale = density.individual(h)
        return solve_triangular(scale, (psi - means).T, lower=True).T, jnp.log(jnp.diagonal(scale)).sum()

    @jax.value_and_grad
    def log_density(x):
        z, log_scale = back(h.at[density.passive].set(x))
        return density.log_prior(h.at[density.passive].set(x)) - 0.5 * (z**2).sum() - len(psi) * log_scale

    return (lambda moved: back(moved)[0]), log_density
