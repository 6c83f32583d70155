"""Nimotuzumab: the free concentration, the steady state of an infusion, the step grid, and what is read."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.specification import load_model

SCRIPT = Path(__file__).resolve().parents[1] / "validation" / "nimotuzumab.py"
VALUES = {"CL": 0.002, "V1": 1.5, "Q": 0.004, "V2": 8.0, "Vmax": 1.5, "K": 20.0, "kint": 0.02}
TIMES = np.array([0.5, 24.0, 100.0, 167.9, 168.5, 400.0, 504.5, 700.0])


def course(doses, times, **changed):
    model = load_model("nimotuzumab")
    model = replace(model, source_hash="", **changed) if changed else model
    return simulate_outputs(model, VALUES, doses, [(t, False) for t in times])[:, 0]


def test_free_and_bound_add_up_to_the_total():
    total, p = np.array([1e-6, 0.1, 5.0, 60.0, 900.0]), SimpleNamespace(**VALUES)
    with jax.enable_x64(True):
        output = load_model("nimotuzumab").outputs["concentration"]
        c = np.asarray(output(0.0, SimpleNamespace(central=total * p.V1), p, None))
    rmax = VALUES["Vmax"] / (VALUES["kint"] * VALUES["V1"])
    np.testing.assert_allclose(c + rmax * c / (VALUES["K"] + c), total, rtol=1e-9)


def test_an_infusion_that_makes_up_for_both_ways_out_keeps_the_concentration():
    c = 15.0
    bound = VALUES["Vmax"] / (VALUES["kint"] * VALUES["V1"]) * c / (VALUES["K"] + c)
    rate = VALUES["CL"] * c + VALUES["Vmax"] * c / (VALUES["K"] + c)
    doses = (
        DoseEvent(0.0, (c + bound) * VALUES["V1"], "central"),
        DoseEvent(0.0, c * VALUES["V2"], "peripheral"),
        DoseEvent(0.0, rate * 1000.0, "central", rate=rate),
    )
    np.testing.assert_allclose(course(doses, TIMES), c, rtol=1e-6)


@pytest.mark.validate
def test_the_step_grid_follows_the_adaptive_solver():
    doses = tuple(DoseEvent(168.0 * k, 200.0, "iv", rate=400.0) for k in range(4))
    np.testing.assert_allclose(course(doses, TIMES), course(doses, TIMES, steps=None), rtol=1e-3)


def test_every_infusion_and_concentration_of_the_patients_is_read(shared_data):
    path = shared_data / "nimotuzumab" / "nimotuzumab.csv"
    if not path.is_file():
        pytest.skip("nimotuzumab is absent from the shared data")
    spec = importlib.util.spec_from_file_location("nimotuzumab", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    _, reading = script.model_and_reading(path)
    assert not reading.refusals and len(reading.cohort) == 12
    assert [sum(len(getattr(r, what)) for r in reading.cohort) for what in ("labs", "doses")] == [321, 120]
