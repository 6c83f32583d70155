"""The move of HMC within Gibbs for what does not act on the labs, given psi: no equations are solved."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from bayestwin.population.gibbs_density import Density
from bayestwin.population.gibbs_state import Found
from bayestwin.population.gibbs_unsolved import unsolved_move


def centred_move(density: Density, steps: int, tuning, key, h, z, phase):
    """Passive coordinates given psi, by so many leapfrog steps; z moves along."""
    nothing = density.nothing_learnt(h, z).centred
    if not len(density.passive):
        return h, z, Found(nothing, jnp.ones(()), jnp.zeros(()), jnp.asarray(False))
    means, scale = density.individual(h)
    z_of, log_density = given_psi(density, h, means + z @ scale.T)
    x, taken, found = unsolved_move(
        log_density, h[density.passive], steps, tuning.steps[2], tuning.centred, key, nothing, phase
    )
    moved = h.at[density.passive].set(x)
    return moved, jnp.where(taken, z_of(moved), z), found


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
