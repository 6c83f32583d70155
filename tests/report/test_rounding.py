"""Rounding never makes the twin look surer, never says impossible or certain, and does not jump."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayestwin.report import rounding

chances = st.floats(0, 1)
steps = st.sampled_from((5, 10))


@pytest.mark.parametrize(
    "mcse, ess, step",
    [
        (0.0125, None, 5),
        (0.013, None, 10),
        (0.025, 5000, 10),
        (0.026, None, None),
        (0.001, 1599, 10),
        (0.001, 399, None),
        (None, 5000, 10),
    ],
)
def test_the_step_follows_the_monte_carlo_error_and_the_effective_draws(mcse, ess, step):
    assert rounding.step_for(mcse, ess) == step


@pytest.mark.parametrize(
    "chance, step, words, other",
    [
        (0.65, 5, "about 65", "about 35"),
        (0.02, 5, "fewer than 5", "more than 95"),
        (0.99, 5, "more than 95", "fewer than 5"),
        (0.675, 5, "about 70", "about 30"),
        (0.04, 10, "fewer than 10", "more than 90"),
    ],
)
def test_a_chance_and_its_other_frame_total_one_hundred(chance, step, words, other):
    assert rounding.about(chance, step) == words
    assert rounding.about_other(chance, step) == other


@given(chances, chances, chances, steps)
def test_printed_ranges_hold_the_exact_range_and_the_printed_chance_and_are_ten_points_wide(a, b, chance, step):
    low, high = min(a, b), max(a, b)
    first, last = rounding.outward(low, high, chance, step)
    assert first <= 100 * low + 1e-6 and 100 * high - 1e-6 <= last
    assert first <= rounding.nearest(chance, step) <= last
    assert last - first >= 10 and 0 <= first < last <= 100 and first % step == last % step == 0


@given(chances, chances, chances, steps)
def test_no_range_says_impossible_or_certain(a, b, chance, step):
    words = rounding.range_words(min(a, b), max(a, b), chance, step).split(" to ")
    assert "0" not in words and "100" not in words


@given(chances, st.sampled_from(((5, 0.0125), (10, 0.025))), st.booleans())
def test_moving_a_chance_by_its_monte_carlo_error_changes_the_text_by_at_most_one_step(chance, pair, up):
    step, mcse = pair
    moved = min(1.0, max(0.0, chance + (mcse if up else -mcse)))
    assert abs(rounding.nearest(chance, step) - rounding.nearest(moved, step)) <= step


@given(st.floats(0, 80), st.floats(0, 80))
def test_printed_times_keep_their_order_and_never_pass_the_horizon(a, b):
    first, last = sorted((a, b))
    if last <= 36:
        assert rounding.round_months(first) <= rounding.round_months(last) + 1e-9 or last > 24
    assert (
        rounding.month_words(last, 36) == "more than 36" if last > 36 else "more" not in rounding.month_words(last, 36)
    )


def test_times_get_coarser_as_they_get_longer():
    assert [rounding.month_words(t, 36) for t in (0.1, 1.3, 7.6, 25.6, 35, 36.01, math.inf)] == [
        "under 0.5",
        "1.5",
        "8",
        "27",
        "36",
        "more than 36",
        "more than 36",
    ]


def test_a_time_is_as_fine_as_its_monte_carlo_error_allows():
    errors = (None, 0.1, 0.25, 0.7, 1.4, 2.9, 3.1)
    assert [rounding.month_words(13.4, 36, e) for e in errors] == ["13", "13", "13", "12", "12", "12", "not shown"]
    assert [rounding.month_words(2.2, 36, e) for e in (0.1, 0.2, 0.7, 1.4)] == ["2", "2", "3", "under 6"]
    assert rounding.month_words(math.inf, 36, 1.0) == "more than 36"
    assert rounding.span_words("8", "21") == "8 to 21" and rounding.span_words("not shown", "21") == "not shown"


@given(st.floats(0, 36), st.floats(0, 3), st.booleans())
def test_moving_a_time_by_its_monte_carlo_error_changes_the_text_by_at_most_one_step(months, mcse, up):
    step = rounding.month_step(months, mcse)
    moved = max(0.0, months + (mcse if up else -mcse))
    assert step >= 4.0 * mcse - 1e-6
    assert abs(rounding.round_months(months, step) - rounding.round_months(moved, step)) <= step


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda parts: sum(parts) > 0.01), st.sampled_from((1, 5))
)
def test_split_parts_total_one_hundred_with_less_than_a_step_of_error(parts, step):
    shown = rounding.split(parts, 100, step)
    assert sum(shown) == 100
    assert all(abs(number - 100 * part / sum(parts)) < step + 1e-6 for number, part in zip(shown, parts))


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5), steps)
def test_difference_ranges_hold_the_exact_range(difference, below, above, step):
    words = rounding.signed_range(difference - below, difference + above, step).replace("\u2212", "-").split(" to ")
    first, last = (int(word) for word in words)
    assert (
        first <= 100 * (difference - below) + 1e-6 and 100 * (difference + above) - 1e-6 <= last and last - first >= 10
    )


@pytest.mark.parametrize(
    "value, words",
    [(0.468, "0.47"), (12.4, "12"), (3412, "3400"), (0.00996, "0.010"), (99.6, "100"), (1.0, "1.0"), (0, "0")],
)
def test_forecast_labs_have_two_significant_digits_and_no_exponent(value, words):
    assert rounding.significant(value) == words


def test_times_stand_in_order_whatever_the_step_of_each():
    """4.4 in steps of 6 is 6, 5.4 in steps of 1 is 5: "6 to 5" stood on a page."""
    assert rounding.months_in_order((4.4, 5.4, 30.0), 36, (1.0, 0.2, 0.5)) == ["6", "6", "30"]
    assert rounding.months_in_order((4.4, 5.4, math.inf), 36, (3.5, 0.2, 9.0)) == ["not shown", "5", "not shown"]
    assert rounding.month_words(13.4, 36, math.nan) == rounding.month_words(13.4, 36, math.inf) == "not shown"
