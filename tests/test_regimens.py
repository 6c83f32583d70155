"""Regimens put together in a clinician's words: step-up doses, days of a cycle, cycles."""

import pytest

from bayestwin.dosing import Regimen


def given(regimen, unit="day"):
    """(time, amount) of every dose."""
    return [(d.time, d.amount) for d in regimen.events(start=10.0, time_unit=unit, dose_unit="mg")]


def test_a_regimen_follows_another_at_the_time_that_is_said():
    step_up = Regimen.single("12 mg", route="sc").then(Regimen.single("32 mg", route="sc"), at="3 days")
    weekly = Regimen.repeated("76 mg", route="sc", every="7 days", times=2)
    assert given(step_up.then(weekly, at="7 days")) == [(10.0, 12.0), (13.0, 32.0), (17.0, 76.0), (24.0, 76.0)]


def test_units_of_time_may_differ():
    both = Regimen.single("1 mg", route="iv").then(
        Regimen.repeated("2 mg", route="iv", every="12 h", times=2), at="1 week"
    )
    assert [t for t, _ in given(both)] == pytest.approx([10.0, 17.0, 17.5])
    assert [t - 10.0 for t, _ in given(both, "h")] == pytest.approx([0.0, 168.0, 180.0])


def test_days_of_a_cycle_count_from_one_and_cycles_repeat():
    cycles = Regimen.on_days("2 mg", days=(1, 4, 8, 11), route="sc").again(every="21 days", times=2)
    assert [t - 10.0 for t, _ in given(cycles)] == [0.0, 3.0, 7.0, 10.0, 21.0, 24.0, 28.0, 31.0]


def test_once_again_is_once_and_nothing_is_nothing():
    once = Regimen.single("2 mg", route="sc")
    assert once.again(every="21 days", times=1) == once
    assert Regimen.none().then(once, at="2 days").doses[0][0] == "2 day"
