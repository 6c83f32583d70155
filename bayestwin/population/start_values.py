"""Where a sampler starts: every population-level site at its prior median, every patient at their prior mean."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammainc
from numpyro.distributions import biject_to, constraints

from bayestwin.individual import prior_mean
from bayestwin.population.hyper import assemble, hyper_sites, vector_sites
from bayestwin.population.program import distribution, individual_prior
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


def starts_like(posterior, model, order, groups, starts: dict, *, rho: float, centred: bool) -> dict:
    """Unbounded sites of every chain at draws of an earlier posterior, evenly spaced through it.

    Sites and patients are found by name and key; those that it lacks, or that the priors now exclude, stay where
    `starts` (with a leading axis of chains) has them.
    """
    chains = len(next(iter(starts.values())))
    draws = posterior.posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    take = (np.arange(chains) * draws.sizes["sample"] / chains).astype(int)
    priors = hyper_sites(model) | {name: prior for name, (prior, _) in vector_sites(model).items()}
    supports = {name: distribution(prior).support for name, prior in priors.items()}
    if model.correlation is not None:
        supports["correlation_cholesky"] = constraints.corr_cholesky
    found = dict(starts)
    for name, support in supports.items():
        if name in draws:
            free = biject_to(support).inv(jnp.asarray(draws[name].values[take]))
            if free.shape == starts[name].shape:
                found[name] = jnp.where(jnp.isfinite(free), free, starts[name])
    effects = "psi" if centred else "z"
    if effects not in starts:
        return found
    known = [posterior.individual_draws(record) for record in order]
    natural = jax.vmap(lambda one: {n: biject_to(s)(one[n]) for n, s in supports.items()})(
        {name: found[name] for name in supports}
    )

    def individual(one):
        return individual_prior(model, assemble(model, one, rho), groups)

    means, scale = jax.vmap(individual)(natural)
    if scale.ndim == 3:  # one for all patients of a chain
        scale = jnp.broadcast_to(scale[:, None], (*means.shape, means.shape[-1]))
    psi = starts["psi"] if centred else means + jnp.einsum("cnab,cnb->cna", scale, starts["z"])
    for i, values in enumerate(known):
        if values is not None and values.shape[1:] == psi.shape[2:]:
            psi = psi.at[:, i].set(values[take])
    if centred:
        return found | {"psi": psi}
    return found | {"z": jax.vmap(jax.vmap(lambda s, x: solve_triangular(s, x, lower=True)))(scale, psi - means)}
