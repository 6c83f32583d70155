"""What is counted or graded: log-probability, distribution function, mean and draws of one observation given what the
model's output says (specification/discrete.py).

    Bernoulli    ln p(1) = ln sigma(eta),   ln p(0) = ln sigma(-eta)                        sigma the logistic function
    Ordinal      ln p(j) = ln sigma(B) + ln sigma(-A) + ln(1 - exp(A - B)),   A = cut_(j-1) - eta,  B = cut_j - eta
                 the identity behind it:  sigma(B) - sigma(A) = sigma(B) sigma(-A) (1 - e^(A - B))
    Poisson      ln p(y) = y ln mu - mu - ln y!
    NegativeBinomial, a = overdispersion, r = 1 / a
                 ln p(y) = y ln mu - ln y! + D - (y + r) ln(1 + a mu),   D = ln Gamma(y + r) - ln Gamma(r) - y ln r

A log-probability is computed as such, never as the logarithm of a difference of two distribution functions: B - A is a
step between cut points, which does not depend on eta, so that far out in a tail value and slope stay finite. D is taken
from Stirling's series where r is large, so that a vanishing overdispersion leaves the Poisson law and not noise.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, gammaincc, gammaln

from bayestwin.labs import TINY
from bayestwin.specification.discrete import Bernoulli, NegativeBinomial, Ordinal

LARGE_R = 30.0  # from where Stirling's series has all digits
NEARLY_POISSON = 1e9  # r from where the two laws are one to nine digits
LARGEST_MEAN = 1e15  # of a count that is drawn


def _own(model, k: int, sigma) -> list:
    """The population-level parameters of output k, in the order of its distribution; sigma (..., R)."""
    names = list(model.residual_parameters)
    return [sigma[..., names.index(name)] for name in model.observations[k].residual_parameters]


def cut_points(model, k: int, sigma) -> list:
    """Cut points of an ordinal output, lowest first."""
    first, *steps = _own(model, k, sigma)
    found = [first]
    for step in steps:
        found.append(found[-1] + step)
    return found


def log_probability(model, k: int, prediction, value, sigma):
    """ln P(y = value | prediction) of a discrete output k; arrays broadcast, `sigma` (..., R) but for its last axis."""
    law = model.observations[k].distribution
    if isinstance(law, Bernoulli):
        return jax.nn.log_sigmoid(jnp.where(value > 0.5, prediction, -prediction))
    if isinstance(law, Ordinal):
        return _log_category(law, cut_points(model, k, sigma), _own(model, k, sigma)[1:], prediction, value)
    y, mu = jnp.maximum(value, 0.0), jnp.maximum(prediction, TINY)  # rows of other outputs pass here too
    if isinstance(law, NegativeBinomial):
        return _log_negative_binomial(y, mu, _own(model, k, sigma)[0])
    return y * jnp.log(mu) - mu - gammaln(y + 1.0)


def _log_category(law, cuts, steps, eta, value):
    """ln P of one of the categories; of the lowest and the highest one tail each."""
    found = [jax.nn.log_sigmoid(cuts[0] - eta)]
    for lower, upper, step in zip(cuts, cuts[1:], steps):
        inside = jnp.log(-jnp.expm1(-step))
        found.append(jax.nn.log_sigmoid(upper - eta) + jax.nn.log_sigmoid(eta - lower) + inside)
    found.append(jax.nn.log_sigmoid(eta - cuts[-1]))
    place = jnp.asarray(value) - law.values[0]
    return jnp.select([place < n + 0.5 for n in range(len(found) - 1)], found[:-1], found[-1])


def _log_negative_binomial(y, mu, overdispersion):
    a = jnp.maximum(overdispersion, TINY)
    r = 1.0 / a
    many = r > LARGE_R
    few = jnp.where(many, 1.0, r)  # an unused branch still sends gradients: give each a harmless number
    r_few = gammaln(y + few) - gammaln(few) - y * jnp.log(few)
    large = jnp.where(many, r, LARGE_R)
    r_many = (large + y - 0.5) * jnp.log1p(y / large) - y + _series(large + y) - _series(large)
    return y * jnp.log(mu) - gammaln(y + 1.0) + jnp.where(many, r_many, r_few) - (y + r) * jnp.log1p(a * mu)


def _series(x):
    """What Stirling's formula lacks: ln Gamma(x) = (x - 1/2) ln x - x + ln(2 pi) / 2 + this."""
    return (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * x**2)) / x**2) / x


