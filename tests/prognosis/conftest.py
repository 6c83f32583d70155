"""A model of nothing but hazards, whose survival is known, a marker under a drug given and paused, and myeloma
particles drawn from the prior."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))
sys.path.insert(0, str(Path(__file__).parent))

from cycling_model import twin_of, write_cycling_model
from hazard_model import hazard_population
from level_model import as_population

from bayestwin.population.hyper import hyper_sites
from bayestwin.population.program import distribution
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import start_twin


@pytest.fixture(scope="session")
def hazards(tmp_path_factory):
    """The population of the hazard model (see hazard_model.py)."""
    return hazard_population(tmp_path_factory.mktemp("models") / "hazards")


@pytest.fixture(scope="session")
def hazard_twin(hazards):
    """A twin of the hazard model after two labs: 800 particles over 100 draws of the two rates."""
    labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0 + t / 100, t) for t in (0.0, 10.0))
    return start_twin(
        hazards, PatientRecord("H-1", labs=labs), particles=800, islands=4, population_draws=100, random_seed=1
    )


@pytest.fixture(scope="session")
def cycling(tmp_path_factory):
    """The cycling model (see cycling_model.py)."""
    return write_cycling_model(tmp_path_factory.mktemp("models") / "cycling")


@pytest.fixture(scope="session")
def cycling_twin(cycling):
    """On the drug for 100 days, the marker falling; no assay error, no drift."""
    return twin_of(cycling)


@pytest.fixture(scope="session")
def myeloma_prior():
    """(model, population of 100 prior draws, untreated twin without labs)."""
    model = load_model("myeloma_car_t")
    draws = {}
    with jax.enable_x64(True):
        for k, (name, prior) in enumerate(hyper_sites(model).items()):
            draws[name] = np.asarray(distribution(prior).sample(jax.random.key(k), (100,)))
    population = as_population(model, draws, rho=0.5)
    twin = start_twin(population, PatientRecord("M-1"), particles=2000, islands=4, population_draws=100, random_seed=1)
    return model, population, twin
