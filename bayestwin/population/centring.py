"""Individual effects centred or not, parameter by parameter.

With S the Cholesky factor of Omega, whose rows and columns are those of the centred parameters c, then of the others n:

    psi_c ~ Normal(mean_c, S_cc S_cc'),   z_n ~ Normal(0, I)
    psi_n = mean_n + S_nc S_cc^-1 (psi_c - mean_c) + S_nn z_n

one density however the parameters are shared out. Centred mixes well where a patient's labs tell the parameter, the
other where they do not. `informed_names` says which they tell: of every patient the covariance V of psi given labs and
population, by a normal approximation at the prior medians of the population; centred where the mean over patients of
V_dd / Omega_dd is under one half, where the two are said to be equally fast.

Source: Papaspiliopoulos, Roberts and Skold (2007), Statistical Science 22:59.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular

from bayestwin.errors import FitError

AUTO = "auto"
NEWTON, WIDTH = 5, 1e-3  # steps to a patient's mode; of a difference of slopes, in prior SDs
SHARE = 0.5


def centred_mask(model, centred) -> np.ndarray:
    """True for every individual parameter, D, that is centred.

    centred : True or False for all, or names

    Raises
    ------
    FitError      a name that is not one of an individual parameter
    """
    names = model.individual_names
    if isinstance(centred, bool | np.bool_):
        return np.full(len(names), bool(centred))
    if isinstance(centred, str) or not set(centred) <= set(names):
        wrong = [centred] if isinstance(centred, str) else [name for name in centred if name not in names]
        raise FitError(
            "no such individual parameter to be centred",
            subject=f"model {model.name}",
            place="centred",
            value=wrong[0],
            allowed=f'True, False, "{AUTO}", or names of {", ".join(names) or "(none varies)"}',
        )
    return np.array([name in centred for name in names], dtype=bool)


def sampled_effects(means, scale, mask):
    """psi (N, D) as NumPyro sites: "psi" the centred ones, "z" the others; inside the plate of patients."""
    size = len(mask)
    psi = z = None
    if mask.all():
        return numpyro.sample("psi", dist.MultivariateNormal(means, scale_tril=scale))
    if mask.any():
        lower, order, count = _ordered(scale, mask)
        own = dist.MultivariateNormal(means[:, order[:count]], scale_tril=lower[..., :count, :count])
        psi = numpyro.sample("psi", own)
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([size - int(mask.sum())]).to_event(1))
    return joined(means, scale, mask, psi, z)


def joined(means, scale, mask, psi, z):
    """psi (..., N, D) from its centred part (..., N, C) and the effects of the others (..., N, D - C); either may be
    None where it is empty. scale : (..., D, D) or (..., N, D, D)"""
    if psi is None:
        return means + _times(scale, z)
    if mask.all():
        return psi
    lower, order, count = _ordered(scale, mask)
    whitened = _solved(lower[..., :count, :count], psi - means[..., order[:count]])
    rest = means[..., order[count:]] + _times(lower[..., count:, :], jnp.concatenate([whitened, z], -1))
    return jnp.concatenate([psi, rest], -1)[..., np.argsort(order)]


def taken_apart(means, scale, mask, psi) -> dict:
    """The sites "psi" and "z" of `sampled_effects` at these individual parameters (..., N, D)."""
    if mask.all():
        return {"psi": psi}
    if not mask.any():
        return {"z": _solved(scale, psi - means)}
    lower, order, count = _ordered(scale, mask)
    whitened = _solved(lower, (psi - means)[..., order])
    return {"psi": psi[..., order[:count]], "z": whitened[..., count:]}


def _ordered(scale, mask):
    """Cholesky factor with the centred parameters first, their order, and how many are centred."""
    order = np.concatenate([np.flatnonzero(mask), np.flatnonzero(~mask)])
    covariance = scale @ jnp.swapaxes(scale, -1, -2)
    return jnp.linalg.cholesky(covariance[..., order, :][..., order]), order, int(mask.sum())


def _times(scale, z):
    """scale z for every patient; scale with or without an axis of patients."""
    return jnp.einsum("...de,...e->...d", _for_patients(scale, z), z)


def _solved(scale, x):
    """scale^-1 x for every patient, scale lower triangular."""
    scale = jnp.broadcast_to(_for_patients(scale, x), (*x.shape, x.shape[-1]))
    return solve_triangular(scale, x[..., None], lower=True)[..., 0]


def _for_patients(scale, x):
    return scale if scale.ndim > x.ndim else scale[..., None, :, :]


def informed_names(model, slopes: Callable, means, scale) -> tuple[str, ...]:
    """Parameters that vary between patients and that the labs of most tell better than the population does.

    slopes : psi (N, D) -> gradient (N, D) of each patient's log-likelihood
    means (N, D), scale (D, D) or (N, D, D) : of psi given the population
    """
    share = np.asarray(unexplained(slopes, means, scale)).mean(axis=0)
    count = len(model.varying)  # occasions, drift and what is latent stay uncentred: some patients have none
    return tuple(name for name, left in zip(model.individual_names[:count], share) if left < SHARE)


def unexplained(slopes: Callable, means, scale):
    """V_dd / Omega_dd (N, D) : how much of each parameter's variance the labs of each patient leave.

    A few Newton steps lead to the mode; curvature by differences of slopes, without its negative directions.
    """
    scale = jnp.broadcast_to(scale, (*means.shape, means.shape[-1]))

    def by_u(u):
        found = slopes(means + _times(scale, u))
        return jnp.nan_to_num(jnp.einsum("nde,nd->ne", scale, found), posinf=0.0, neginf=0.0)

    u, size = jnp.zeros(means.shape), means.shape[-1]
    inner = None
    for _ in range(NEWTON):
        columns = [(by_u(u - WIDTH * e) - by_u(u + WIDTH * e)) / (2 * WIDTH) for e in np.eye(size)]
        curvature = jnp.stack(columns, -1)
        values, vectors = jnp.linalg.eigh(0.5 * (curvature + jnp.swapaxes(curvature, -1, -2)))
        inner = jnp.einsum("nde,ne,nfe->ndf", vectors, 1.0 / (1.0 + jnp.maximum(values, 0.0)), vectors)
        step = jnp.einsum("ndf,nf->nd", inner, by_u(u) - u)
        length = jnp.linalg.norm(step, axis=-1, keepdims=True)
        u = u + step / jnp.maximum(length, 1.0)  # at most one prior SD at a time
    left = jnp.einsum("nde,nef,ndf->nd", scale, inner, scale)
    return left / jnp.einsum("nde,nde->nd", scale, scale)
