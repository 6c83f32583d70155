"""Hyper-parameters of the Gaussian process rival by maximum marginal likelihood over the training patients.

Patient i has values y_i = X_i beta + f_i, f_i ~ Normal(0, V_i), the coefficients of the mean beta ~ Normal(0, tau^2 I)
shared by all. Both are integrated out: with A = I / tau^2 + sum X_i' V_i^-1 X_i and b = sum X_i' V_i^-1 y_i

    -2 ln p(y) = sum (y_i' V_i^-1 y_i + ln |V_i| + N_i ln 2 pi) - b' A^-1 b + ln |A| + B ln tau^2
    beta | y ~ Normal(A^-1 b, A^-1)

The better of the rough and the smooth process is taken, its further terms are tried one after the other and kept where
Akaike's criterion falls, and with them the other process has its second chance.

Source: Rasmussen and Williams (2006), sections 2.7 and 5.4; Akaike (1974), IEEE Trans Autom Control 19:716.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from bayestwin.errors import FitError
from bayestwin.evaluation.rivals.covariance import Points, Sizes, Terms, covariance, noise_variance

ADDED = ("slope", "treatment_slope", "process_by_treatment")  # in this order
FAR = 7.0  # how far a logarithm may move from its first guess
STOP = {"maxiter": 300, "ftol": 1e-7}  # half the steps of the default, the criterion the same to 0.01
REFUSED = 1e12


class Trained(NamedTuple):
    """What a fit leaves: hyper-parameters, terms, coefficients of the mean with covariance, and the criterion.

    mean (B,), spread (B, B); log_likelihood, aic : marginal; tried : Terms -> aic
    """

    sizes: Sizes
    terms: Terms
    mean: np.ndarray
    spread: np.ndarray
    log_likelihood: float
    aic: float
    tried: dict


def train(points: list[Points], values: list[np.ndarray], begin: Sizes) -> Trained:
    """Search terms and hyper-parameters.

    Parameters
    ----------
    points, values : of each training patient; begin : first guess

    Raises
    ------
    FitError       the likelihood has no number at the first guess
    """
    with jax.enable_x64(True):
        data = stack(points, values)
        rough, smooth = (_climb(begin, Terms(smooth=kind), *data) for kind in (0.0, 1.0))
        best, tried = _better(rough, smooth), {rough.terms: rough.aic, smooth.terms: smooth.aic}
        for name in ADDED:
            found = _climb(best.sizes, best.terms._replace(**{name: 1.0}), *data)
            tried[found.terms] = found.aic
            best = _better(best, found)
        # from the first guess: where the noise has gone to nothing the smooth process is all but singular
        found = _climb(begin, best.terms._replace(smooth=1.0 - best.terms.smooth), *data)
        tried[found.terms] = min(found.aic, tried.get(found.terms, np.inf))
        return _better(best, found)._replace(tried=tried)


def _better(found: Trained, other: Trained) -> Trained:
    """The one with the lower criterion; the first where they agree to 0.01."""
    return other if other.aic < found.aic - 0.01 else found


def _climb(begin, terms, stacked, y, mask) -> Trained:
    """L-BFGS from `begin` with these terms."""
    from scipy.optimize import minimize

    start, unravel = ravel_pytree(jax.tree.map(jnp.asarray, begin))
    flat, numbers = np.asarray(start), jax.tree.map(jnp.asarray, terms)

    def minus(x):
        value, slope = _value_and_slope(unravel(jnp.asarray(x)), numbers, stacked, y, mask)
        slope = np.asarray(ravel_pytree(slope)[0])
        # a covariance that is not positive definite: turn back
        return (float(value), slope) if np.isfinite(value) else (REFUSED, np.zeros_like(slope))

    if minus(flat)[0] == REFUSED:
        raise FitError("the marginal likelihood has no number at the first guess", subject="gaussian process rival")
    bounds = list(zip(flat - FAR, flat + FAR))
    found = minimize(minus, flat, jac=True, method="L-BFGS-B", bounds=bounds, options=STOP)
    sizes = jax.tree.map(np.asarray, unravel(jnp.asarray(found.x)))
    a, b, _ = _pieces(sizes, numbers, stacked, y, mask)
    spread = np.linalg.inv(np.asarray(a))
    aic = 2.0 * float(found.fun) + 2.0 * free_numbers(terms, _treatments(stacked, mask))
    return Trained(sizes, terms, spread @ np.asarray(b), spread, -float(found.fun), aic, {})


def free_numbers(terms: Terms, treatments: int) -> int:
    """Hyper-parameters that the likelihood depends on, with this many treatments among the labs."""
    shared = 4 + int(terms.slope)  # level, noise, process, curve
    contrasts = (treatments - 1) * int(terms.process_by_treatment)
    return shared + contrasts + treatments * (3 + int(terms.treatment_slope))


def _treatments(stacked, mask) -> int:
    """How many treatments were in force at any lab."""
    return len(np.unique(np.asarray(stacked.treatment)[np.asarray(mask) > 0]))


def stack(points, values):
    """Patients side by side: Points with a leading axis, values (P, N), mask (P, N).

    Padded to multiples of 8 patients, 16 labs and 4 episodes, so that few programs are compiled; what is padded has no
    say (`mask` 0).
    """
    patients, labs = _up(len(values), 8), _up(max(map(len, values)), 16)
    episodes = _up(max(p.spent.shape[1] for p in points), 4)

    def padded(p):
        n, e = labs - len(p.time), episodes - p.spent.shape[1]
        rows = Points(*(np.pad(a, [(0, n), *[(0, 0)] * (a.ndim - 1)]) for a in p))
        return rows._replace(spent=np.pad(rows.spent, [(0, 0), (0, e)]), which=np.pad(p.which, (0, e)))

    every = [padded(p) for p in points]
    every += every[:1] * (patients - len(every))
    y = np.stack([*(np.pad(v, (0, labs - len(v))) for v in values), *[np.zeros(labs)] * (patients - len(values))])
    lengths = np.array([len(v) for v in values] + [0] * (patients - len(values)))
    mask = (np.arange(labs) < lengths[:, None]).astype(float)
    return Points(*(jnp.asarray(np.stack(a)) for a in zip(*every))), jnp.asarray(y), jnp.asarray(mask)


def _up(count: int, step: int) -> int:
    return step * -(-count // step)


@jax.jit
def _pieces(sizes, terms, points, y, mask):
    """A (B, B), b (B,) and the part of -2 ln p that does not hold them."""

    def one(p, y_i, m):
        # padded rows stand by themselves with variance 1 and value 0
        v = jnp.where(m[:, None] * m[None, :] > 0, covariance(sizes, terms, p), 0.0)
        v = v + jnp.diag(jnp.where(m > 0, noise_variance(sizes), 1.0))
        factor = jnp.linalg.cholesky(v)
        both = jnp.concatenate([y_i[:, None], p.basis], axis=1) * m[:, None]
        white = jax.scipy.linalg.solve_triangular(factor, both, lower=True)
        w, x = white[:, 0], white[:, 1:]
        rest = w @ w + 2.0 * jnp.log(jnp.diagonal(factor)).sum() + m.sum() * jnp.log(2.0 * jnp.pi)
        return x.T @ x, x.T @ w, rest

    a, b, rest = jax.vmap(one)(points, y, mask)
    return a.sum(0) + jnp.exp(-2.0 * sizes.curve) * jnp.eye(b.shape[1]), b.sum(0), rest.sum()


@jax.jit
@jax.value_and_grad
def _value_and_slope(sizes, terms, points, y, mask):
    """-ln p(y) and its gradient with respect to the hyper-parameters."""
    a, b, rest = _pieces(sizes, terms, points, y, mask)
    factor = jnp.linalg.cholesky(a)
    half = jax.scipy.linalg.solve_triangular(factor, b, lower=True)
    of_mean = 2.0 * jnp.log(jnp.diagonal(factor)).sum() + 2.0 * len(b) * sizes.curve
    return 0.5 * (rest - half @ half + of_mean)
