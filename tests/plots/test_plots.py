"""Figures take arrays, return axes, leave the caller's settings alone and turn into inert SVG."""

import re
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bayestwin.plots import (
    plot_doubt,
    plot_forecast_history,
    plot_forecasts,
    plot_individual,
    plot_marker_course,
    plot_surprise,
    plot_time_to_event_dots,
)
from bayestwin.plots.marker_course import course_range
from bayestwin.plots.marks import draw_labs
from bayestwin.plots.style import new_axes
from bayestwin.plots.svg import to_svg

X = np.linspace(0, 30, 40)
Q = np.exp(np.array([-1.96, -1.28, -0.67, 0, 0.67, 1.28, 1.96])[:, None] * 0.3 * np.ones(40)) * 5
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
LANE = {
    "label": "A <b>$x^2$",
    "dots": tuple(range(1, 16)) + (np.inf,) * 5,
    "died": (False, True) * 10,
    "q": dict(zip(LEVELS, (1, 2, 5, 10, 15, np.inf, np.inf))),
}
LABS = [
    {"x": 1.0, "value": 5.0, "state": "used", "before": (4.0, 6.0), "assay_sd": 0.2},
    {"x": 2.0, "value": 0.5, "state": "censored", "limit": 0.5},
    {"x": 3.0, "value": 500.0, "state": "rejected", "letter": "u"},
    {"x": 4.0, "value": 4.0, "state": "corrected", "old_value": 40.0},
    {"x": 5.0, "value": None, "state": "missing"},
]


def draw_all():
    return {
        "dots": plot_time_to_event_dots([LANE], horizon=36),
        "course": plot_marker_course(X, Q, scale="log", cut=6.0, samples=Q[:3], labs=LABS, limit=0.5),
        "individual": plot_individual(X, Q, scale="linear", cut=6.0, labs=LABS[:1], doses=[(0, "320 mg")]),
        "doubt": plot_doubt((0.45, 0.2, 0.35)),
        "history": plot_forecast_history(
            [0, 2, 4], [0.4, None, 0.6], [(0.2, 0.6), None, (0.4, 0.8)], versions=("1", "1", "2")
        ),
        "surprise": plot_surprise([("M-protein", [(0.2, False), (0.99, True)])]),
    }


@pytest.fixture(scope="module")
def drawn():
    return draw_all()


def test_figures_leave_the_callers_settings_as_they_were():
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_all()
    assert dict(matplotlib.rcParams) == before and "matplotlib.pyplot" not in sys.modules


def test_importing_the_plots_does_not_import_matplotlib():
    code = "import sys, bayestwin.plots, bayestwin.report; print('matplotlib' in sys.modules, 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "False",
        "False",
    ]


def test_a_figure_is_the_same_bytes_twice_and_holds_no_address_or_script(drawn):
    again = draw_all()
    for name, ax in drawn.items():
        text = [to_svg(axes.figure, key=name, title="Title?", description="d" * 60) for axes in (ax, again[name])]
        assert text[0] == text[1]
        assert (
            "http" not in text[0]
            and "<script" not in text[0]
            and "<metadata" not in text[0]
            and text[0].startswith('<svg role="img"')
        )
        ids = re.findall(r' id="([^"]+)"', text[0])
        assert len(ids) == len(set(ids)) and all(found.startswith(name) for found in ids)
        assert set(re.findall(r"url\(#([^)]+)\)", text[0])) <= set(ids)


def test_labels_are_printed_literally(drawn):
    assert "A &lt;b&gt;$x^2$" in to_svg(drawn["dots"].figure, key="k", title="t", description="d")


def test_dots_never_overlap_and_keep_their_month():
    lane = LANE | {"dots": (3.0,) * 12 + (3.1,) * 8}
    ax, rows = plot_time_to_event_dots([lane], horizon=36, data=True)
    assert rows[0][1] == [3.0] * 12 + [3.1] * 8
    heights = sorted(
        line.get_ydata()[0] for line in ax.lines if line.get_marker() == "o" and 2.9 < line.get_xdata()[0] < 3.2
    )
    assert len(heights) == 20 and min(np.diff(heights)) > 0 and max(heights) < ax.get_ylim()[1]


def test_a_censored_lab_stands_at_its_limit_not_at_half_of_it(drawn):
    assert [line.get_ydata()[0] for line in drawn["course"].lines if line.get_marker() == "v"] == [0.5]


