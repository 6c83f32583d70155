"""Where a sampler starts: every population-level site at its prior median, every patient at their prior mean."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc
from numpyro.distributions import biject_to

from bayestwin.individual import prior_mean
from bayestwin.population.horseshoe import vector_sites
from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.population.program import distribution
from bayestwin.specification.priors import (
    Beta,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LogitNormal,
    LogNormal,
    Normal,
    StudentT,
    TruncatedNormal,
    Uniform,
)


def _halfway(cdf, low: float, high: float) -> float:
    """Where a distribution function passes one half, by bisection."""
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cdf(middle) < 0.5 else (low, middle)
    return 0.5 * (low + high)


def _gamma_median(shape: float) -> float:
    """Median of a gamma distribution of rate 1, which lies under its mean."""
    return _halfway(lambda x: gammainc(shape, x), 0.0, shape)


_MEDIANS = {
    LogNormal: lambda p: p.median,
    LogitNormal: lambda p: p.median,
    Normal: lambda p: p.mean,
    StudentT: lambda p: p.location,
    HalfNormal: lambda p: 0.6744897501960817 * p.sd,
    HalfCauchy: lambda p: p.scale,
    Exponential: lambda p: np.log(2.0) / p.rate,
    Gamma: lambda p: _gamma_median(p.shape) / p.rate,
    InverseGamma: lambda p: p.scale / _gamma_median(p.shape),
    TruncatedNormal: lambda p: distribution(p).icdf(0.5),
    Beta: lambda p: _halfway(distribution(p).cdf, 0.0, 1.0),
    Uniform: lambda p: 0.5 * (p.low + p.high),
}


def to_median(prior):
    """Median of a prior, natural scale."""
    return jnp.asarray(float(_MEDIANS[type(prior)](prior)))


def unconstrained_medians(model, groups, *, rho: float, centred: bool) -> dict:
    """Where a sampler starts, on the unbounded scale of each site."""
    natural = {name: to_median(prior) for name, prior in hyper_sites(model).items()}
    start = {
        name: biject_to(distribution(prior).support).inv(natural[name]) for name, prior in hyper_sites(model).items()
    }
    for name, (prior, size) in vector_sites(model).items():
        natural[name] = jnp.broadcast_to(to_median(prior), (size,))
        start[name] = biject_to(distribution(prior).support).inv(natural[name])
    if model.correlation is not None:
        size = len(model.correlation.over)
        start["correlation_cholesky"] = jnp.zeros(size * (size - 1) // 2)
        natural["correlation_cholesky"] = jnp.eye(size)
    terms = np.concatenate([g.terms for g in groups])
    effects = jnp.zeros((len(terms), len(model.individual_names)))
    if not model.individual_names:
        return start
    if not centred:
        return start | {"z": effects}
    hyper = assemble(model, natural, rho)
    return start | {"psi": effects + jax.vmap(lambda x: prior_mean(model, hyper, x))(jnp.asarray(terms))}
