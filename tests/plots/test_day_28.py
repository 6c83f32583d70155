"""The clearance figure and the ladder draw what they are given, at the place that they are given for."""

import sys

import matplotlib
import numpy as np
import pytest

from bayestwin.plots.chance_ladder import plot_chance_ladder
from bayestwin.plots.clearance import plot_clearance

DAYS = np.linspace(0.0, 90.0, 30)
ALONE = 18.0 * np.exp(-0.05 * DAYS) * np.exp(np.array([-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6]))[:, None]
LABS = [
    {"x": -1.0, "value": 18.0, "limit": 0.5, "state": "used"},
    {"x": 28.0, "value": 6.5, "limit": 0.5, "state": "used"},
]
CHAINS = {
    "label": "light chains",
    "unit": "mg/L",
    "labs": [LABS[1] | {"value": 9.0}],
    "expected_days": DAYS[10:],
    "expected": ALONE[:, 10:],
}
RUNGS = [
    {"name": "referral", "chance": 0.4, "range": (0.2, 0.6), "rests_on": "2 labs", "reason": ""},
    {"name": "bridging", "chance": 0.35, "range": None, "rests_on": "4 labs", "reason": "only 3 effective draws"},
    {"name": "day 28", "chance": None, "range": None, "rests_on": "9 labs", "reason": "withheld"},
]


def drawn(**more):
    return plot_clearance(DAYS, ALONE, cut=28.0, labs=LABS, limit=0.5, label="M-protein", unit="g/L", **more)


def test_the_band_of_clearance_alone_holds_8_of_10_labs_and_points_stand_where_they_were_measured():
    (ax,), table = drawn(expected_days=DAYS[10:], expected=ALONE[:, 10:], data=True)
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"] == [
        (-1, 18),
        (28, 6.5),
    ]
    edges = [line for line in ax.lines if len(line.get_xdata()) == len(DAYS)]
    np.testing.assert_allclose(edges[0].get_ydata()[0], 18.0 * np.exp(-0.4))
    np.testing.assert_allclose(edges[1].get_ydata()[0], 18.0 * np.exp(0.4))
    assert table[0][0] == 0.0 and table[0][1][3] == pytest.approx(18.0)


def test_a_band_that_reaches_zero_ends_below_the_limit_of_the_assay():
    (ax,) = plot_clearance(DAYS, np.where(ALONE < 5.0, 0.0, ALONE), cut=28.0, labs=LABS, limit=0.5)
    assert ax.get_ylim()[0] < 0.5


def test_a_second_panel_shares_the_axis_of_days_and_has_a_scale_of_its_own():
    above, below = drawn(beside=CHAINS)
    assert above.get_xlim() == below.get_xlim() and above.get_ylim() != below.get_ylim()
    assert below.get_xlabel() == "days after the infusion" and not above.get_xlabel()
    assert below.get_ylabel() == "light chains (mg/L)"


def test_a_rung_without_a_range_has_a_point_alone_and_one_without_a_number_says_so():
    ax, rows = plot_chance_ladder(RUNGS, question="12 months", data=True)
    assert [bar.get_x() for bar in ax.patches] == [20.0] and ax.patches[0].get_width() == pytest.approx(40.0)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [40.0, 35.0]
    said = [text.get_text().replace("\n", " ") for text in ax.texts]
    assert "no number" in said and "4 labs (only 3 effective draws)" in said
    assert rows[0] == ("referral", 0.4, (0.2, 0.6))
    first, last = ax.get_ylim()[1], ax.get_ylim()[0]
    assert first < last  # the first moment at the top


def test_long_words_of_a_rung_stand_in_full_and_do_not_touch_those_of_the_next():
    words = "twelve labs (six of one kind and six of another); what is in force goes on until the infusion " * 3
    rungs = [RUNGS[0] | {"name": name, "rests_on": words} for name in ("referral", "bridging", "infusion")]
    ax = plot_chance_ladder(rungs)
    ax.figure.canvas.draw()
    said = [text for text in ax.texts if text.get_text()]
    assert all(text.get_text().replace("\n", " ") == words.strip() for text in said)
    boxes = sorted((text.get_window_extent() for text in said), key=lambda box: box.y0)
    assert all(below.y1 < above.y0 for below, above in zip(boxes, boxes[1:]))


def test_a_long_reason_makes_its_own_row_higher_and_no_other():
    short = [RUNGS[0] | {"name": name} for name in ("referral", "bridging")]
    ax = plot_chance_ladder([*short, RUNGS[0] | {"name": "infusion", "rests_on": "islands disagree on growth " * 20}])
    first, second, third = ax.get_yticks()
    assert (
        second - first == 11.0
        and third - second > 15.0
        and [b.get_height() for b in ax.patches] == pytest.approx([4.62] * 3)
    )


def test_figures_need_no_pyplot_and_leave_the_settings_as_they_were():
    before = dict(matplotlib.rcParams)
    drawn(beside=CHAINS)
    plot_chance_ladder(RUNGS)
    assert dict(matplotlib.rcParams) == before and "matplotlib.pyplot" not in sys.modules
