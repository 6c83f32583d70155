"""Rises over a confirmed nadir: equal to the coding of simulated courses, and blind to visits without a value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayestwin.prognosis.endpoint import code_progression
from bayestwin.prognosis.rises import exceeds, find_rises
from bayestwin.specification import SerologicalRule

SERUM = SerologicalRule("m_protein", relative=0.25, absolute=5.0, high_nadir=50.0, high_absolute=10.0)
CHAINS = SerologicalRule("dflc", relative=0.25, absolute=100.0, strict=True)
LEVELS = st.lists(st.floats(0.0, 90.0), min_size=1, max_size=12)


def test_complete_courses_are_coded_as_simulated_ones():
    values = np.random.default_rng(5).gamma(3.0, 8.0, (4000, 14))
    found = find_rises(values, SERUM).found
    assert (found == code_progression(values, SERUM, first_valid=1, confirmations=2)).all()
    assert 0.3 < (found > 0).mean() < 1.0
    for times in (1, 3):
        alone = code_progression(values, SERUM, first_valid=1, confirmations=times)
        assert (find_rises(values, SERUM, confirmations=times).found == alone).all()


@given(LEVELS, st.data())
def test_visits_without_a_value_change_nothing_but_the_count(values, data):
    gaps = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    wide, place = [], []
    for value, gap in zip(values, gaps):
        wide += [np.nan] * gap
        place.append(len(wide))
        wide.append(value)
    close, far = find_rises(np.array(values), SERUM), find_rises(np.array(wide), SERUM)
    assert far.found == (place[close.found] if close.found >= 0 else -1)
    assert (far.met[place] == close.met).all() and not np.delete(far.met, place).any()
    assert (far.nadir[place] == close.nadir).all()


@pytest.mark.parametrize(
    ("value", "nadir", "rule", "expected"),
    [
        (9.2, 4.2, SERUM, True),  # 4.999999999999999 in binary
        (9.1, 4.2, SERUM, False),
        (25.0, 20.0, SERUM, True),
        (24.9, 20.0, SERUM, False),
        (60.0, 50.0, SERUM, True),
        (59.9, 49.9, SERUM, False),
        (200.0, 100.0, CHAINS, False),
        (200.1, 100.0, CHAINS, True),
        (100.0, -20.0, CHAINS, True),  # more of the uninvolved than of the involved chain at the nadir
        (np.nan, 10.0, SERUM, False),
        (30.0, np.nan, SERUM, False),
    ],
)
def test_the_criterion_at_its_edge(value, nadir, rule, expected):
    assert bool(exceeds(rule, value, nadir)) is expected


def test_the_nadir_is_the_lowest_level_that_two_visits_in_a_row_reach():
    values = np.array([30.0, 20.0, 5.0, 20.0, np.nan, 8.0, 7.0, 12.0])
    assert find_rises(values, SERUM).nadir.tolist() == [30.0, 30.0, 30.0, 20.0, 20.0, 20.0, 20.0, 8.0]


def test_a_course_without_a_baseline_counts_from_its_first_value():
    rises = find_rises(np.array([np.nan, np.nan, 10.0, 16.0, 17.0]), SERUM)
    assert rises.found == 3 and rises.nadir[2] == 10.0
