"""Draws of a sampler as a `PopulationPosterior`: with names, dimensions, patients' own parameters and provenance."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayestwin.individual import covariate_terms, first_covariates, prior_moments
from bayestwin.population.centring import centred_mask, joined
from bayestwin.population.hyper import assemble, hyper_sites, vector_sites, with_derived
from bayestwin.population.posterior import PopulationPosterior
from bayestwin.population.provenance import provenance
from bayestwin.population.site_factors import factor_names
from bayestwin.specification.priors import Fixed

EFFECTS = ("psi", "z")  # sites of the patients: centred, non-centred


def posterior_from(
    model, order, drawn, rho, cohort, random_seed, *, fitted, method: str = "nuts", note: str = "", mask=None
) -> PopulationPosterior:
    """Draws with their names, dimensions and provenance; method "variational" marks them approximate.

    fitted : the model under the priors that were used; what they fix otherwise than the model file is kept as constant
    mask : which individual parameters are centred; None: all where the draws hold "psi", else none
    """
    shape = next(iter(drawn.stats.values())).shape[:2]
    effects = {name: drawn.samples.get(name) for name in EFFECTS}
    if mask is None:
        mask = centred_mask(model, effects["psi"] is not None)
    own, used = sites_with_priors(model), sites_with_priors(fitted)
    samples = population_samples(model, fitted, drawn.samples, shape)
    chains: dict[str, Any] = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    hyper = assemble(model, {k: jnp.asarray(v) for k, v in samples.items()}, rho)
    stats = {name: (("chain", "draw"), values) for name, values in drawn.stats.items()}
    groups = {
        "posterior": as_dataset(model, samples, chains),
        "sample_stats": xr.Dataset(stats, coords=chains),
        "individuals": individuals(model, order, psi_of(model, hyper, order, effects, mask, shape), chains),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(provenance(model, cohort, order, rho=rho, random_seed=random_seed))
    if mask.any() and not mask.all():
        tree.attrs["centred"] = ", ".join(np.array(model.individual_names)[mask])
    changed = {name: str(used[name]) for name in used if used[name] != own.get(name)}
    tree.attrs.update(method=method, method_note=note, other_priors=json.dumps(changed))
    posterior = PopulationPosterior(model, tree)
    verdict = posterior.diagnostics
    tree.attrs.update(verdict=verdict.status, diagnostics=str(verdict))
    return posterior


def sites_with_priors(model) -> dict:
    """Every population-level site and its prior, fixed ones too, and the concentration of each correlation."""
    more = {block.prior_name: block.prior.concentration for block in model.correlation_blocks}
    return hyper_sites(model, fixed=True) | more


def population_samples(model, fitted, samples: dict, shape) -> dict:
    """The population's sites by name, (chain, draw, ...): with what is derived of them and, as constants, what the
    priors in use fix otherwise than the model file."""
    population = {name: values for name, values in samples.items() if name not in EFFECTS}
    kept = {name: np.asarray(a) for name, a in with_derived(fitted, population).items()}
    found = {name: a for name, a in kept.items() if name not in vector_sites(fitted)}
    own = sites_with_priors(model)
    for name, prior in sites_with_priors(fitted).items():
        if isinstance(prior, Fixed) and name not in found and prior != own.get(name):
            found[name] = np.full(shape, prior.value)
    return found


def as_dataset(model, samples: dict, chains: dict) -> xr.Dataset:
    """The population's sites with their dimensions: correlations by parameter, factors by laboratory."""
    coords, dims = dict(chains), {}
    for block in model.correlation_blocks:
        coords |= block.coords
        dims[block.site] = block.dims
    for name, named in factor_names(model).items():
        coords[f"{name}_site"] = list(named)
        dims[name] = (f"{name}_site",)
    data = {name: (("chain", "draw", *dims.get(name, ())), values) for name, values in samples.items()}
    return xr.Dataset(data, coords=coords)


def individuals(model, order, psi, chains: dict) -> xr.Dataset:
    """Individual parameters by patient and name."""
    coords = chains | {"patient": [r.key for r in order], "parameter": list(model.individual_names)}
    return xr.Dataset({"psi": (("chain", "draw", "patient", "parameter"), psi)}, coords=coords)


def psi_of(model, hyper, order, effects: dict, mask, shape):
    """Individual parameters (chain, draw, N, D) of centred and non-centred effects."""
    psi, z = (effects[name] for name in EFFECTS)
    if psi is not None and z is None:
        return psi
    if psi is None and z is None:  # nothing varies between patients
        z = np.zeros((*shape, len(order), 0))
    terms = np.stack([covariate_terms(model, first_covariates(model, r)) for r in order])

    def individual(h, *parts):
        means, scale = jax.vmap(lambda x: prior_moments(model, h, x))(terms)
        return joined(means, scale, mask, *parts)

    return np.asarray(jax.jit(jax.vmap(jax.vmap(individual)))(hyper, psi, z))
