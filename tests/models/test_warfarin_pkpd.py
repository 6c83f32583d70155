"""Warfarin and clotting: absorption and activity in closed form, the step grid, and what is read."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.specification import load_model

SCRIPT = Path(__file__).resolve().parents[1] / "validation" / "warfarin_pkpd.py"
VALUES = {"MAT": 2.0, "CL": 0.13, "V": 8.0, "Emax": 0.97, "EC50": 1.1, "kout": 0.05, "E0": 96.0}
TIMES = np.array([0.5, 1.0, 3.0, 9.0, 24.0, 72.0, 144.0])


def course(doses, times=TIMES, **changed):
    model = load_model("warfarin_pkpd")
    model = replace(model, source_hash="", **changed) if changed else model
    return simulate_outputs(model, VALUES, doses, [(t, False) for t in times])


def test_absorption_in_two_equal_steps_has_its_closed_form():
    found = course((DoseEvent(0.0, 100.0, "oral"),))[:, 0]
    k, ke = 2.0 / (2.0**4 + 0.65**4) ** 0.25, 0.13 / 8.0
    gamma = (np.exp(-ke * TIMES) - np.exp(-k * TIMES)) / (k - ke) ** 2 - TIMES * np.exp(-k * TIMES) / (k - ke)
    np.testing.assert_allclose(found, 100.0 / 8.0 * k**2 * gamma, rtol=1e-4)


def test_at_a_constant_concentration_activity_falls_exponentially_to_what_synthesis_is_left():
    found = course((DoseEvent(0.0, 16.0, "iv"), DoseEvent(0.0, 0.26 * 200.0, "iv", rate=0.26)))
    left = 96.0 * (1.0 - 0.97 * 2.0 / (1.1 + 2.0))
    np.testing.assert_allclose(found[:, 0], 2.0, rtol=1e-9)
    np.testing.assert_allclose(found[:, 1], left + (96.0 - left) * np.exp(-0.05 * TIMES), rtol=1e-6)


@pytest.mark.validate
def test_the_step_grid_follows_the_adaptive_solver():
    dose = (DoseEvent(0.0, 100.0, "oral"),)
    np.testing.assert_allclose(course(dose), course(dose, steps=None), rtol=1e-4)


def test_every_concentration_and_activity_of_the_volunteers_is_read(shared_data):
    path = shared_data / "warfarin" / "warfarin.csv"
    if not path.is_file():
        pytest.skip("warfarin is absent from the shared data")
    spec = importlib.util.spec_from_file_location("warfarin_pkpd", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    _, reading = script.model_and_reading(path)
    outputs = [lab.output for record in reading.cohort for lab in record.labs]
    assert not reading.refusals and len(reading.cohort) == 32
    assert (outputs.count("concentration"), outputs.count("pca")) == (251, 232)
