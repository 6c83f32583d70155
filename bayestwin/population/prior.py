"""A population that nobody has measured yet: draws of a model's own priors, in the shape of a posterior.

For simulation, and for checks of a model that has no fitted population. It carries method "prior" and is never passed
off as a posterior.
"""

import json
from datetime import UTC, datetime

import jax
import numpy as np
import numpyro.distributions as dist
import xarray as xr

from bayestwin.population.hyper import hyper_sites, vector_sites, with_derived
from bayestwin.population.posterior import PopulationPosterior
from bayestwin.population.program import distribution
from bayestwin.population.provenance import versions
from bayestwin.population.site_factors import factor_names
from bayestwin.specification.sites import sites_as_text


def prior_population(model, *, draws: int, random_seed: int, rho: float | None = None) -> PopulationPosterior:
    """Independent draws of every population-level site of a model.

    rho : declared response correlation; None takes the model's own
    """
    if rho is None:
        rho = model.response_correlation.rho if model.response_correlation is not None else 0.0
    with jax.enable_x64(True):
        drawn = draw_of_priors(model, jax.random.key(random_seed), (1, draws))
    own: dict[str, tuple[str, ...]] = {block.site: block.dims for block in model.correlation_blocks}
    own |= {name: (f"{name}_site",) for name in factor_names(model)}
    data = {k: (("chain", "draw", *own.get(k, ())), np.asarray(v)) for k, v in drawn.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(data), "sample_stats": xr.Dataset()})
    tree.attrs.update(
        kind="population",
        model=model.name,
        model_hash=model.hash,
        rho=rho,
        random_seed=random_seed,
        method="prior",
        method_note="draws of the priors of the model file, no data",
        verdict="prior",
        versions=json.dumps(versions()),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        fitted_patients="[]",
        n_patients=0,
        **sites_as_text(model),
    )
    return PopulationPosterior(model, tree)


def draw_of_priors(model, key, shape: tuple[int, ...] = ()) -> dict:
    """Population-level sites from their priors, natural scale, slopes of horseshoes and factors of
    sites in place of their parts."""
    sites, found = hyper_sites(model), {}
    *keys, key_correlation = jax.random.split(key, len(sites) + 1)
    for (name, prior), one in zip(sites.items(), keys):
        found[name] = distribution(prior).sample(one, shape)
    parts = vector_sites(model)
    for number, (name, (prior, size)) in enumerate(parts.items()):
        found[name] = distribution(prior).sample(jax.random.fold_in(key_correlation, number), (*shape, size))
    found = {name: values for name, values in with_derived(model, found).items() if name not in parts}
    for number, block in enumerate(model.correlation_blocks):
        law = dist.LKJCholesky(len(block.prior.over), block.prior.concentration)
        one = jax.random.fold_in(key_correlation, 1000 + number) if number else key_correlation
        found[block.site] = law.sample(one, shape)
    return found
