"""Cohorts of the level model, and a made-up fit that kept its individuals."""

import numpy as np
import xarray as xr

from bayestwin.population import PopulationPosterior
from bayestwin.records import Cohort, Lab, PatientRecord

TIMES = np.array([1.0, 2.0, 5.0, 9.0])


def cohort_of(levels, noise=1.5, seed=1, times=TIMES, **more):
    """Patients of the level model with these levels, measured with SD `noise`."""
    rng, found = np.random.default_rng(seed), []
    for k, level in enumerate(levels):
        labs = [Lab(f"m@{t:g}", "m_protein", t, float(level + noise * rng.standard_normal()), t) for t in times]
        found.append(PatientRecord(f"C-{k}", labs=tuple(labs), **more))
    return Cohort(tuple(found))


def levels_of(n, seed=7, sd=2.0, mean=20.0):
    return mean + sd * np.random.default_rng(seed).standard_normal(n)


def fitted_with(population, cohort, effects):
    """The population with individual parameters: each patient's level known to +- 0.1 around mean + effect."""
    shape = population.posterior["level_pop"].shape
    rng, psi = np.random.default_rng(1), []
    for effect in effects:
        level = population.posterior["level_pop"].values + effect + 0.1 * rng.standard_normal(shape)
        psi.append(np.stack([level, population.posterior["effect_pop"].values], axis=-1))
    tree = population.tree.copy()
    dims = ("chain", "draw", "patient", "parameter")
    data = xr.Dataset({"psi": (dims, np.stack(psi, axis=2))})
    data = data.assign_coords(patient=[r.key for r in cohort], parameter=list(population.model.individual_names))
    tree["individuals"] = xr.DataTree(data)
    return PopulationPosterior(population.model, tree)