def probabilities(model, k: int, prediction, sigma) -> np.ndarray:
    """P of each value of an output that has few (Bernoulli, Ordinal), along a new last axis; NumPy."""
    prediction, sigma = np.asarray(prediction, dtype=float), np.asarray(sigma)
    ordinal = isinstance(model.observations[k].distribution, Ordinal)
    cuts = cut_points(model, k, sigma) if ordinal else [np.zeros(())]
    steps = _own(model, k, sigma)[1:] if ordinal else []
    found = [_logistic(cuts[0] - prediction)]
    for lower, upper, step in zip(cuts, cuts[1:], steps):
        found.append(_logistic(upper - prediction) * _logistic(prediction - lower) * -np.expm1(-step))
    found.append(_logistic(prediction - cuts[-1]))
    return np.stack(np.broadcast_arrays(*found), axis=-1)


def _logistic(x):
    return np.exp(-np.logaddexp(0.0, -x))


def distribution_function(model, k: int, prediction, value: float, sigma) -> np.ndarray:
    """P(y <= value | prediction) of a discrete output k, for a whole number `value`."""
    law = model.observations[k].distribution
    prediction, sigma = np.asarray(prediction, dtype=float), np.asarray(sigma)
    if law.values is not None:
        below = [n for n, v in enumerate(law.values) if v <= value]
        return probabilities(model, k, prediction, sigma)[..., below].sum(axis=-1)
    mu, above = np.maximum(prediction, TINY), np.floor(value) + 1.0
    if value < 0:
        return np.zeros(np.shape(mu))
    with jax.enable_x64(True):
        poisson = np.asarray(gammaincc(above, mu))
        if not isinstance(law, NegativeBinomial):
            return poisson
        r = 1.0 / np.maximum(_own(model, k, sigma)[0], TINY)
        nearly_poisson = r > NEARLY_POISSON
        cdf = np.asarray(betainc(np.where(nearly_poisson, 1.0, r), above, r / (r + mu)))
    return np.where(nearly_poisson, poisson, cdf)


def mean_and_variance(model, k: int, prediction, sigma) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a discrete output k as it is reported."""
    law = model.observations[k].distribution
    prediction, sigma = np.asarray(prediction, dtype=float), np.asarray(sigma)
    if law.values is not None:
        p, values = probabilities(model, k, prediction, sigma), np.array(law.values, dtype=float)
        mean = p @ values
        return mean, p @ values**2 - mean**2
    mu = np.maximum(prediction, TINY)
    more = _own(model, k, sigma)[0] * mu**2 if isinstance(law, NegativeBinomial) else 0.0
    return mu, mu + more


def draw_discrete(model, k: int, rng: np.random.Generator, prediction, sigma) -> np.ndarray:
    """Simulated values of a discrete output k; not a number where the prediction is none."""
    law, prediction, sigma = model.observations[k].distribution, np.asarray(prediction, dtype=float), np.asarray(sigma)
    own = _own(model, k, sigma)
    shape = np.broadcast_shapes(prediction.shape, np.shape(sigma)[:-1])
    safe = np.broadcast_to(np.where(np.isnan(prediction), 0.0, prediction), shape)
    if isinstance(law, (Bernoulli, Ordinal)):
        cuts = cut_points(model, k, sigma) if isinstance(law, Ordinal) else [0.0]
        latent = safe + rng.logistic(size=shape)
        found = law.values[0] + sum((latent > cut).astype(float) for cut in cuts)
    else:
        mu = np.clip(safe, TINY, LARGEST_MEAN)
        if isinstance(law, NegativeBinomial):
            r = 1.0 / np.maximum(np.broadcast_to(own[0], shape), TINY)
            mu = np.minimum(rng.gamma(r, mu / r), LARGEST_MEAN)
        found = np.asarray(rng.poisson(mu), dtype=float)
    return np.where(np.isnan(np.broadcast_to(prediction, shape)), np.nan, found)
