"""The hierarchical model as a NumPyro program: priors from the model file, individual effects centred or not.

    typical, omega, effects, sigma ~ priors
    non-centred:  z_i ~ Normal(0, I), psi_i = mean(typical, covariates_i) + omega * (chol(R) z_i)
    centred:      psi_i ~ Normal(mean(typical, covariates_i), diag(omega) R diag(omega)); or some of each: centring.py
    factor: sum over patients of ln p(labs_i, events_i | psi_i, sigma)      (individual/, response classes summed out)
    factor: where covariates have a distribution, ln p(known ones); missing ones are summed out of psi's prior

R holds the LKJ blocks and the declared response correlation. Site names: CL_pop, omega_CL, beta_CL_weight_kg,
sigma_add_concentration, correlation_cholesky, drift_sd_g,
gamma_CL, z or psi.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayestwin.dynamics import Accuracy
from bayestwin.errors import ModelError
from bayestwin.individual import class_likelihood, log_levels, prior_mean, prior_moments, total_log_likelihood
from bayestwin.individual.missing import log_of_covariates, prior_is_own
from bayestwin.population.centring import centred_mask, sampled_effects
from bayestwin.population.hyper import assemble, hyper_sites, vector_sites
from bayestwin.specification.priors import (
    Beta,
    Exponential,
    Fixed,
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

_SIMPLE = {
    LogNormal: lambda p: dist.LogNormal(jnp.log(p.median), p.sd_log),
    Normal: lambda p: dist.Normal(p.mean, p.sd),
    HalfNormal: lambda p: dist.HalfNormal(p.sd),
    HalfCauchy: lambda p: dist.HalfCauchy(p.scale),
    Exponential: lambda p: dist.Exponential(p.rate),
    Gamma: lambda p: dist.Gamma(p.shape, p.rate),
    InverseGamma: lambda p: dist.InverseGamma(p.shape, p.scale),
    TruncatedNormal: lambda p: dist.TruncatedNormal(p.mean, p.sd, low=0.0),
    Beta: lambda p: dist.Beta(p.a, p.b),
    StudentT: lambda p: dist.StudentT(p.df, p.location, p.scale),
    Uniform: lambda p: dist.Uniform(p.low, p.high),
}


def distribution(prior):
    """The NumPyro distribution of a prior of the model language."""
    if type(prior) in _SIMPLE:
        return _SIMPLE[type(prior)](prior)
    if isinstance(prior, LogitNormal):
        return dist.TransformedDistribution(
            dist.Normal(jax.scipy.special.logit(prior.median), prior.sd_logit), dist.transforms.SigmoidTransform()
        )
    raise ModelError("no such prior", value=prior)


def draw_site(name, prior):
    """Sample a site, or return the number of a Fixed prior."""
    return (
        jnp.asarray(prior.value, dtype=float) if isinstance(prior, Fixed) else numpyro.sample(name, distribution(prior))
    )


def covariate_factor(model, hyper, psi, groups):
    """ln p(known covariates), and of missing categories what their levels say beyond `prior_moments`."""
    terms = jnp.concatenate([jnp.asarray(g.terms) for g in groups])
    known = jnp.concatenate([jnp.asarray(g.known) for g in groups])
    levels = jax.vmap(lambda p, x: log_levels(model, p, hyper, x))(psi, terms)
    return (levels + jax.vmap(lambda x, y: log_of_covariates(model, hyper, x, y))(terms, known)).sum()


def population_program(
    model,
    groups,
    *,
    rho: float,
    centred: bool | tuple[str, ...] = False,
    labs: bool = True,
    accuracy: Accuracy = Accuracy(),
):
    """The NumPyro program for a cohort.

    groups : list of stacked PatientData (leading patient axis), patients in cohort order across groups
    centred : of all individual effects, or the names of those that are
    labs : False leaves the likelihood out
    """
    natural = {name: draw_site(name, prior) for name, prior in hyper_sites(model).items()}
    for name, (prior, size) in vector_sites(model).items():
        natural[name] = numpyro.sample(name, distribution(prior).expand([size]).to_event(1))
    for block in model.correlation_blocks:
        law = dist.LKJCholesky(len(block.prior.over), block.prior.concentration)
        natural[block.site] = numpyro.sample(block.site, law)
    hyper = assemble(model, natural, rho)
    n_patients = sum(g.mask.shape[0] for g in groups)
    if not groups:
        return
    size = len(model.individual_names)
    means, scale = individual_prior(model, hyper, groups)
    with numpyro.plate("patient", n_patients):
        if size == 0:  # nothing varies between patients: one patient, or a naive pool
            psi = means
        else:
            psi = sampled_effects(means, scale, centred_mask(model, centred))

    if model.covariate_distributions:
        numpyro.factor("covariates", covariate_factor(model, hyper, psi, groups))
    if not labs:
        return

    def one(psi_i, data):
        return patient_log_likelihood(model, psi_i, hyper, data, rho=rho, accuracy=accuracy)

    total = sum(part.sum() for part in over_patients(one, groups, psi))
    numpyro.factor("labs_and_events", total)


def individual_prior(model, hyper, groups):
    """Means (N, D) of the individual parameters of all patients and the Cholesky factor of their covariance: (D, D), or
    (N, D, D) where missing covariates are summed out, so that each patient has their own."""
    terms = jnp.concatenate([jnp.asarray(g.terms) for g in groups])
    if prior_is_own(model):
        return jax.vmap(lambda x: prior_moments(model, hyper, x))(terms)
    size = len(model.individual_names)
    scale = hyper.omega[:, None] * (jnp.linalg.cholesky(hyper.correlation) if size else hyper.correlation)
    return jax.vmap(lambda x: prior_mean(model, hyper, x))(terms), scale


def patient_log_likelihood(model, psi, hyper, data, *, rho: float, accuracy: Accuracy):
    """ln p(labs, events of one patient | psi, population), response classes summed out."""
    return total_log_likelihood(class_likelihood(model, psi, hyper, data, rho=rho, accuracy=accuracy))


def over_patients(function, groups, *by_patient):
    """`function(*by_patient, data)` of every patient, one result with a leading patient axis for each stack."""
    found, first = [], 0
    for group in groups:
        count = group.mask.shape[0]
        found.append(jax.vmap(function)(*(x[first : first + count] for x in by_patient), group))
        first += count
    return found
