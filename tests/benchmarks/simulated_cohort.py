"""Cohorts simulated from one population at the prior medians of a model, for benchmarks."""

from functools import lru_cache

import jax
import numpy as np
import xarray as xr

from bayestwin.evaluation.verification.simulated import simulated_patient
from bayestwin.population import PopulationPosterior
from bayestwin.population.hyper import hyper_sites
from bayestwin.population.start_values import to_median
from bayestwin.records import Cohort


def at_the_medians(model) -> PopulationPosterior:
    """A population of one draw, every site at its prior median, no correlation but the declared one."""
    with jax.enable_x64(True):
        data = {name: (("chain", "draw"), np.full((1, 1), to_median(p))) for name, p in hyper_sites(model).items()}
    if model.correlation is not None:
        unit = np.eye(len(model.correlation.over))[None, None]
        data["correlation_cholesky"] = (("chain", "draw", "parameter_a", "parameter_b"), unit)
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(data), "sample_stats": xr.Dataset()})
    rho = model.response_correlation.rho if model.response_correlation else 0.0
    tree.attrs.update(kind="population", model=model.name, model_hash=model.hash, rho=rho, fitted_patients="[]")
    return PopulationPosterior(model, tree)


@lru_cache
def simulated_cohort(model, patients: int, labs: int = 20, random_seed: int = 1) -> Cohort:
    """So many patients with about so many labs each: at every visit each output is measured."""
    population, visits = at_the_medians(model), max(round(labs / len(model.observations)), 2)
    return Cohort(
        tuple(
            simulated_patient(population, k, random_seed=random_seed, population_draws=1, visits=visits)
            for k in range(patients)
        )
    )
