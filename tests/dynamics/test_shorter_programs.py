"""The fast ways through a history are the slow ones, number for number: no gradient, and the stages written out."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.dynamics.solve import _single_step
from bayestwin.records.record import ClinicalEvent, PatientRecord

PATIENT = PatientRecord(
    "P-001",
    events=(
        ClinicalEvent("line_of_therapy", 10.0, 10.0, "teclistamab"),
        ClinicalEvent("infusion", 60.0, 60.0, "ide_cel"),
    ),
)


def test_the_loop_without_gradients_gives_every_state_of_the_scan(median_patient, solve_myeloma):
    scanned = solve_myeloma(PATIENT, median_patient, (5.0, 10.0, 61.0, 75.0, 200.0))
    whole = solve_myeloma.last
    solve_myeloma.accuracy = solve_myeloma.accuracy._replace(gradient=False)
    looped = solve_myeloma(PATIENT, median_patient, (5.0, 10.0, 61.0, 75.0, 200.0))
    np.testing.assert_allclose(looped, scanned, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(solve_myeloma.last.states, whole.states, rtol=1e-12, atol=1e-13)  # the padding too
    assert bool(solve_myeloma.last.ok) is bool(whole.ok) is True


def test_an_oral_dose_at_the_very_end_is_not_lost_without_gradients(solve_theophylline):
    solve_theophylline.accuracy = NO_GRADIENT
    values, record = {"ka": 1.5, "CL": 2.8, "V": 32.0}, PatientRecord("P-002", doses=(DoseEvent(4.0, 320.0, "oral"),))
    states = solve_theophylline(record, values, ((4.0, False), (4.0, True)), end=4.0)
    np.testing.assert_allclose(states[:, 0], [0.0, 320.0])


def test_the_written_out_step_is_diffrax_own_step():
    def rhs(t, y, args):
        a, b = y
        return -0.3 * a * b + jnp.sin(t), 0.2 * a - 0.1 * b**2

    y, start, end = (jnp.asarray(1.5), jnp.asarray(-0.4)), 0.3, 0.9
    after, error, good = _single_step(rhs, y, start, end, Accuracy())
    solver, term = diffrax.Tsit5(), diffrax.ODETerm(rhs)
    begun = solver.init(term, start, end, y, None)
    expected, gap, _, _, _ = solver.step(term, start, end, y, None, begun, made_jump=False)
    np.testing.assert_allclose(after, expected, rtol=1e-13)
    worst = max(float(abs(g) / (1 + abs(v))) for g, v in zip(gap, y))
    np.testing.assert_allclose(error, worst, rtol=1e-9)
    assert good


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_step_that_is_not_finite_keeps_the_state_and_says_so(bad):
    after, error, good = _single_step(lambda t, y, args: (jnp.asarray(bad),), (jnp.asarray(2.0),), 0.0, 1.0, Accuracy())
    assert not good and float(after[0]) == 2.0 and jax.numpy.isfinite(error)
