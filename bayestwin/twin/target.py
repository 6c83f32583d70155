"""The twin's target and its evaluation for all particles at once.

    pi_t(psi, m)  proportional to  p(psi | m) sum over classes of P(class | psi, m) exp(old_c + t (new_c - old_c))

with old_c and new_c the log-likelihood of the record seen so far and of the newer one. t = 0 is the twin as it
stands, t = 1 the twin updated; the from-scratch oracle has old_c = 0.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from bayestwin.dynamics import Accuracy
from bayestwin.individual import Hyper, class_likelihood


def hyper_of(population, draw) -> Hyper:
    """What predictions need of a population draw (omega and correlation enter through the prior only)."""
    return Hyper(
        population.typical[draw], population.effects[draw], jnp.zeros(()), jnp.zeros(()), population.sigma[draw]
    )


@lru_cache(maxsize=64)
def evaluator(model, accuracy: Accuracy, resumed: bool):
    """Compiled evaluation of every particle.

    (psi, draw, population, data, rho[, state]) -> ClassLikelihood (P, C, ...)
    """

    def evaluate(psi, draw, population, data, rho, state=None):
        def one(psi_i, draw_i, state_i):
            return class_likelihood(
                model, psi_i, hyper_of(population, draw_i), data, rho=rho, state=state_i, accuracy=accuracy
            )

        if state is None:
            return jax.vmap(lambda a, b: one(a, b, None))(psi, draw)
        return jax.vmap(one)(psi, draw, state)

    return jax.jit(evaluate)


def log_target(log_prior, log_class, old, new, t):
    """ln pi_t per particle: log_prior (P,), the rest (P, C)."""
    # at the ends the other side may be -inf, and inf - inf is not a number
    between = old + t * (jnp.where(jnp.isfinite(new), new, -1e300) - jnp.where(jnp.isfinite(old), old, -1e300))
    bridged = jnp.where(t == 0.0, old, jnp.where(t == 1.0, new, between))
    return log_prior + logsumexp(log_class + bridged, axis=-1)


def class_weights(particles) -> np.ndarray:
    """P(response class | psi, everything learnt), (P, C)."""
    joint = (
        np.asarray(particles.log_class)
        + np.asarray(particles.labs)
        + np.asarray(particles.alive)
        + np.asarray(particles.other)
    )
    likeliest = joint.max(axis=-1, keepdims=True)
    share = np.exp(joint - np.where(np.isfinite(likeliest), likeliest, 0.0))
    return share / np.maximum(share.sum(axis=-1, keepdims=True), 1e-300)
