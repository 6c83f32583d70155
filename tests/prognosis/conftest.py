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
from level_model import as_population

from bayestwin.population.hyper import hyper_sites
from bayestwin.population.program import distribution
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import start_twin

HAZARDS = '''
"""A marker that stands still, and two constant hazards."""
from bayestwin.specification import *

def initial_state(p):
    return {"level": p.level}

def vector_field(t, y, p, u):
    return {"level": 0.0 * y.level}

model = Model(
    name="hazards", time_unit="day", states=("level",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0)),
        Parameter("h_other", unit="1/day", scale="log", typical=LogNormal(median=0.001, sd_log=0.3)),
        Parameter("h_death", unit="1/day", scale="log", typical=LogNormal(median=0.0005, sd_log=0.3)),
    ),
    outputs={"m_protein": lambda t, y, p, u: y.level},
    hazards={"other": lambda t, y, p, u: p.h_other, "death": lambda t, y, p, u: p.h_death},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=0.3)), plausible=(-100.0, 100.0),
                              positive=False),),
    treatments=(Treatment("drug", label="a drug"),
                Treatment("cells", label="cells", starts_with="infusion", wait=60.0, cell_therapy=True)),
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0,
                           progression_hazards=("other",), death_hazard="death"),),
)
'''


@pytest.fixture(scope="session")
def hazard_twin(tmp_path_factory):
    """A twin of the hazard model after two labs: 800 particles over 100 draws of the two rates."""
    folder = tmp_path_factory.mktemp("models") / "hazards"
    folder.mkdir()
    (folder / "model.py").write_text(HAZARDS, encoding="utf-8")
    model, rng, n = load_model(folder), np.random.default_rng(1), 100
    draws = {
        "level_pop": 20.0 + rng.standard_normal(n),
        "omega_level": 2.0 * np.exp(0.1 * rng.standard_normal(n)),
        "h_other_pop": 0.001 * np.exp(0.3 * rng.standard_normal(n)),
        "h_death_pop": 0.0005 * np.exp(0.3 * rng.standard_normal(n)),
    }
    labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0 + t / 100, t) for t in (0.0, 10.0))
    return start_twin(
        as_population(model, draws),
        PatientRecord("H-1", labs=labs),
        particles=800,
        islands=4,
        population_draws=100,
        random_seed=1,
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
