"""The move of HMC within Gibbs that takes a patient from one mode to another, to where any chain has been.

    q_i(psi) = mean over windows w and chains c of t(psi; mean_iwc, cov_iwc)    multivariate t, DEGREES of freedom

with the mean and covariance of patient i's parameters in chain c over two windows of warm-up: the one after which
jumps begin, when chains still are in the modes in which they began, and the last (of the last alone, a mode of weight
0.1 was forgotten before sampling began). Each patient accepts by itself, with the ratio of target and q. Where the labs
of a patient leave two courses, as a fast kill of few cells and a slow one of many, chains that began in different ones
would else stay there, and the population with them. A mode that no chain has met is still not found. q is fixed after
warm-up: nothing is approximated.

Source: independence sampler of Tierney (1994), Annals of Statistics 22:1701, with the adaptation ended before sampling.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

DEGREES = 5.0


class Seen(NamedTuple):
    """Sums over the sweeps of one chain since the last window: their number, x (..., D), its products (..., D, D)."""

    sweeps: jax.Array
    total: jax.Array
    products: jax.Array


class Mixture(NamedTuple):
    """Of K components, chains of two windows, and N patients: mean (K, N, D), lower factor of the scale and its
    inverse (K, N, D, D).

    known : whether anything was seen yet
    """

    known: jax.Array
    mean: jax.Array
    lower: jax.Array
    whiten: jax.Array


def nothing_seen(*shape: int) -> Seen:
    """Sums over no sweeps; shape (..., D)."""
    return Seen(jnp.zeros(()), jnp.zeros(shape), jnp.zeros((*shape, shape[-1])))


def seen_too(seen: Seen, x, weight) -> Seen:
    """The sums with one more sweep, of this weight."""
    more = Seen(jnp.ones(()), x, x[..., :, None] * x[..., None, :])
    return jax.tree.map(lambda a, b: a + weight * b, seen, more)


def no_mixture(chains: int, patients: int, size: int) -> Mixture:
    """Before the first of the two windows: nothing is proposed."""
    eye = jnp.broadcast_to(jnp.eye(size), (2 * chains, patients, size, size))
    return Mixture(jnp.asarray(False), jnp.zeros((2 * chains, patients, size)), eye, eye)


def mixture_of(before: Mixture, seen: Seen) -> Mixture:
    """With the sums of all chains for the later window, and for the earlier one too where nothing is known.

    Correlations are drawn to nothing as if seen in as many more sweeps as there are parameters.
    """
    size = seen.total.shape[-1]
    count = seen.sweeps[:, None, None]
    mean = seen.total / count
    cov = seen.products / count[..., None] - mean[..., :, None] * mean[..., None, :]
    variance = jnp.maximum(jnp.diagonal(cov, axis1=-2, axis2=-1), 1e-8)
    weight = count[..., None] / (count[..., None] + size)
    cov = weight * cov + jnp.eye(size) * (1.0 - weight) * variance[..., None, :]
    lower = jnp.linalg.cholesky(cov + 1e-9 * jnp.eye(size))
    eye = jnp.broadcast_to(jnp.eye(size), lower.shape)
    whiten = jnp.vectorize(lambda a, b: solve_triangular(a, b, lower=True), signature="(d,d),(d,e)->(d,e)")(lower, eye)
    chains = len(mean)
    parts = [
        jnp.concatenate([jnp.where(before.known, old[:chains], new), new])
        for old, new in zip(before[1:], (mean, lower, whiten))
    ]
    return Mixture(jnp.asarray(True), *parts)


def jumped(mixture: Mixture, key, psi):
    """Proposed psi (N, D), and ln q(psi) - ln q(proposed) of each patient, (N,); -inf where nothing is known."""
    keys = jax.random.split(key, 3)
    patients, size = psi.shape
    which = jax.random.randint(keys[0], (patients,), 0, len(mixture.mean))
    own = which, jnp.arange(patients)
    stretch = jnp.sqrt(DEGREES / jax.random.chisquare(keys[1], DEGREES, (patients, 1)))
    noise = stretch * jax.random.normal(keys[2], psi.shape)
    proposed = mixture.mean[own] + (mixture.lower[own] * noise[:, None, :]).sum(-1)
    ratio = log_density(mixture, psi) - log_density(mixture, proposed)
    return proposed, jnp.where(mixture.known, ratio, -jnp.inf)


def log_density(mixture: Mixture, psi):
    """ln q(psi), up to a constant, (N,)."""
    # a product and a sum, not a product of matrices: these are small (decision 31)
    white = (mixture.whiten * (psi - mixture.mean)[..., None, :]).sum(-1)
    log_det = jnp.log(jnp.diagonal(mixture.whiten, axis1=-2, axis2=-1)).sum(-1)
    tails = -0.5 * (DEGREES + psi.shape[-1]) * jnp.log1p((white**2).sum(-1) / DEGREES)
    return jax.scipy.special.logsumexp(tails + log_det, axis=0) - np.log(len(mixture.mean))
