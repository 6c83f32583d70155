"""A population that nobody has measured yet: draws of a model's own priors, in the shape of a posterior.

For simulation, and for checks of a model that has no fitted population. It carries method "prior" and is never passed
off as a posterior.
"""

import json
from datetime import UTC, datetime
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import xarray as xr

from bayestwin.population.fit import versions
from bayestwin.population.horseshoe import vector_sites
from bayestwin.population.hyper import hyper_sites, with_slopes
from bayestwin.population.posterior import PopulationPosterior
from bayestwin.population.program import distribution


def prior_population(model, *, draws: int, random_seed: int, rho: float | None = None) -> PopulationPosterior:
    """Independent draws of every population-level site of a model.

    rho : declared response correlation; None takes the model's own
    """
    if rho is None:
        rho = model.response_correlation.rho if model.response_correlation is not None else 0.0
    sites = hyper_sites(model)
    parts: dict[str, Any] = {}
    data: dict[str, Any] = {}
    with jax.enable_x64(True):
        *keys, key_correlation = jax.random.split(jax.random.key(random_seed), len(sites) + 1)
        for (name, prior), key in zip(sites.items(), keys):
            parts[name] = distribution(prior).sample(key, (1, draws))
        for number, (name, (prior, size)) in enumerate(vector_sites(model).items()):
            parts[name] = distribution(prior).sample(jax.random.fold_in(key_correlation, number), (1, draws, size))
        for name, values in with_slopes(model, parts).items():
            if name not in vector_sites(model):
                data[name] = (("chain", "draw"), np.asarray(values))
        if model.correlation is not None:
            law = dist.LKJCholesky(len(model.correlation.over), model.correlation.concentration)
            lower = np.asarray(law.sample(key_correlation, (1, draws)))
            data["correlation_cholesky"] = (("chain", "draw", "parameter_a", "parameter_b"), lower)
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
    )
    return PopulationPosterior(model, tree)
