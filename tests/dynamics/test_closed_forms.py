"""One compartment against its textbook solutions: first-order absorption (Bateman), infusion, superposition."""

import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.records.record import PatientRecord

VALUES = {"ka": 1.5, "CL": 2.8, "V": 32.0}
TIMES = [0.25, 0.5, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 12.0, 24.0]


def bateman(t, amount, ka, CL, V):
    """Amount in the central compartment t after an oral dose (Bateman 1910)."""
    k, t = CL / V, np.asarray(t, dtype=float)
    return np.where(t >= 0, amount * ka / (ka - k) * (np.exp(-k * t) - np.exp(-ka * t)), 0.0)


def infused(t, amount, duration, CL, V):
    """Amount in the central compartment t after the start of a constant infusion."""
    k, t = CL / V, np.asarray(t, dtype=float)
    during = amount / duration / k * (1 - np.exp(-k * np.clip(t, 0, duration)))
    return during * np.exp(-k * np.clip(t - duration, 0, None))


def patient(*doses):
    return PatientRecord("P-001", doses=doses)


@pytest.mark.parametrize("ka", [0.3, 1.5, 3.0])
def test_an_oral_dose_follows_the_bateman_equation(solve_theophylline, ka):
    values = VALUES | {"ka": ka}
    central = solve_theophylline(patient(DoseEvent(0.0, 320.0, "oral")), values, TIMES)[:, 1]
    np.testing.assert_allclose(central, bateman(TIMES, 320.0, **values), rtol=1e-6)
    assert solve_theophylline.last.ok


def test_an_infusion_rises_and_falls_as_its_closed_form(solve_theophylline):
    central = solve_theophylline(patient(DoseEvent(1.0, 300.0, "iv", duration=2.5)), VALUES, TIMES)[:, 1]
    expected = infused(np.array(TIMES) - 1.0, 300.0, 2.5, VALUES["CL"], VALUES["V"])
    np.testing.assert_allclose(central, expected, rtol=1e-6, atol=1e-9)


def test_two_infusions_that_overlap_add_up(solve_theophylline):
    doses = (DoseEvent(0.0, 100.0, "iv", duration=4.0), DoseEvent(2.0, 200.0, "iv", duration=1.0))
    central = solve_theophylline(patient(*doses), VALUES, TIMES)[:, 1]
    rest = VALUES["CL"], VALUES["V"]
    expected = infused(TIMES, 100.0, 4.0, *rest) + infused(np.array(TIMES) - 2.0, 200.0, 1.0, *rest)
    np.testing.assert_allclose(central, expected, rtol=1e-6)


def test_a_second_dose_is_superposed_on_the_first(solve_theophylline):
    doses = (DoseEvent(0.0, 320.0, "oral"), DoseEvent(5.0, 100.0, "oral"))
    central = solve_theophylline(patient(*doses), VALUES, TIMES)[:, 1]
    expected = bateman(TIMES, 320.0, **VALUES) + bateman(np.array(TIMES) - 5.0, 100.0, **VALUES)
    np.testing.assert_allclose(central, expected, rtol=1e-6)


def test_additional_doses_are_the_doses_written_out(solve_theophylline):
    short = solve_theophylline(patient(DoseEvent(0.0, 200.0, "oral", addl=2, ii=6.0)), VALUES, TIMES)
    long = solve_theophylline(patient(*(DoseEvent(6.0 * k, 200.0, "oral") for k in range(3))), VALUES, TIMES)
    np.testing.assert_array_equal(short, long)


def test_doubling_the_dose_doubles_linear_exposure(solve_theophylline):
    once = solve_theophylline(patient(DoseEvent(0.0, 160.0, "oral")), VALUES, TIMES)[:, 1]
    twice = solve_theophylline(patient(DoseEvent(0.0, 320.0, "oral")), VALUES, TIMES)[:, 1]
    np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-7)


def test_a_dose_of_zero_changes_nothing(solve_theophylline):
    doses = DoseEvent(0.0, 320.0, "oral"), DoseEvent(3.0, 0.0, "oral")
    with_zero = solve_theophylline(patient(*doses), VALUES, TIMES)[:, 1]
    np.testing.assert_allclose(with_zero, bateman(TIMES, 320.0, **VALUES), rtol=1e-6)
