"""A population fit finds the lag and the share of tablets that are known, and how much they vary between patients."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "individual"))

from dosing_model import concentration, write_dosing_model

from bayestwin.dosing import DoseEvent
from bayestwin.population import fit_population
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification.priors import Fixed

TRUE = {"ka": 1.5, "CL": 3.0, "V": 30.0, "lag": 1.3, "F": 0.6, "rate": 40.0, "duration": 2.0}
TIMES = (0.75, 1.25, 1.75, 2.5, 4.0, 8.0, 12.5, 13.0, 15.0, 20.0)  # an infusion without lag or share follows at 12 h
DOSES = (DoseEvent(0.0, 300.0, "oral"), DoseEvent(12.0, 200.0, "iv", modelled="duration"))
SIGMA = 0.15


def simulated(patients, *, vary, seed=1):
    """A cohort whose lag and share vary with an SD of 0.25 on their scales; the other parameters as `vary` says."""
    rng, found = np.random.default_rng(seed), []
    for n in range(patients):
        mine = {name: value * np.exp(vary * rng.standard_normal()) for name, value in TRUE.items()}
        mine["lag"] = TRUE["lag"] * np.exp(0.25 * rng.standard_normal())
        odds = TRUE["F"] / (1.0 - TRUE["F"]) * np.exp(0.25 * rng.standard_normal())
        mine["F"] = odds / (1.0 + odds)
        with jax.enable_x64(True):
            values = np.asarray(concentration(mine, TIMES, DOSES)) + SIGMA * rng.standard_normal(len(TIMES))
        labs = tuple(Lab(f"c{t}", "concentration", t, float(v), t) for t, v in zip(TIMES, values))
        found.append(PatientRecord(f"S-{n}", labs=labs, doses=DOSES, covariates={"fed": 0.0}))
    return Cohort(tuple(found))


@pytest.fixture(scope="module")
def lagged(tmp_path_factory):
    return write_dosing_model(tmp_path_factory.mktemp("models") / "lagged")


def within(population, name, truth, *, sds):
    drawn = population.posterior[name].values
    assert abs(drawn.mean() - truth) < sds * drawn.std(), (name, drawn.mean(), drawn.std())
    return drawn.std()


@pytest.mark.validate
def test_a_small_fit_recovers_the_lag_and_the_share(lagged):
    """Everything but lag and share held near the truth, so that few draws say enough."""
    known = {f"{name}_pop": Fixed(value=value) for name, value in TRUE.items() if name not in ("lag", "F")}
    known |= {f"omega_{name}": Fixed(value=0.01) for name in TRUE if name not in ("lag", "F")}
    known |= {"beta_lag_fed": Fixed(value=0.5), "sigma_add_concentration": Fixed(value=SIGMA)}
    population = fit_population(
        lagged, simulated(4, vary=0.0), random_seed=1, chains=2, warmup=60, draws=60, max_tree_depth=4, priors=known
    )
    assert within(population, "lag_pop", TRUE["lag"], sds=3.5) < 0.4
    assert within(population, "F_pop", TRUE["F"], sds=3.5) < 0.1


@pytest.mark.validate
def test_a_fit_recovers_typical_values_and_variability_of_lag_and_share_beside_all_others(lagged):
    population = fit_population(lagged, simulated(24, vary=0.15), random_seed=2, chains=4, warmup=400, draws=300)
    assert population.diagnostics.divergences < 12
    for name, truth in TRUE.items():
        if name != "rate":  # no dose leaves it open
            within(population, f"{name}_pop", truth, sds=3.0)
    for name in ("lag", "F"):
        within(population, f"omega_{name}", 0.25, sds=3.0)
