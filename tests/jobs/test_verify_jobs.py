"""Proofs that run for hours are taken up again; a twin whose process was killed is carried on by another."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))

from level_model import as_population, level_draws, write_level_model

from bayestwin.errors import FitError, ModelError, StoreError
from bayestwin.evaluation.verification.follow import follow, last
from bayestwin.jobs import killed, verify_simulated
from bayestwin.population import prior_population
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model

# as in tests/evaluation/test_verification_simulated.py, whose compiled programs serve here too
SIZES = {"particles": 400, "islands": 8, "population_draws": 50}
ASKED = SIZES | {"reference_particles": 3200, "visits": 3, "random_seed": 5}


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    model = load_model(write_level_model(tmp_path_factory.mktemp("models") / "level"))
    return as_population(model, level_draws())


@pytest.fixture(scope="module")
def prior(population):
    return prior_population(population.model, draws=50, random_seed=1)


def test_a_stopped_proof_goes_on_where_it_stopped(prior, tmp_path, monkeypatch):
    folder = tmp_path / "proof"
    verify_simulated.verify_cohort(prior, 1, folder=folder, **ASKED)
    first = json.loads((folder / "SIM-0001.json").read_text())
    calls = []
    whole = verify_simulated.verify_simulated

    def counted(population, record, **how):
        calls.append(record.key)
        return whole(population, record, **how)

    monkeypatch.setattr(verify_simulated, "verify_simulated", counted)
    proof = verify_simulated.verify_cohort(prior, 2, folder=folder, **ASKED)
    assert calls == ["SIM-0002"]
    assert json.loads((folder / "SIM-0001.json").read_text()) == first
    assert set(proof.rows["patient"]) == {"SIM-0001", "SIM-0002"}
    assert {path.name for path in folder.iterdir()} == {
        *("settings.json", "SIM-0001.json", "SIM-0002.json", "results.csv", "summary.csv")
    }


def test_results_of_other_settings_are_not_mixed(prior, tmp_path):
    verify_simulated.verify_cohort(prior, 1, folder=tmp_path / "proof", **ASKED)
    with pytest.raises(StoreError, match="another visits .*found 3.* expected 4 as asked now.* name a new folder"):
        verify_simulated.verify_cohort(prior, 1, folder=tmp_path / "proof", **(ASKED | {"visits": 4}))


def test_a_patient_that_cannot_be_computed_stops_nobody_else(prior, monkeypatch):
    whole = verify_simulated.simulated_patient

    def first_fails(population, number, **how):
        if number == 1:
            raise ModelError("the equations could not be solved", subject="model level")
        return whole(population, number, **how)

    monkeypatch.setattr(verify_simulated, "simulated_patient", first_fails)
    proof = verify_simulated.verify_cohort(prior, 2, **ASKED)
    assert "could not be solved" in proof.failed["SIM-0001"] and set(proof.rows["patient"]) == {"SIM-0002"}
    assert "1 could not be computed" in proof.sentence


@pytest.fixture(scope="module")
def record():
    return PatientRecord(
        "K-1", labs=tuple(Lab(f"m{t}", "m_protein", float(t), 20.0 + t, float(t)) for t in range(1, 4))
    )


@pytest.mark.slow
def test_a_killed_process_is_carried_on_to_the_very_same_twin(population, record):
    never = last(follow(population, record, random_seed=3, **SIZES))
    back = killed.killed_and_resumed(population, record, stop_after=1, random_seed=3, **SIZES)
    assert back.record == record and len(back.history) == len(never.history)
    assert np.array_equal(back.particles.psi, never.particles.psi)
    assert np.array_equal(back.particles.log_weights, never.particles.log_weights)


def test_a_process_that_did_not_do_its_part_is_told(population, record, monkeypatch):
    monkeypatch.setattr(killed, "_process", lambda folder, stop_after=None: 1)
    with pytest.raises(FitError, match="patient K-1: the process that was to be killed ended otherwise .*0 twins"):
        killed.killed_and_resumed(population, record, stop_after=1, random_seed=3, **SIZES)
