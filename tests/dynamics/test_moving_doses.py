"""Lag, bioavailability, rate and duration as parameters: what a row says as a number, said by the model, is the same.

The standing engine, checked against NONMEM and closed forms, is the rival; gradients go against finite differences.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import NO_GRADIENT, Accuracy, build_timeline, initial_values, pad_timeline, solve_patient
from bayestwin.records.record import PatientRecord
from bayestwin.specification import Adaptive, Dosing, Fixed, Parameter, load_model

VALUES = {"ka": 1.5, "CL": 8.0, "V": 32.0}
TIMES = [0.0, 0.25, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 12.0, 24.0]
BETWEEN = [t + 0.1 for t in TIMES]  # a lag that is next to nothing is none there
ORAL, IV = DoseEvent(0.0, 320.0, "oral"), DoseEvent(0.0, 100.0, "iv")
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # as in conftest.py
EACH = {"lag": 0.8, "bioavailability": 0.7, "rate": 40.0, "duration": 2.5}


def moving_model(**changes):
    """One compartment with a parameter for all that a dose into either of its compartments may leave open."""
    plain = load_model("one_compartment")
    named = {name: f"{name}_of_doses" for name in EACH}
    more = [Parameter(p, unit="", scale="log", typical=Fixed(value=1.0)) for p in named.values()]
    dosing = (Dosing("oral", **named), Dosing("central", **named))
    return replace(plain, parameters=(*plain.parameters, *more), dosing=dosing, source_hash="", **changes)


@pytest.fixture(scope="module")
def standing(solver_of):
    return solver_of(load_model("one_compartment"))


@pytest.fixture(scope="module", params=["exact", pytest.param("adaptive", marks=pytest.mark.validate)])
def moving(request, solver_of):
    return solver_of(moving_model() if request.param == "exact" else moving_model(steps=Adaptive()))


def said(**values):
    """Natural values with these parameters of doses, the others neutral."""
    neutral = {"lag": 1e-9, "bioavailability": 1.0, "rate": 1.0, "duration": 1.0}
    return VALUES | {f"{name}_of_doses": value for name, value in (neutral | values).items()}


def course(solver, values, *doses, times=TIMES, after=True, **more):
    found = solver(PatientRecord("P-1", doses=doses), values, [(t, after) for t in times], **more)
    assert solver.last.ok
    return found


ROWS = {
    "bolus": {},
    "several": {"addl": 3, "ii": 4.0},
    "infusion": {"duration": 2.5},
    "pump": {"rate": 40.0, "duration": 8.0},
    "steady": {"ss": 1, "ii": 6.0, "addl": 2},
    "steady infusion": {"ss": 1, "ii": 6.0, "duration": 2.0, "addl": 1},
    "steady long infusion": {"ss": 1, "ii": 6.0, "duration": 15.0},
    "added steady pump": {"ss": 2, "ii": 6.0, "rate": 40.0},
}
IN_BOTH = ("infusion", "steady")  # the adaptive solver, and Newton's method: what is sorted is the same


def dose_of(row):
    return replace(IV if "infusion" in row or "pump" in row else ORAL, **ROWS[row])


def skip_most(moving, row):
    if moving.model.steps is None and row not in IN_BOTH:
        pytest.skip("the exact solver walks through all rows")


@pytest.mark.parametrize("row", ROWS)
def test_a_lag_of_the_model_is_the_same_lag_in_every_row(standing, moving, row):
    skip_most(moving, row)
    dose, other = dose_of(row), DoseEvent(1.5, 50.0, "iv", order=3)
    for lag in (0.8, 4.9, 7.3):
        expected = course(standing, VALUES, *(replace(d, lag=lag) for d in (other, dose)))
        np.testing.assert_allclose(course(moving, said(lag=lag), other, dose), expected, rtol=2e-6, atol=1e-6)
    part = [replace(d, lag=0.3) for d in (other, dose)]  # lags of row and model add up
    np.testing.assert_allclose(course(moving, said(lag=7.0), *part), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("row", ROWS)
def test_a_share_of_the_model_is_the_same_share_in_every_row(standing, moving, row):
    skip_most(moving, row)
    dose = dose_of(row)
    expected = course(standing, VALUES, replace(dose, bioavailability=0.6), times=BETWEEN)
    np.testing.assert_allclose(
        course(moving, said(bioavailability=0.6), dose, times=BETWEEN), expected, rtol=2e-6, atol=1e-6
    )
    half = replace(dose, bioavailability=0.5)  # shares multiply
    np.testing.assert_allclose(
        course(moving, said(bioavailability=1.2), half, times=BETWEEN), expected, rtol=2e-6, atol=1e-6
    )
    if not dose.rate:
        less = replace(dose, amount=0.6 * dose.amount)
        np.testing.assert_allclose(course(standing, VALUES, less, times=BETWEEN), expected, rtol=1e-9)


@pytest.mark.parametrize("repeated", [{}, {"ss": 1, "ii": 6.0, "addl": 1}, {"ss": 2, "ii": 6.0}])
def test_a_modelled_rate_or_duration_is_the_infusion_written_out(standing, moving, repeated):
    if moving.model.steps is None and repeated.get("ss") == 2:
        pytest.skip("the exact solver walks through all rows")
    open_rate, open_duration = (replace(IV, modelled=what, **repeated) for what in ("rate", "duration"))
    for duration in (0.7, 8.0, 13.0):
        lasting = replace(IV, duration=duration, **repeated)
        expected = course(standing, VALUES, lasting, times=BETWEEN)
        found = course(moving, said(duration=duration), open_duration, times=BETWEEN)
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)
        found = course(moving, said(rate=100.0 / duration), open_rate, times=BETWEEN)
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)
    share = said(rate=20.0, duration=5.0, bioavailability=0.6)  # of a rate it shortens, of a duration it thins
    expected = course(standing, VALUES, replace(IV, rate=20.0, bioavailability=0.6, **repeated), times=BETWEEN)
    np.testing.assert_allclose(course(moving, share, open_rate, times=BETWEEN), expected, rtol=2e-6, atol=1e-6)
    expected = course(standing, VALUES, replace(IV, duration=5.0, bioavailability=0.6, **repeated), times=BETWEEN)
    np.testing.assert_allclose(course(moving, share, open_duration, times=BETWEEN), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("modelled", ["", "rate"])
def test_a_constant_infusion_runs_on_for_the_length_of_the_lag(standing, moving, modelled):
    dose = DoseEvent(1.0, 0.0, "iv", rate=0.0 if modelled else 14.0, ss=1, modelled=modelled)
    expected = course(standing, VALUES, replace(dose, rate=14.0, modelled="", lag=3.0))
    np.testing.assert_allclose(course(moving, said(lag=3.0, rate=14.0), dose), expected, rtol=2e-6, atol=1e-6)


@pytest.fixture(scope="module")
def exactly_moving(solver_of):
    return solver_of(moving_model())


def test_a_lag_shorter_than_the_interval_shifts_a_steady_state(exactly_moving):
    """Long after the row nobody can tell a lag from doses that are given later."""
    steady = replace(ORAL, ss=1, ii=8.0, addl=5)
    late = course(exactly_moving, said(lag=3.0), steady, times=[10.0, 24.0, 39.0])
    shifted = course(exactly_moving, said(), replace(steady, time=3.0), times=[10.0, 24.0, 39.0])
    np.testing.assert_allclose(late, shifted, rtol=1e-7)
    begin = course(exactly_moving, said(lag=3.0), steady, times=[0.0])
    np.testing.assert_allclose(begin, course(exactly_moving, said(), steady, times=[5.0]), rtol=1e-7)


def test_a_lag_and_a_duration_that_span_too_many_intervals_fail_and_are_finite(exactly_moving):
    record = PatientRecord("P-1", doses=(replace(IV, ss=1, ii=2.0, modelled="duration"),))
    exactly_moving(record, said(lag=4.0, duration=5.0), [1.0])
    assert exactly_moving.last.ok
    states = exactly_moving(record, said(lag=4.0, duration=7.0), [1.0])
    assert not exactly_moving.last.ok and np.isfinite(states).all()


@pytest.mark.parametrize("reset_at", [5.0, 11.0])
@pytest.mark.parametrize("reset", [{"reset": True, "amount": 0.0}, {"ss": 1, "ii": 12.0}])
def test_a_reset_cancels_what_has_not_arrived_and_ends_what_runs(standing, exactly_moving, reset_at, reset):
    given = [
        replace(ORAL, addl=3, ii=4.0),
        replace(IV, time=1.0, duration=20.0, order=1),
        replace(IV, time=reset_at, order=9, **reset),
    ]
    expected = course(standing, VALUES, *(replace(d, lag=2.5) for d in given))
    np.testing.assert_allclose(course(exactly_moving, said(lag=2.5), *given), expected, rtol=1e-7, atol=1e-9)
    longer = [replace(given[0], duration=0.0), replace(given[1], modelled="duration", duration=0.0), given[2]]
    np.testing.assert_allclose(
        course(exactly_moving, said(lag=2.5, duration=20.0), *longer), expected, rtol=1e-7, atol=1e-9
    )


def test_what_arrives_at_the_time_of_a_lab_comes_after_a_trough_and_before_the_rows_of_that_time(exactly_moving):
    """Ties by file order: a lagged dose stands in an earlier row."""
    doses = (replace(IV, amount=30.0), DoseEvent(2.0, 100.0, "oral", order=2, lag=0.0))
    asked = [(2.0, False), (2.0, 0), (2.0, 3), (2.0, True)]
    states = exactly_moving(PatientRecord("P-1", doses=doses), said(lag=2.0), asked, end=6.0)
    np.testing.assert_allclose(states[:, 1], [0.0, 30.0, 30.0, 30.0], atol=1e-12)
    unlagged = replace(exactly_moving.model, dosing=(Dosing("oral", bioavailability="bioavailability_of_doses"),))
    rows = (DoseEvent(2.0, 100.0, "oral", order=2), DoseEvent(2.0, 50.0, "oral", order=4))
    other = type(exactly_moving)(unlagged, exactly_moving.accuracy, lengths=(64,), cycles=4)
    asked = [(2.0, False), (2.0, 1), (2.0, 3), (2.0, 5), (2.0, True)]
    states = other(PatientRecord("P-1", doses=rows), said(bioavailability=0.5), asked, end=2.0)
    np.testing.assert_allclose(states[:, 0], [0.0, 0.0, 50.0, 75.0, 75.0], atol=1e-12)


@pytest.mark.parametrize("lag", [0.0, 0.7])
def test_an_additional_dose_at_the_time_of_a_lab_is_not_lost_to_it_by_rounding(solver_of, standing, lag):
    """0.1 + 2 * 0.1 and 0.1 + 2 * 0.1 + 0.7 are not 0.3 and 1 to a computer."""
    plain = load_model("one_compartment")
    share = Parameter("F", unit="", scale="log", typical=Fixed(value=1.0))
    model = replace(
        plain, parameters=(*plain.parameters, share), dosing=(Dosing("central", bioavailability="F"),), source_hash=""
    )
    row, times = DoseEvent(0.1, 320.0, "iv", addl=5, ii=0.1, lag=lag, order=1), [round(0.1 * k, 1) for k in range(14)]
    for after in (False, 2):
        asked = [(t, after) for t in times]
        record = PatientRecord("P-1", doses=(row,))
        expected, found = standing(record, VALUES, asked), solver_of(model)(record, VALUES | {"F": 1.0}, asked)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cut", [0.0, 2.0, 3.5, 9.0])
@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("lag", [0.4, 2.0, 6.3])  # a dose arrives before, at and after the cut
def test_resuming_from_a_stored_state_equals_solving_through(exactly_moving, cut, applied, lag):
    doses = (replace(ORAL, addl=2, ii=3.0), replace(IV, time=1.0, modelled="duration", order=1))
    values, record = said(lag=lag, duration=4.0), PatientRecord("P-1", doses=doses)
    stored, *through = exactly_moving(record, values, [(cut, applied), 10.0, 20.0], end=20.0)
    at_cut = exactly_moving(record, values, [(cut, applied)], end=cut)
    np.testing.assert_allclose(at_cut[0], stored, rtol=1e-9, atol=1e-12)  # as the twin stores it
    np.testing.assert_allclose(exactly_moving.last.states[-1], stored, rtol=1e-9, atol=1e-12)
    resumed = exactly_moving(record, values, [10.0, 20.0], start=cut, resumed=applied, y0=stored, end=20.0)
    np.testing.assert_allclose(resumed, through, rtol=1e-9, atol=1e-12)


def test_the_loop_without_gradients_gives_every_state_of_the_scan(solver_of):
    scanned, looped = (solver_of(moving_model()) for _ in range(2))
    looped.accuracy = NO_GRADIENT
    doses = (replace(ORAL, ss=1, ii=6.0, addl=2), replace(IV, time=1.0, modelled="rate"))
    for lag in (0.3, 23.0):
        found = [course(solver, said(lag=lag, rate=15.0), *doses) for solver in (scanned, looped)]
        np.testing.assert_allclose(*found, rtol=1e-12)
        np.testing.assert_allclose(scanned.last.states, looped.last.states, rtol=1e-12, atol=1e-12)


OPEN = (replace(IV, modelled="duration"), replace(IV, time=1.0, modelled="rate", order=1))
GRADIENT_DOSES = {
    "bolus and infusion": (replace(ORAL, addl=1, ii=6.0), *OPEN),
    "steady": (replace(ORAL, ss=1, ii=5.0, addl=1), replace(IV, time=6.0, ss=2, ii=7.0, modelled="duration")),
}
LAGS = (0.8, 1.97, 2.03, 5.43)  # on either side of what is observed at 2


def test_gradients_of_the_course_are_finite_differences_on_either_side_of_an_observation():
    slopes, differences, size = gradients(moving_model(), GRADIENT_DOSES["bolus and infusion"])
    np.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-5 * size)


@pytest.mark.validate  # compiles for a minute
def test_gradients_of_a_steady_state_are_finite_differences():
    slopes, differences, size = gradients(moving_model(), GRADIENT_DOSES["steady"])
    np.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-5 * size)


@pytest.mark.validate  # compiles for a minute
@pytest.mark.parametrize("given", GRADIENT_DOSES)
def test_gradients_by_the_adaptive_solver_are_finite_differences(given):
    slopes, differences, size = gradients(moving_model(steps=Adaptive()), GRADIENT_DOSES[given])
    np.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-5 * size)


def gradients(model, doses):
    """Gradients and central differences in lag, share, rate and duration at each of LAGS, and the largest of all."""
    record, asked = PatientRecord("P-1", doses=doses), [(t, True) for t in TIMES]
    line, index = build_timeline(model, record, start=0.0, end=24.0, asked=asked)
    line = jax.tree.map(jnp.asarray, pad_timeline(line, len(line.start)))
    weights = jnp.asarray(np.random.default_rng(3).standard_normal((len(TIMES), 2)))
    names = [f"{name}_of_doses" for name in EACH]
    fine = Accuracy(rtol=1e-11, atol=1e-12, max_steps=4096)

    def seen(numbers):
        values = VALUES | dict(zip(names, numbers))
        solution = solve_patient(model, values, initial_values(model, values), line, fine)
        return (weights * solution.states[index]).sum(), solution.ok

    many = jnp.array([[lag, 0.7, 40.0, 2.6] for lag in LAGS])
    slopes, good = jax.jit(jax.vmap(jax.grad(seen, has_aux=True)), compiler_options=QUICK)(many)
    assert good.all()
    step = 1e-5 * many[:, :, None] * jnp.eye(len(names))
    shifted = jnp.stack([many[:, None, :] + step, many[:, None, :] - step], axis=2)
    values, _ = jax.jit(jax.vmap(seen), compiler_options=QUICK)(shifted.reshape(-1, len(names)))
    up, down = jnp.moveaxis(values.reshape(len(LAGS), len(names), 2), 2, 0)
    found = (up - down) / (2e-5 * many)
    return slopes, found, np.abs(found).max()
