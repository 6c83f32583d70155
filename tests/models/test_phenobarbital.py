"""Phenobarbital against the sum of exponentials of its doses, and what of the real newborns is read."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.population import fit_population
from bayestwin.specification import load_model

SCRIPT = Path(__file__).resolve().parents[1] / "validation" / "phenobarbital.py"


def test_repeated_doses_add_up():
    times, given, rate = np.array([2.0, 13.0, 100.0]), [(0.0, 25.0), (12.0, 3.5), (24.0, 3.5)], 0.006 / 1.3
    found = simulate_outputs(
        load_model("phenobarbital"), {"CL": 0.006, "V": 1.3}, [DoseEvent(t, a, "iv") for t, a in given],
        [(t, False) for t in times],
    )[:, 0]  # fmt: skip
    wanted = sum(a / 1.3 * np.exp(-rate * (times - t)) * (times >= t) for t, a in given)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("phenobarbital", SCRIPT)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def newborns(script, shared_data):
    path = shared_data / "phenobarbital" / "phenobarbital.csv"
    if not path.is_file():
        pytest.skip("phenobarbital is absent from the shared data")
    return script.model_and_reading(path)


def test_every_dose_and_concentration_of_the_newborns_is_read(newborns):
    _, reading = newborns
    assert not reading.refusals and len(reading.cohort) == 59
    assert [sum(len(getattr(r, what)) for r in reading.cohort) for what in ("labs", "doses")] == [155, 589]
    assert sum(r.covariates["apgar_below_5"] == 1.0 for r in reading.cohort) == 10


@pytest.mark.validate
def test_a_fit_lies_beside_the_published_values(script, newborns):
    model, reading = newborns
    population = fit_population(model, reading.cohort, random_seed=2, chains=2, warmup=300, draws=300)
    wanted = script.PUBLISHED
    found = {words: drawn for words, drawn, _ in script.rows(population)}
    for words, name in (("CL, L/h/kg", "CL"), ("V, L/kg", "V"), ("half-life, h", "half_life")):
        assert abs(found[words].mean() - wanted[name]) < 2.0 * found[words].std() + 0.02 * wanted[name], words
