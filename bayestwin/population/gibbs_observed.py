"""The move of HMC within Gibbs for residual errors and chances of response classes, given psi and what was solved.

    p(residual parameters, chances | psi, predictions)  ~  p(h) prod over patients p(labs_i | predictions_i, h)

Predictions of every response class are kept from the last solve, so that the classes are summed out here too and no
equations are solved. The kept slopes of the likelihood in psi are void afterwards: the move of the patients that
follows begins with a solve where they stand.
"""

from functools import partial

import jax
import jax.numpy as jnp

from bayestwin.population.gibbs_density import Density
from bayestwin.population.gibbs_state import Found, Likelihood
from bayestwin.population.gibbs_unsolved import unsolved_move


def observed_move(density: Density, steps: int, tuning, key, h, z, likelihood: Likelihood, phase):
    """Observing coordinates given psi and what was solved for, by so many leapfrog steps; z stays."""
    nothing = density.nothing_learnt(h, z).observed
    if not len(density.observing):
        return h, likelihood, Found(nothing, jnp.ones(()), jnp.zeros(()), jnp.asarray(False))
    means, scale = density.individual(h)
    psi, known = means + z @ scale.T, jnp.isfinite(likelihood.value).all()

    @partial(jax.value_and_grad, has_aux=True)
    def log_density(x):
        own = density.given_solved(h.at[density.observing].set(x), psi, likelihood.solved)
        return density.log_prior(h.at[density.observing].set(x)) + own.sum(), own

    x, own, taken, told = unsolved_move(
        log_density, h[density.observing], steps, tuning.steps[3], tuning.observed, key, nothing, phase
    )
    x = jnp.where(known, x, h[density.observing])  # nothing is solved for before the first sweep
    value = jnp.where(taken & known, own, likelihood.value)
    return h.at[density.observing].set(x), likelihood._replace(value=value), told