@pytest.mark.parametrize("state", ["censored", "late", "corrected"])
@pytest.mark.parametrize(("comparator", "mark", "end"), [("<", "v", 0.1), (">", "^", 100.0)])
def test_a_lab_beyond_a_limit_points_to_where_the_value_lies_whatever_its_state(state, comparator, mark, end):
    ax = new_axes(100, 40, left=10, right=2, bottom=8, top=2)
    lab = {"x": 1.0, "value": 5.0, "state": state, "comparator": comparator, "limit": 5.0}
    draw_labs(ax, [lab], floor=0.1, top=100.0)
    stem, triangle, *ring = ax.lines
    assert list(stem.get_ydata()) == [5.0, end]
    assert (triangle.get_marker(), triangle.get_markerfacecolor(), triangle.get_ydata()[0]) == (mark, "white", 5.0)
    assert [line.get_markerfacecolor() for line in ring] == ([] if state == "censored" else ["none"])


def test_every_lab_that_is_used_is_on_the_axis_however_far_below_the_usual_limit():
    """MRD at 1e-6 and a value of a newer assay, under a usual limit of 1e-5."""
    labs = [
        {"x": 1.0, "value": 1e-3, "state": "used"},
        {"x": 2.0, "value": 2e-7, "state": "used"},
        {"x": 3.0, "value": 1e-6, "limit": 1e-6, "state": "censored", "comparator": "<"},
        {"x": 4.0, "value": 1e-9, "state": "rejected"},
    ]
    ax = plot_marker_course(X, Q * 1e-5, scale="log", cut=6.0, limit=1e-5, labs=labs)
    low, high = ax.get_ylim()
    assert 1e-8 < low <= 2e-7 and high >= 1e-3
    assert course_range([Q * 1e-9], [], limit=1e-5)[0] == pytest.approx(
        1e-5 / 4 / 1.3
    )  # a band alone does not ask so far
    assert course_range([Q], [{"value": 1e-8, "state": "late"}])[0] <= 1e-8


def test_a_rejected_lab_off_the_scale_stands_at_the_edge_as_a_cross(drawn):
    crosses = [line.get_ydata()[0] for line in drawn["course"].lines if line.get_marker() == "x"]
    assert crosses == [drawn["course"].get_ylim()[1]]


def test_nothing_is_drawn_past_the_horizon():
    ax = plot_time_to_event_dots([LANE], horizon=12)
    assert max(max(line.get_xdata()) for line in ax.lines if line.get_transform() == ax.transData) <= 15.0
    assert ax.get_xlim() == (0.0, 12.0)


def test_a_withheld_report_is_a_gap_without_a_point(drawn):
    points = [line.get_ydata()[0] for line in drawn["history"].lines if line.get_marker() == "o"]
    assert points == [40.0, 60.0]


def test_doubt_shares_fill_the_bar():
    _, rows = plot_doubt((0.1, 0.05, 0.08), data=True)
    assert abs(sum(share for _, share in rows) - 1) < 1e-12


def test_a_lab_between_two_limits_is_a_bar_from_one_to_the_other():
    lab = {"x": 1.0, "value": 5.0, "upper": 9.0, "state": "used"}
    ax = Figure().subplots()
    draw_labs(ax, [lab], floor=0.1, top=20.0)
    (line,) = ax.lines
    assert list(line.get_ydata()) == [5.0, 9.0] and set(line.get_xdata()) == {1.0}
    assert course_range([Q], [lab | {"upper": 900.0}], scale="log")[1] > 900.0
    rows = {"time": 1.0, "observed": 5.0, "treatment": "", "passed": True, "quantiles": (1, 2, 3, 4, 5, 6, 7)}
    axes = plot_forecasts([rows | {"limit_flag": "interval", "observed_to": 90.0}], scale="log")
    assert axes.get_ylim()[1] > 90.0 and any(list(one.get_ydata()) == [5.0, 90.0] for one in axes.lines)


def test_names_of_events_close_in_time_stand_on_rows_of_their_own():
    ax = plot_forecast_history(
        [0.0, 3.0], [0.5, 0.6], [None, None], events=[(0.20, "start of A"), (0.25, "leukapheresis")]
    )
    rows = [text.xy[1] for text in ax.texts if text.get_text() in ("start of A", "leukapheresis")]
    assert len(set(rows)) == 2


@pytest.mark.parametrize("shares", [(0.6, 0.1, 0.3), (0.35, 0.05, 0.6), (0.9, 0.05, 0.05), (0.02, 0.03, 0.95)])
def test_labels_of_doubt_end_within_the_figure_where_letters_are_a_tenth_wider(shares):
    """A browser has a font of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    ax = plot_doubt(shares)
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in ax.texts]
    assert all(box.x0 >= 0 and box.x0 + 1.1 * box.width <= ax.figure.bbox.width for box in boxes)
