"""Virtual patients of a trial: covariates from the mix of an arm, individual parameters from a population draw.

For each of M population draws there are N patients in B batches. Each batch is a Latin hypercube (one point in each of
N / B strata of every dimension, in random order), which leaves little noise in the mean over patients; what is left is
seen in the differences between batches. The standard normals of the individual parameters are new for every draw; the
covariates are the same for all, and all batches together are a hypercube of N strata of them. The chance of
non-response is no coin: both classes of each patient are simulated, and weighted. Missing covariates stay missing, or
are drawn where the model gives them a distribution.

Sources: McKay, Beckman and Conover (1979), Technometrics 21:239 (Latin hypercubes); Qian (2012), JASA 107:393 (sliced).
"""

from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.scipy.special import ndtri

from bayestwin.individual import class_log_probability, covariate_terms, prior_at
from bayestwin.specification import Constant, Shares

BATCHES = 4


class VirtualPatients(NamedTuple):
    """N patients of each of M population draws.

    covariates (N dicts) ; terms (N, F) : of each; psi (M, N, D) ; hyper : Hyper stacked over the draws
    batch (N,) : which batch each patient belongs to
    """

    covariates: tuple[dict[str, Any], ...]
    terms: np.ndarray
    psi: np.ndarray
    hyper: Any
    batch: np.ndarray


def hypercube(rng: np.random.Generator, shape: tuple[int, ...], points: int) -> np.ndarray:
    """Uniform numbers (..., points, D) of which each dimension has one in every stratum; shape : (..., D)."""
    *outer, dimensions = shape
    strata = np.argsort(rng.random((*outer, points, dimensions)), axis=-2)
    return (strata + rng.random(strata.shape)) / points


def sliced_hypercube(rng: np.random.Generator, batches: int, points: int, dimensions: int) -> np.ndarray:
    """Uniform numbers (batches * points, D), a hypercube as a whole and in each batch."""
    coarse = np.argsort(rng.random((batches, points, dimensions)), axis=1)
    fine = np.argsort(rng.random((batches, points, dimensions)), axis=0)  # which batch has which part of a stratum
    strata = batches * coarse + np.take_along_axis(fine, coarse, axis=1)
    return ((strata + rng.random(strata.shape)) / (batches * points)).reshape(batches * points, dimensions)


def covariates_at(mix, uniform) -> tuple[dict[str, Any], ...]:
    """Covariates of N patients from a mix of J covariates and uniform numbers (N, J)."""
    columns = [_values(what, u) for what, u in zip(mix.values(), np.transpose(uniform))]
    return tuple(dict(zip(mix, row)) for row in zip(*columns)) if columns else ({},) * len(uniform)


def _values(what, u) -> list:
    """One covariate at uniform numbers (N,)."""
    if isinstance(what, Constant):
        return [what.value] * len(u)
    if isinstance(what, Shares):
        at = np.searchsorted(np.cumsum(what.shares) / np.sum(what.shares), u, side="right")
        return [what.levels[k] for k in np.minimum(at, len(what.levels) - 1)]
    normal = NormalDist(what.mean, what.sd)
    low, high = (normal.cdf(end) if np.isfinite(end) else float(end > 0) for end in (what.minimum, what.maximum))
    inside = low + np.clip(u, 1e-12, 1.0 - 1e-12) * (high - low)
    return [float(np.clip(normal.inv_cdf(x), what.minimum, what.maximum)) for x in inside]


def virtual_patients(model, hyper, mix, *, patients: int, rng, batches: int = BATCHES) -> VirtualPatients:
    """Patients of an arm; hyper stacked over M draws, `patients` a multiple of `batches`."""
    draws = len(hyper.typical)
    covariates = covariates_at(mix, sliced_hypercube(rng, batches, patients // batches, max(len(mix), 1)))
    terms = np.stack([covariate_terms(model, one) for one in covariates])
    cubes = hypercube(rng, (draws, batches, len(model.individual_names) + 1), patients // batches)
    cubes = cubes.reshape(draws, patients, -1)
    with jax.enable_x64(True):
        psi = np.asarray(_psi(model, cubes, hyper, terms))
    return VirtualPatients(covariates, terms, psi, hyper, np.repeat(np.arange(batches), patients // batches))


@partial(jax.jit, static_argnums=0)
def _psi(model, cubes, hyper, terms):
    def of_draw(cube, draw):
        return jax.vmap(lambda u, term: prior_at(model, ndtri(u[:-1]), u[-1], draw, term))(cube, terms)

    return jax.vmap(of_draw)(cubes, hyper)


def class_chances(model, people: VirtualPatients, treatment: str | None, rho: float):
    """Classes of response under a treatment: rows (C, X) of every class, and their chances (M, N, C)."""
    rows = [np.zeros(len(model.response_classes), dtype=int)]
    mine = [k for k, c in enumerate(model.response_classes) if c.treatment == treatment]
    rows += [rows[0] + np.eye(len(model.response_classes), dtype=int)[k] for k in mine]
    if not mine:
        return np.array(rows), np.ones((*people.psi.shape[:2], 1))
    relevant = np.zeros(len(model.response_classes))
    relevant[mine] = 1.0
    with jax.enable_x64(True):
        found = _chances(model, people.psi, people.hyper, people.terms, np.array(rows), relevant, rho)
    return np.array(rows), np.exp(np.asarray(found))


@partial(jax.jit, static_argnums=0)
def _chances(model, psi, hyper, terms, rows, relevant, rho):
    def one(p, draw, term):
        return jax.vmap(lambda row: class_log_probability(model, p, draw, term, row, relevant, rho))(rows)

    return jax.vmap(lambda of_draw, draw: jax.vmap(one, in_axes=(0, None, 0))(of_draw, draw, terms))(psi, hyper)
