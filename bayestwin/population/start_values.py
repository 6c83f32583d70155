"""Where a sampler starts: every population-level site at its prior median, every patient at their prior mean."""

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to
from scipy import stats

from bayestwin.individual import prior_mean
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

_MEDIANS = {
    LogNormal: lambda p: p.median,
    LogitNormal: lambda p: p.median,
    Normal: lambda p: p.mean,
    StudentT: lambda p: p.location,
    HalfNormal: lambda p: stats.halfnorm.median() * p.sd,
    HalfCauchy: lambda p: p.scale,
    Exponential: lambda p: np.log(2.0) / p.rate,
    Gamma: lambda p: stats.gamma(p.shape).median() / p.rate,
    InverseGamma: lambda p: p.scale / stats.gamma(p.shape).median(),
    TruncatedNormal: lambda p: stats.truncnorm(-p.mean / p.sd, np.inf, p.mean, p.sd).median(),
    Beta: lambda p: stats.beta(p.a, p.b).median(),
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
