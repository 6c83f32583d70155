"""Where a sampler starts: every population-level site at its prior median, every patient at their prior mean."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc
from numpyro.distributions import biject_to, constraints

from bayestwin.individual import prior_mean
from bayestwin.population.centring import centred_mask, joined, taken_apart
from bayestwin.population.hyper import assemble, hyper_sites, vector_sites
from bayestwin.population.program import distribution, individual_prior
from bayestwin.population.sampling import scattered
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


def median_sites(model) -> dict:
    """Every site that is sampled for the population at its prior median, natural scale; uncorrelated."""
    natural = {name: to_median(prior) for name, prior in hyper_sites(model).items()}
    natural |= {name: jnp.broadcast_to(to_median(p), (size,)) for name, (p, size) in vector_sites(model).items()}
    return natural | {block.site: jnp.eye(len(block.prior.over)) for block in model.correlation_blocks}


def unconstrained_medians(model, groups, *, rho: float, centred) -> dict:
    """Where a sampler starts, on the unbounded scale of each site; centred : as in `population_program`."""
    natural = median_sites(model)
    priors = hyper_sites(model) | {name: prior for name, (prior, _) in vector_sites(model).items()}
    start = {name: biject_to(distribution(prior).support).inv(natural[name]) for name, prior in priors.items()}
    for block in model.correlation_blocks:
        size = len(block.prior.over)
        start[block.site] = jnp.zeros(size * (size - 1) // 2)
    terms = np.concatenate([g.terms for g in groups])
    mask = centred_mask(model, centred)
    if not model.individual_names:
        return start
    if not mask.all():
        start["z"] = jnp.zeros((len(terms), int((~mask).sum())))
    if mask.any():
        hyper = assemble(model, natural, rho)
        means = jax.vmap(lambda x: prior_mean(model, hyper, x))(jnp.asarray(terms))
        start["psi"] = means[:, np.flatnonzero(mask)]
    return start


def chain_starts(model, order, groups, start_from, *, chains: int, random_seed: int, rho: float, centred):
    """One key per chain -> where the chains begin: scattered around the prior medians, or at an earlier posterior's
    draws (`starts_like`)."""
    start = partial(scattered, unconstrained_medians(model, groups, rho=rho, centred=centred))
    if start_from is None:
        return start
    begin = start(jax.random.split(jax.random.key(random_seed), chains))
    begin = starts_like(start_from, model, order, groups, begin, rho=rho, centred=centred)
    return lambda keys: begin


def starts_like(posterior, model, order, groups, starts: dict, *, rho: float, centred) -> dict:
    """Unbounded sites of every chain at draws of an earlier posterior, evenly spaced through it.

    Sites and patients are found by name and key; those that it lacks, or that the priors now exclude, stay where
    `starts` (with a leading axis of chains) has them.
    """
    chains = len(next(iter(starts.values())))
    draws = posterior.posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    take = (np.arange(chains) * draws.sizes["sample"] / chains).astype(int)
    priors = hyper_sites(model) | {name: prior for name, (prior, _) in vector_sites(model).items()}
    supports = {name: distribution(prior).support for name, prior in priors.items()}
    supports |= {block.site: constraints.corr_cholesky for block in model.correlation_blocks}
    found = dict(starts)
    for name, support in supports.items():
        if name in draws:
            free = biject_to(support).inv(jnp.asarray(draws[name].values[take]))
            if free.shape == starts[name].shape:
                found[name] = jnp.where(jnp.isfinite(free), free, starts[name])
    if not model.individual_names:
        return found
    known = [posterior.individual_draws(record) for record in order]
    natural = jax.vmap(lambda one: {n: biject_to(s)(one[n]) for n, s in supports.items()})(
        {name: found[name] for name in supports}
    )

    def individual(one):
        return individual_prior(model, assemble(model, one, rho), groups)

    means, scale = jax.vmap(individual)(natural)
    mask = centred_mask(model, centred)
    psi = joined(means, scale, mask, starts.get("psi"), starts.get("z"))
    for i, values in enumerate(known):
        if values is not None and values.shape[1:] == psi.shape[2:]:
            psi = psi.at[:, i].set(values[take])
    return found | taken_apart(means, scale, mask, psi)
