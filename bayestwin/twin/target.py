"""The twin's target and its evaluation for all particles at once.

    pi_t(psi, m)  proportional to  p(psi | m) sum over classes of P(class | psi, m) exp(old_c + t (new_c - old_c))

with old_c and new_c the log-likelihood of the record seen so far and of the newer one. t = 0 is the twin as it
stands, t = 1 the twin updated; the from-scratch oracle has old_c = 0.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from bayestwin.dynamics import Accuracy
from bayestwin.individual import Hyper, class_likelihood, first_state, natural_values


def hyper_of(population, draw) -> Hyper:
    """What predictions need of a population draw (omega and correlation enter through the prior only)."""
    covariates = None if population.covariates is None else population.covariates[draw]
    used = population.typical[draw], population.effects[draw], jnp.zeros(()), jnp.zeros(()), population.sigma[draw]
    return Hyper(*used, covariates)


TOGETHER = 1000  # particles solved at once: what they carry stays in the processor's cache (a fifth faster, measured)


@lru_cache(maxsize=64)
def evaluator(model, accuracy: Accuracy):
    """Compiled evaluation of every particle: (psi, draw, population, data, rho, state=None) -> ClassLikelihood.

    state (P, C, S + H + 2 W) : where the data begin, or None for the initial state. One program serves both: compiling
    it takes seconds, the initial state a moment.
    """

    @jax.jit
    def evaluate(psi, draw, population, data, rho, state):
        def one(psi_i, draw_i, state_i):
            hyper = hyper_of(population, draw_i)
            return class_likelihood(model, psi_i, hyper, data, rho=rho, state=state_i, accuracy=accuracy)

        return in_blocks(one, (psi, draw, state))

    def from_anywhere(psi, draw, population, data, rho, state=None):
        if state is None:
            rows = np.broadcast_to(np.asarray(data.classes), (len(psi), *data.classes.shape))
            state = initial_states(model, psi, draw, rows, population, data.terms)
        return evaluate(psi, draw, population, data, rho, state)

    return from_anywhere


def in_blocks(one, each):
    """`one` for every row of the arrays in `each`, TOGETHER at a time where that divides them.

    Not lax.map's own batch_size, which cannot shape an array without entries: the hazards of a model that has none.
    """
    size = len(each[0])
    if size <= TOGETHER or size % TOGETHER:
        return jax.vmap(one)(*each)
    blocks = jax.tree.map(lambda a: a.reshape(size // TOGETHER, TOGETHER, *a.shape[1:]), each)
    found = jax.lax.map(lambda block: jax.vmap(one)(*block), blocks)
    return jax.tree.map(lambda a: a.reshape(size, *a.shape[2:]), found)


@partial(jax.jit, static_argnums=0)
def initial_states(model, psi, draw, class_rows, population, terms):
    """Initial state of every particle in each of its response classes: class_rows (P, C, X) -> (P, C, S + H + 2 W)."""

    def one(psi_i, draw_i, rows):
        hyper = hyper_of(population, draw_i)
        return jax.vmap(lambda c: first_state(model, natural_values(model, psi_i, hyper, terms, c), hyper.sigma))(rows)

    return jax.vmap(one)(psi, draw, class_rows)


@jax.jit
def log_target(log_prior, log_class, old, new, t):
    """ln pi_t per particle: log_prior (P,), the rest (P, C)."""
    # at the ends the other side may be -inf, and inf - inf is not a number
    between = old + t * (jnp.where(jnp.isfinite(new), new, -1e300) - jnp.where(jnp.isfinite(old), old, -1e300))
    bridged = jnp.where(t == 0.0, old, jnp.where(t == 1.0, new, between))
    return log_prior + logsumexp(log_class + bridged, axis=-1)


@jax.jit
def full_likelihood(pieces):
    """Log-likelihood of the whole newer record by class, (P, C)."""
    return pieces.rows.sum(-1) + pieces.alive + pieces.other


@jax.jit
def old_likelihood(pieces):
    """Log-likelihood by class of the rows already seen and of the events, (P, C).

    What event-free time says is weak and enters at the start of a bridge by one reweighting; only labs are tempered.
    """
    return pieces.seen + pieces.alive + pieces.other


def class_weights(particles) -> np.ndarray:
    """P(response class | psi, everything learnt), (P, C)."""
    return class_shares(particles.log_class + particles.labs + particles.alive + particles.other)


def class_shares(log_joint) -> np.ndarray:
    """Shares of the response classes from ln P(class, data | psi), (P, C); 0 where no class explains the data."""
    joint = np.asarray(log_joint)
    likeliest = joint.max(axis=-1, keepdims=True)
    share = np.exp(joint - np.where(np.isfinite(likeliest), likeliest, 0.0))
    return share / np.maximum(share.sum(axis=-1, keepdims=True), 1e-300)
