"""Population-level sites of a model by name, and draws of them assembled into a `Hyper`; no NumPyro needed."""

import jax.numpy as jnp
import numpy as np

from bayestwin.individual import Hyper, response_structure
from bayestwin.individual.missing import numbers_of
from bayestwin.individual.parameters import to_transformed
from bayestwin.population import horseshoe, site_factors
from bayestwin.specification.horseshoe import horseshoes, prior_of
from bayestwin.specification.priors import Fixed
from bayestwin.specification.sites import OfSites


def omega_priors(model) -> list[tuple[str, object]]:
    """(site, prior) of the SD of every individual parameter, D; the frailty has SD 1."""
    priors = [(f"omega_{model.parameters[i].name}", model.parameters[i].between) for i in model.varying]
    if model.response_correlation is not None:
        priors.append(("omega_frailty", Fixed(value=1.0)))
    for drift in model.drift:
        priors += [(f"drift_sd_{drift.parameter}", drift.sd)] * drift.steps
    latent = [name for own in model.latent_covariates.values() for name in own]
    priors += [(f"omega_{name}", Fixed(value=1.0)) for name in latent]
    if model.occasions is not None:
        for name, sd in model.occasions.sd.items():
            priors += [(f"gamma_{name}", sd)] * model.occasions.count
    return priors


def assemble(model, natural: dict, rho: float) -> Hyper:
    """A `Hyper` from natural-scale population values; leading axes (chain, draw) are kept."""
    shape = leading_axes(model, natural)
    empty = jnp.zeros((*shape, 0))
    typical = [to_transformed(_value(natural, f"{p.name}_pop", p.typical, shape), p.scale) for p in model.parameters]
    natural = with_derived(model, natural)
    natural |= site_factors.by_name(model, natural)
    effects = [_value(natural, name, prior_of(effect), shape) for name, _, effect in model.effects]
    omega = [_value(natural, site, prior, shape) for site, prior in omega_priors(model)]
    sigma = [_value(natural, name, prior, shape) for name, prior in model.residual_parameters.items()]
    correlation = jnp.broadcast_to(
        response_structure(model, rho), (*shape, len(model.individual_names), len(model.individual_names))
    )
    for block in model.correlation_blocks:
        chol = jnp.asarray(natural[block.site])
        for places in block.places:
            at = np.array(places)
            correlation = correlation.at[..., at[:, None], at[None, :]].set(chol @ jnp.swapaxes(chol, -1, -2))
    covariates = None
    if model.covariate_distributions:
        given = {site: _value(natural, site, prior, shape) for site, prior in covariate_sites(model).items()}
        covariates = jnp.stack(numbers_of(model, given), -1)
    return Hyper(
        jnp.stack(typical, -1),
        jnp.stack(effects, -1) if effects else empty,
        jnp.stack(omega, -1) if omega else empty,
        correlation,
        jnp.stack(sigma, -1) if sigma else empty,
        covariates,
    )


def leading_axes(model, natural: dict) -> tuple[int, ...]:
    """Shape of the draws: that of any site without its own axes."""
    own = {block.site: 2 for block in model.correlation_blocks}
    own |= dict.fromkeys((*vector_sites(model), *site_factors.factor_names(model)), 1)
    for name, values in natural.items():
        return jnp.shape(values)[: jnp.ndim(values) - own.get(name, 0)]
    return ()


def _value(natural, name, prior, shape):
    """Draws of a site where there are any (its prior may come from a file of priors), else its fixed number."""
    if name in natural or not isinstance(prior, Fixed):
        return natural[name]
    return jnp.broadcast_to(jnp.asarray(prior.value, dtype=float), shape)


def vector_sites(model) -> dict[str, tuple[object, int]]:
    """Sites that are sampled as arrays, name -> (prior of each entry, how many), and that a result keeps nothing of."""
    return horseshoe.vector_sites(model) | site_factors.raw_sites(model)


def with_derived(model, natural: dict) -> dict:
    """The same values with what is made of `vector_sites`, where those are among them: slopes of horseshoes and
    factors of laboratories and products."""
    natural = natural | site_factors.factors_from(model, natural)
    scales = [f"{one.group}_global" for one in horseshoes(model)]
    drawn = [name for name in scales if name in natural]  # priors from a file may take all slopes out of a group
    if not drawn:
        return natural
    shape, priors = jnp.shape(natural[drawn[0]]), dict(omega_priors(model))

    def omega_of(position):
        site = f"omega_{model.parameters[position].name}"
        return _value(natural, site, priors[site], shape)

    return natural | horseshoe.slopes_from(model, natural, omega_of)


def covariate_sites(model) -> dict[str, object]:
    """(site, prior) of what the distributions of covariates are known by."""
    return {site: prior for one in model.covariate_distributions for site, prior in one.sites.items()}


def hyper_sites(model, *, fixed: bool = False) -> dict[str, object]:
    """Every population-level site that is sampled as one number, name -> prior, in file order (correlation apart; of a
    horseshoe what its slopes share, see `vector_sites` for the rest).

    fixed : those that are taken as known too
    """
    sites = {f"{p.name}_pop": p.typical for p in model.parameters}
    groups = horseshoes(model)
    together = {k for slopes in groups.values() for k in slopes}
    sites.update({name: prior_of(e) for k, (name, _, e) in enumerate(model.effects) if k not in together})
    for one, slopes in groups.items():
        sites.update(one.scalar_sites(len(slopes)))
    sites.update(dict(omega_priors(model)))
    sites.update(model.residual_parameters)
    sites.update(covariate_sites(model))
    sites = {name: prior for name, prior in sites.items() if not isinstance(prior, OfSites)}
    return {name: prior for name, prior in sites.items() if fixed or not isinstance(prior, Fixed)}
