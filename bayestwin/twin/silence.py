"""Coordinates in which what the record says nothing of stands apart: parameters of treatments that were never started,
and whatever else leaves the likelihood of every lab and event as it is (a marker never measured, say).

With A the other parameters, S the silent ones, and a factor of the prior covariance of each population draw that has A
first, psi = mean_m + F_m e:

    e_A is a function of psi_A alone          psi_S given psi_A and m is mean_S + (F_SA e_A + F_SS e_S), e_S ~ N(0, I)

A move of psi_A or of m with e_S drawn anew has the ratio of p(psi_A | m) and of the likelihood and no more: silent
parameters, however many treatments and markers a model knows, neither lower the acceptance nor tie a particle to its
population draw. Which are silent is tried out on a few particles. A parameter taken for silent that is not costs
acceptance and nothing else, since the likelihood of what is proposed is always computed.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.twin.particles import Population, multiplied
from bayestwin.twin.target import full_likelihood

SAME = 1e-9  # relative change of a log-likelihood, up to which it did not change


class Silence(NamedTuple):
    """active (D,) true for A; places (A,) of them; factor, whiten (M, D, D) : A first; log_det (M,) : ln |F_AA|
    among : the `Population` of A alone."""

    active: jax.Array
    places: jax.Array
    factor: jax.Array
    whiten: jax.Array
    log_det: jax.Array
    among: Population


def silence_of(active, population: Population) -> Silence | None:
    """active (D,) bool; None where every parameter may be informed, or levels of a missing category are."""
    active = np.asarray(active, dtype=bool)
    if active.all() or population.log_share is not None:
        return None
    places = np.flatnonzero(active)
    order = np.concatenate([places, np.flatnonzero(~active)])
    factor, whiten, log_det = _factors(population.scale, jnp.asarray(order), len(places))
    own = np.ix_(np.arange(len(log_det)), places, places)
    among = population._replace(
        mean=jnp.asarray(np.asarray(population.mean)[:, places]),
        scale=jnp.asarray(np.asarray(factor)[own]),
        whiten=jnp.asarray(np.asarray(whiten)[own]),
        log_det=log_det,
        joined=None if population.joined is None else jnp.asarray(np.flatnonzero(np.isin(places, population.joined))),
    )
    return Silence(jnp.asarray(active), jnp.asarray(places), factor, whiten, log_det, among)


def ever_started(model, relevant) -> np.ndarray:
    """False for the parameters of treatments whose response classes do not count (X,) in this record, (D,)."""
    never = {c.treatment for c, counts in zip(model.response_classes, np.asarray(relevant)) if counts <= 0}
    treatment = {p.name: p.treatment for p in model.parameters}
    return np.array([treatment.get(name, "") not in never for name in model.individual_names], dtype=bool)


def felt(evaluate, psi, draw, pieces, population: Population, data, rho) -> np.ndarray:
    """False for the parameters that leave the likelihood of the record as it is, (D,); one solve of psi (P, D).

    As many particles as the solve holds are moved in one parameter each, by an SD of the particles; all true where it
    holds fewer than one.
    """
    size, dimension = psi.shape
    count = size // dimension if dimension else 0
    if count == 0:
        return np.ones(dimension, dtype=bool)
    some = np.linspace(0, size - 1, count).astype(int)
    own = np.resize(np.repeat(some, dimension), size)
    step = np.asarray(psi).std(axis=0) + 1e-6
    which = np.arange(size) % dimension
    moved = np.asarray(psi)[own]
    moved[np.arange(size), which] += step[which]
    there = evaluate(jnp.asarray(moved), np.asarray(draw)[own], population, data, rho)
    before, after = (np.asarray(p.log_class) + np.asarray(full_likelihood(p)) for p in (pieces, there))
    before = before[own]
    with np.errstate(invalid="ignore"):
        same = (before == after) | (np.abs(after - before) <= SAME * (1.0 + np.abs(before)))
    found = np.zeros(dimension, dtype=bool)
    np.logical_or.at(found, which, ~same.all(axis=-1))
    return found


@partial(jax.jit, static_argnums=2)
def _factors(scale, order, count: int):
    """Factors with the parameters of `order` one after the other, in their own places again."""
    covariance = (scale @ jnp.swapaxes(scale, 1, 2))[:, order][:, :, order]
    lower = jnp.linalg.cholesky(covariance)
    eye = jnp.broadcast_to(jnp.eye(lower.shape[-1]), lower.shape)
    inverse = jax.vmap(lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True))(lower, eye)
    back = jnp.argsort(order)
    log_det = jnp.log(jnp.diagonal(lower, axis1=-2, axis2=-1)[:, :count]).sum(-1)
    return lower[:, back][:, :, back], inverse[:, back][:, :, back], log_det


def effects(psi, draw, population: Population, silence: Silence):
    """e of each particle, (P, D)."""
    return multiplied(silence.whiten, draw, psi - population.mean[draw], population.joined)


def log_active(e, draw, silence: Silence):
    """ln p(psi_A | draw) up to a constant, (P,)."""
    return -0.5 * (jnp.where(silence.active, e, 0.0) ** 2).sum(-1) - silence.log_det[draw]


def filled(e, draw, population: Population, silence: Silence):
    """psi (P, D) from e."""
    return population.mean[draw] + multiplied(silence.factor, draw, e, population.joined)


@jax.jit
def with_silent(psi, draw, population: Population, silence: Silence, e=0.0):
    """psi (P, D) from that of A (P, A); the effects of the silent ones are those of e (P, D), or at their mean."""
    own = multiplied(silence.among.whiten, draw, psi - silence.among.mean[draw], silence.among.joined)
    e = jnp.broadcast_to(e, (len(psi), len(silence.active))).at[:, silence.places].set(own)
    return filled(e, draw, population, silence)
