"""Coordinates in which what the record says nothing of stands apart: parameters of treatments that were never started.

With A the other parameters, S the silent ones, and a factor of the prior covariance of each population draw that has A
first, psi = mean_m + F_m e:

    e_A is a function of psi_A alone          psi_S given psi_A and m is mean_S + (F_SA e_A + F_SS e_S), e_S ~ N(0, I)

A move of psi_A or of m with e_S drawn anew has the ratio of p(psi_A | m) and no more: silent parameters, however many
treatments a model knows, neither lower the acceptance nor tie a particle to its population draw.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.twin.particles import Population


class Silence(NamedTuple):
    """active (D,) true for A; factor, whiten (M, D, D) : A first; log_det (M,) : ln |F_AA|."""

    active: jax.Array
    factor: jax.Array
    whiten: jax.Array
    log_det: jax.Array


def silence_of(model, relevant, population: Population) -> Silence | None:
    """Of a patient for whom these response classes count (X,); None where every parameter may be informed."""
    never = {c.treatment for c, counts in zip(model.response_classes, np.asarray(relevant)) if counts <= 0}
    treatment = {p.name: p.treatment for p in model.parameters}
    active = np.array([treatment.get(name, "") not in never for name in model.individual_names], dtype=bool)
    if active.all() or population.log_share is not None:
        return None
    order = np.concatenate([np.flatnonzero(active), np.flatnonzero(~active)])
    factor, whiten, log_det = _factors(population.scale, jnp.asarray(order), int(active.sum()))
    return Silence(jnp.asarray(active), factor, whiten, log_det)


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
    return jnp.einsum("pde,pe->pd", silence.whiten[draw], psi - population.mean[draw])


def log_active(e, draw, silence: Silence):
    """ln p(psi_A | draw) up to a constant, (P,)."""
    return -0.5 * (jnp.where(silence.active, e, 0.0) ** 2).sum(-1) - silence.log_det[draw]


def filled(e, draw, population: Population, silence: Silence):
    """psi (P, D) from e."""
    return population.mean[draw] + jnp.einsum("pde,pe->pd", silence.factor[draw], e)
