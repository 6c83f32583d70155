"""A solver that gives up is a value: not ok, finite, and no harm to the particle beside it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import Accuracy, build_timeline, initial_values, solve_patient
from bayestwin.records.record import PatientRecord
from bayestwin.specification import Steps, load_model

RECORD = PatientRecord("P-001", doses=(DoseEvent(0.0, 320.0, "oral"),))
FINE, ABSURD = {"ka": 1.5, "CL": 2.8, "V": 32.0}, {"ka": 1e9, "CL": 1e12, "V": 1e-6}


@pytest.fixture(scope="module", params=["fixed grid", "adaptive"])
def both_lanes(request):
    """Two patients in one vmapped program: (solution of [first, second])."""
    steps = Steps(first=0.03, growth=1.1, largest=0.2) if request.param == "fixed grid" else None
    model = replace(load_model("theophylline"), steps=steps, source_hash="")
    timeline, index = build_timeline(model, RECORD, start=0.0, end=6.0, asked=[(1.0, False), (6.0, False)])
    timeline = jax.tree.map(jnp.asarray, timeline)

    def one(ka, CL, V):
        values = {"ka": ka, "CL": CL, "V": V}
        return solve_patient(model, values, initial_values(model, values), timeline, Accuracy(max_steps=256))

    program = jax.jit(jax.vmap(one))
    slope = jax.jit(
        jax.grad(lambda ka, CL, V: jnp.where((s := jax.vmap(one)(ka, CL, V)).ok[0], s.states[0, -1, 1], 0.0))
    )
    return lambda a, b: program(*lanes(a, b)), lambda a, b: slope(*lanes(a, b)), request.param


def lanes(a, b):
    return [jnp.array([a[k], b[k]]) for k in ("ka", "CL", "V")]


def test_absurd_parameters_end_as_not_ok_with_finite_numbers(both_lanes):
    solution = both_lanes[0](ABSURD, ABSURD)
    assert not solution.ok.any()
    assert np.isfinite(solution.states).all() and np.isfinite(solution.error).all()


def test_a_failing_lane_leaves_its_neighbour_unharmed(both_lanes):
    alone, beside = both_lanes[0](FINE, FINE), both_lanes[0](FINE, ABSURD)
    assert beside.ok.tolist() == [True, False]
    np.testing.assert_array_equal(beside.states[0], alone.states[0])


def test_a_failing_lane_leaves_its_neighbours_gradient_unharmed(both_lanes):
    # forward and backward in one program: an adaptive one takes ten seconds to compile, so the grid stands for both
    if both_lanes[2] == "adaptive":
        pytest.skip("the value test covers the adaptive solver")
    alone, beside = both_lanes[1](FINE, FINE), both_lanes[1](FINE, ABSURD)
    assert np.isfinite(beside[0]) and beside[0] != 0
    np.testing.assert_allclose(beside[0], alone[0], rtol=1e-12)


def test_a_start_that_is_not_finite_is_not_ok(both_lanes):
    assert not both_lanes[0](FINE | {"V": float("nan")}, FINE).ok[0]
