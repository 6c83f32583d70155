"""The move of HMC within Gibbs for what does not act on the labs, given psi: no equations are solved."""

from functools import partial

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
    x, new_z, taken, told = unsolved_move(
        given_psi(density, h, means + z @ scale.T),
        h[density.passive],
        steps,
        tuning.steps[2],
        tuning.centred,
        key,
        nothing,
        phase,
    )
    return h.at[density.passive].set(x), jnp.where(taken, new_z, z), told


def given_psi(density: Density, h, psi):
    """Passive coordinates -> (ln of their density given psi, the z of this psi), with the slope of the former."""

    @partial(jax.value_and_grad, has_aux=True)
    def log_density(x):
        moved = h.at[density.passive].set(x)
        means, scale = density.individual(moved)
        z = solve_triangular(scale, (psi - means).T, lower=True).T
        log_scale = jnp.log(jnp.diagonal(scale)).sum()
        return density.log_prior(moved) - 0.5 * (z**2).sum() - len(psi) * log_scale, z

    return log_density
