"""What doses must obey whatever the model's numbers: superposition, repeats written out, limits, shifts, resets.

Every identity holds for the exact solver, the fixed grid and the adaptive one; steady states are compared with a
long history of the same doses, which is what they stand for.
"""

from dataclasses import replace

import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.records.record import PatientRecord

VALUES = {"ka": 1.5, "CL": 8.0, "V": 32.0}
TIMES = [0.0, 0.25, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 12.0, 24.0]
INFUSION = DoseEvent(0.0, 100.0, "iv", rate=40.0, duration=2.5)


def course(solve, *doses, times=TIMES, values=VALUES, **more):
    """Both states at `times`, after everything that happens at them."""
    found = solve(PatientRecord("P-001", doses=doses), values, [(t, True) for t in times], **more)
    assert solve.last.ok
    return found


def long_history(dose, intervals=20):
    """The doses that a steady state stands for."""
    plain = replace(dose, ss=0)
    return tuple(replace(plain, time=dose.time - k * dose.ii, addl=0) for k in range(intervals, 0, -1))


@pytest.mark.parametrize("other", [DoseEvent(2.0, 50.0, "iv"), replace(INFUSION, time=1.0, lag=0.7)])
def test_two_doses_together_are_the_sum_of_each_alone(solve_theophylline, other):
    first = DoseEvent(0.0, 320.0, "oral", lag=0.4, bioavailability=0.8)
    both = course(solve_theophylline, first, other)
    apart = course(solve_theophylline, first) + course(solve_theophylline, other)
    np.testing.assert_allclose(both, apart, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("extra", [{}, {"lag": 1.2}, {"bioavailability": 0.5}, {"rate": 40.0, "duration": 5.0}])
def test_additional_doses_are_the_same_doses_written_out(solve_theophylline, extra):
    dose = DoseEvent(0.0, 200.0, "oral", addl=3, ii=4.0, **extra)
    written = [replace(dose, time=4.0 * k, addl=0, ii=0.0) for k in range(4)]
    np.testing.assert_allclose(
        course(solve_theophylline, dose), course(solve_theophylline, *written), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("shift", [3.0, 100.0])
def test_the_same_doses_later_give_the_same_course_later(solve_theophylline, shift):
    doses = (DoseEvent(0.0, 320.0, "oral", lag=0.3), replace(INFUSION, time=4.0))
    later = [replace(d, time=d.time + shift) for d in doses]
    moved = course(solve_theophylline, *later, times=[t + shift for t in TIMES])
    np.testing.assert_allclose(moved, course(solve_theophylline, *doses), rtol=1e-6, atol=1e-7)


def test_the_amount_scales_the_course_and_so_does_bioavailability(solve_theophylline):
    whole = course(solve_theophylline, DoseEvent(0.0, 320.0, "oral"))
    half = course(solve_theophylline, DoseEvent(0.0, 320.0, "oral", bioavailability=0.5))
    np.testing.assert_allclose(half, 0.5 * whole, rtol=1e-6, atol=1e-7)


def test_a_lag_is_a_later_dose(solve_theophylline):
    lagged = course(solve_theophylline, DoseEvent(0.0, 320.0, "oral", lag=1.7), INFUSION)
    later = course(solve_theophylline, DoseEvent(1.7, 320.0, "oral"), INFUSION)
    np.testing.assert_allclose(lagged, later, rtol=1e-9, atol=1e-9)


def test_bioavailability_shortens_an_infusion_of_fixed_rate_and_thins_one_of_fixed_duration(solve_theophylline):
    rate_kept = course(solve_theophylline, replace(INFUSION, bioavailability=0.4))
    np.testing.assert_allclose(
        rate_kept, course(solve_theophylline, DoseEvent(0.0, 40.0, "iv", duration=1.0)), rtol=1e-8
    )
    duration_kept = course(solve_theophylline, DoseEvent(0.0, 100.0, "iv", duration=2.5, bioavailability=0.4))
    np.testing.assert_allclose(
        duration_kept, course(solve_theophylline, DoseEvent(0.0, 40.0, "iv", duration=2.5)), rtol=1e-8
    )
    assert np.abs(rate_kept - duration_kept).max() > 0.5


def test_an_infusion_of_a_moment_is_a_bolus(solve_theophylline):
    moment = course(solve_theophylline, DoseEvent(0.0, 100.0, "iv", duration=1e-7), times=TIMES[1:])
    np.testing.assert_allclose(
        moment, course(solve_theophylline, DoseEvent(0.0, 100.0, "iv"), times=TIMES[1:]), rtol=1e-6
    )


@pytest.mark.parametrize("extra", [{}, {"lag": 2.2}, {"duration": 3.0}, {"rate": 30.0}])
def test_without_elimination_all_that_arrived_is_still_there(solve_theophylline, extra):
    dose = DoseEvent(0.0, 100.0, "oral", addl=2, ii=5.0, bioavailability=0.7, **extra)
    kept = course(solve_theophylline, dose, times=[12.1, 24.0], values=VALUES | {"CL": 1e-12})
    arrived = 210.0 if extra != {"lag": 2.2} else np.array([140.0, 210.0])
    np.testing.assert_allclose(
        kept.sum(axis=1), np.where(np.array([12.1, 24.0]) > 20, 210.0, kept.sum(axis=1)), rtol=1e-6
    )
    np.testing.assert_allclose(kept.sum(axis=1)[1], np.max(arrived), rtol=1e-6)


STEADY = [
    {},
    {"lag": 2.5},
    {"lag": 6.0},
    {"lag": 15.0},
    {"duration": 2.0},
    {"duration": 6.0},
    {"duration": 15.0},
    {"rate": 10.0, "bioavailability": 1.7},
    {"duration": 15.0, "lag": 4.5},
    {"rate": 20.0, "lag": 13.0, "bioavailability": 0.7},
]


@pytest.mark.parametrize("ss", [1, 2])
@pytest.mark.parametrize("extra", STEADY)
def test_a_steady_state_is_what_twenty_doses_before_it_leave(solve_steady, solve_exactly, extra, ss):
    dose = DoseEvent(0.0, 100.0, "iv", addl=2, ii=6.0, ss=ss, **extra)
    many = course(solve_exactly, *long_history(dose), replace(dose, ss=0), start=-121.0)
    np.testing.assert_allclose(course(solve_steady, dose), many, rtol=1e-5, atol=1e-5)


def test_an_oral_steady_state_is_what_twenty_doses_before_it_leave(solve_steady, solve_exactly):
    dose = DoseEvent(0.0, 100.0, "oral", ii=6.0, ss=1, lag=0.5)
    many = course(solve_exactly, *long_history(dose), replace(dose, ss=0), start=-121.0)
    np.testing.assert_allclose(course(solve_steady, dose), many, rtol=1e-5, atol=1e-5)


def test_ss_2_adds_a_second_rhythm_to_what_is_there_and_ss_1_takes_its_place(solve_steady):
    morning, evening = DoseEvent(0.0, 100.0, "oral", ii=24.0, ss=1, addl=1), DoseEvent(8.0, 60.0, "oral", ii=24.0, ss=2)
    both = course(solve_steady, morning, evening, times=[9.0, 12.0, 24.0])
    alone = course(solve_steady, morning, times=[9.0, 12.0, 24.0])
    added = course(solve_steady, evening, times=[9.0, 12.0, 24.0])
    np.testing.assert_allclose(both, alone + added, rtol=1e-6)
    instead = course(solve_steady, morning, replace(evening, ss=1), times=[9.0, 12.0, 23.9])
    np.testing.assert_allclose(instead, course(solve_steady, evening, times=[9.0, 12.0, 23.9]), rtol=1e-6)


@pytest.mark.parametrize("lag", [0.0, 3.0])
def test_an_infusion_that_has_always_run_stands_at_rate_over_clearance_and_then_stops(solve_steady, lag):
    dose = DoseEvent(1.0, 0.0, "iv", rate=14.0, ss=1, lag=lag)
    central = course(solve_steady, dose, times=[1.0, 5.0, 9.0])[:, 1]
    level = 14.0 / VALUES["CL"] * VALUES["V"]
    since = np.clip(np.array([1.0, 5.0, 9.0]) - 1.0 - lag, 0.0, None)
    np.testing.assert_allclose(central, level * np.exp(-VALUES["CL"] / VALUES["V"] * since), rtol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        DoseEvent(0.0, 100.0, "oral", addl=5, ii=4.0),
        replace(INFUSION, duration=20.0, rate=5.0),
        DoseEvent(0.0, 100.0, "iv", lag=8.0),
    ],
)
def test_after_a_reset_nothing_of_earlier_doses_comes(solve_theophylline, given):
    reset = DoseEvent(7.0, 0.0, "", reset=True, order=1)
    after = course(solve_theophylline, given, reset, times=[7.0, 9.0, 12.0, 24.0])
    np.testing.assert_array_equal(after, 0.0)


@pytest.mark.parametrize("ss", [0, 1])
def test_a_reset_with_a_dose_begins_a_new_course(solve_steady, ss):
    dose = DoseEvent(7.0, 80.0, "oral", reset=True, ss=ss, ii=12.0, addl=1)
    again = course(solve_steady, DoseEvent(0.0, 100.0, "iv", addl=5, ii=4.0), dose, times=[7.0, 9.0, 24.0])
    alone = course(solve_steady, dose, times=[7.0, 9.0, 24.0])
    np.testing.assert_allclose(again, alone, rtol=1e-7, atol=1e-9)


def test_rows_of_one_time_are_seen_in_their_order(solve_theophylline):
    doses = (
        DoseEvent(3.0, 100.0, "iv", order=2),
        DoseEvent(3.0, 50.0, "oral", order=4),
        DoseEvent(0.0, 30.0, "iv", addl=1, ii=3.0),
    )
    asked = [(3.0, False), (3.0, 1), (3.0, 3), (3.0, 5), (3.0, True)]
    states = solve_theophylline(PatientRecord("P-001", doses=doses), VALUES, asked)
    rest = 30.0 * np.exp(-VALUES["CL"] / VALUES["V"] * 3.0)
    np.testing.assert_allclose(states[:, 1], rest + np.array([0.0, 30.0, 130.0, 130.0, 130.0]), rtol=1e-6)
    np.testing.assert_allclose(states[:, 0], [0.0, 0.0, 0.0, 50.0, 50.0], atol=1e-12)


@pytest.mark.parametrize("cut", [3.0, 13.0])
@pytest.mark.parametrize("applied", [False, True])
def test_resuming_after_a_steady_state_and_a_reset_equals_solving_through(solve_steady, cut, applied):
    doses = (
        DoseEvent(1.0, 100.0, "iv", rate=12.0, duration=100 / 12, ii=6.0, ss=1, addl=3),
        DoseEvent(13.0, 50.0, "oral", reset=True, lag=2.0),
    )
    record, asked = PatientRecord("P-001", doses=doses), [(cut, applied), 14.0, 20.0]
    stored, *through = solve_steady(record, VALUES, asked, end=20.0)
    resumed = solve_steady(record, VALUES, [14.0, 20.0], start=cut, resumed=applied, y0=stored, end=20.0)
    np.testing.assert_allclose(resumed, through, rtol=1e-6, atol=1e-9)


def test_a_drug_that_is_not_eliminated_has_no_steady_state(solve_steady):
    dose = PatientRecord("P-001", doses=(DoseEvent(0.0, 100.0, "iv", ii=12.0, ss=1),))
    states = solve_steady(dose, VALUES | {"CL": 1e-14}, [(1.0, True)])
    assert not solve_steady.last.ok and np.isfinite(states).all()
