"""The hierarchical model as a NumPyro program: priors from the model file, individual effects centred or not.

    typical, omega, effects, sigma ~ priors
    non-centred:  z_i ~ Normal(0, I), psi_i = mean(typical, covariates_i) + omega * (chol(R) z_i)
    centred:      psi_i ~ Normal(mean(typical, covariates_i), diag(omega) R diag(omega))
    factor: sum over patients of ln p(labs_i, events_i | psi_i, sigma)      (individual/, response classes summed out)

R holds the LKJ block and the declared response correlation. Site names: CL_pop, omega_CL, beta_CL_weight_kg,
sigma_add_concentration, correlation_cholesky, drift_sd_g, z or psi.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayestwin.dynamics import Accuracy
from bayestwin.errors import ModelError
from bayestwin.individual import Hyper, class_likelihood, prior_mean, response_structure, total_log_likelihood
from bayestwin.individual.parameters import to_transformed
from bayestwin.specification.priors import Fixed, HalfNormal, LogitNormal, LogNormal, Normal


def distribution(prior):
    """The NumPyro distribution of a prior of the model language."""
    if isinstance(prior, LogNormal):
        return dist.LogNormal(jnp.log(prior.median), prior.sd_log)
    if isinstance(prior, LogitNormal):
        return dist.TransformedDistribution(
            dist.Normal(jax.scipy.special.logit(prior.median), prior.sd_logit), dist.transforms.SigmoidTransform()
        )
    if isinstance(prior, Normal):
        return dist.Normal(prior.mean, prior.sd)
    if isinstance(prior, HalfNormal):
        return dist.HalfNormal(prior.sd)
    raise ModelError("no such prior", value=prior)


def draw_site(name, prior):
    """Sample a site, or return the number of a Fixed prior."""
    return (
        jnp.asarray(prior.value, dtype=float) if isinstance(prior, Fixed) else numpyro.sample(name, distribution(prior))
    )


def omega_priors(model) -> list[tuple[str, object]]:
    """(site, prior) of the SD of every individual parameter, D; the frailty has SD 1."""
    priors = [(f"omega_{model.parameters[i].name}", model.parameters[i].between) for i in model.varying]
    if model.response_correlation is not None:
        priors.append(("omega_frailty", Fixed(value=1.0)))
    for drift in model.drift:
        priors += [(f"drift_sd_{drift.parameter}", drift.sd)] * drift.steps
    return priors


def assemble(model, natural: dict, rho: float) -> Hyper:
    """A `Hyper` from natural-scale population values; leading axes (chain, draw) are kept."""
    shape = next((jnp.shape(v) for k, v in natural.items() if k != "correlation_cholesky"), ())
    typical = [to_transformed(_value(natural, f"{p.name}_pop", p.typical, shape), p.scale) for p in model.parameters]
    effects = [_value(natural, name, effect_prior(effect), shape) for name, _, effect in model.effects]
    omega = [_value(natural, site, prior, shape) for site, prior in omega_priors(model)]
    sigma = [_value(natural, name, prior, shape) for name, prior in model.residual_parameters.items()]
    correlation = jnp.broadcast_to(
        response_structure(model, rho), (*shape, len(model.individual_names), len(model.individual_names))
    )
    if model.correlation is not None:
        members = jnp.array([model.individual_names.index(n) for n in model.correlation.over])
        chol = natural["correlation_cholesky"]
        correlation = correlation.at[..., members[:, None], members[None, :]].set(chol @ jnp.swapaxes(chol, -1, -2))
    empty = jnp.zeros((*shape, 0))
    return Hyper(
        jnp.stack(typical, -1),
        jnp.stack(effects, -1) if effects else empty,
        jnp.stack(omega, -1),
        correlation,
        jnp.stack(sigma, -1),
    )


def effect_prior(effect):
    """The prior of a covariate effect's coefficient."""
    return getattr(effect, "exponent", None) or getattr(effect, "slope", None) or effect.shift


def _value(natural, name, prior, shape):
    return jnp.broadcast_to(jnp.asarray(prior.value, dtype=float), shape) if isinstance(prior, Fixed) else natural[name]


def hyper_sites(model) -> dict[str, object]:
    """Every population-level site that is sampled, name -> prior, in file order (correlation apart)."""
    sites = {f"{p.name}_pop": p.typical for p in model.parameters}
    sites.update({name: effect_prior(effect) for name, _, effect in model.effects})
    sites.update(dict(omega_priors(model)))
    sites.update(model.residual_parameters)
    return {name: prior for name, prior in sites.items() if not isinstance(prior, Fixed)}


def population_program(model, groups, *, rho: float, centred: bool = False, accuracy: Accuracy = Accuracy()):
    """The NumPyro program for a cohort.

    groups : list of stacked PatientData (leading patient axis), patients in cohort order across groups
    """
    natural = {name: draw_site(name, prior) for name, prior in hyper_sites(model).items()}
    if model.correlation is not None:
        natural["correlation_cholesky"] = numpyro.sample(
            "correlation_cholesky", dist.LKJCholesky(len(model.correlation.over), model.correlation.concentration)
        )
    hyper = assemble(model, natural, rho)
    n_patients = sum(g.mask.shape[0] for g in groups)
    if not groups:
        return
    scale = hyper.omega[:, None] * jnp.linalg.cholesky(hyper.correlation)
    means = jnp.concatenate([jax.vmap(lambda x: prior_mean(model, hyper, x))(jnp.asarray(g.terms)) for g in groups])
    with numpyro.plate("patient", n_patients):
        if centred:
            psi = numpyro.sample("psi", dist.MultivariateNormal(means, scale_tril=scale))
        else:
            z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([len(model.individual_names)]).to_event(1))
            psi = means + z @ scale.T

    def one(psi_i, data):
        return total_log_likelihood(class_likelihood(model, psi_i, hyper, data, rho=rho, accuracy=accuracy))

    total, first = jnp.zeros(()), 0
    for group in groups:
        count = group.mask.shape[0]
        total += jax.vmap(one)(psi[first : first + count], group).sum()
        first += count
    numpyro.factor("labs_and_events", total)
