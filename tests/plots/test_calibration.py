"""Figures of how good forecasts were: what is drawn is what was computed."""

import numpy as np
import pytest

from bayestwin.evaluation.scores import ecdf_band
from bayestwin.plots import (
    plot_coverage,
    plot_coverage_by_labs_learnt,
    plot_forecasts,
    plot_pit,
    plot_sbc,
    plot_score_by_horizon,
    plot_score_differences,
)
from bayestwin.plots.forecast_scores import interval_text
from bayestwin.plots.style import new_axes, quiet_style

NAN = float("nan")
ROWS = [(0.5, 0.42, 0.35, 0.5), (0.8, 0.7, 0.62, 0.78), (0.9, 0.85, NAN, NAN)]
GROUPS = [
    ("0", 20, 20, {0.5: (0.5, 0.3, 0.7), 0.9: (0.9, 0.8, 1.0)}),
    ("1 to 3", 60, 20, {0.5: (0.45, 0.35, 0.55), 0.9: (0.8, 0.7, 0.9)}),
]
HORIZONS = [("nothing learnt", 0.5, 0.4, 0.6, 20), ("0 to 28", 0.3, 0.25, 0.35, 100)]
FOREST = [("all labs", "last value", 0.2, 0.1, 0.3, 120, 20), ("all labs", "prior", -0.1, NAN, NAN, 10, 1)]


def lab(time, value, limit_flag="none", treatment="", passed=True):
    quantiles = np.array([0.5, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0]) * 5
    here = {"time": time, "observed": value, "limit_flag": limit_flag}
    return here | {"quantiles": quantiles, "treatment": treatment, "passed": passed}


LABS = [lab(0, 6.0), lab(28, 2.0, "left", "dara_pd"), lab(56, 9.0, "right", "dara_pd"), lab(84, 4.0, passed=False)]


def marks(ax, marker):
    """Points (x, y) drawn with a marker."""
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata())]


def test_coverage_stands_over_its_nominal_level_with_its_bar():
    ax, rows = plot_coverage([("twin", ROWS)], probability=0.9, data=True)
    assert np.array(marks(ax, "o")) == pytest.approx(np.array([(50, 42), (80, 70), (90, 85)]))
    assert rows[0] == ("twin", 0.5, 0.42, 0.35, 0.5)
    bars = [line.get_ydata() for line in ax.lines if len(set(line.get_xdata())) == 1]
    assert np.array(bars) == pytest.approx(np.array([(35, 50), (62, 78)]))  # the third has no interval
    assert ax.get_ylim()[0] <= 32 and "90 %" in ax.get_ylabel()


def test_two_kinds_of_forecast_are_told_apart_by_more_than_colour():
    ax = plot_coverage([("passed", ROWS), ("all", ROWS)], probability=0.9)
    drawn = [line for line in ax.lines if line.get_label() in ("passed", "all")]
    assert len({line.get_marker() for line in drawn}) == len({line.get_linestyle() for line in drawn}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["passed", "all"]


def test_a_pit_histogram_and_its_curve_add_up_to_the_labs():
    pit = np.array([0.05, 0.15, 0.15, 0.95, NAN])
    band = (np.array([0.5]), np.array([-0.2]), np.array([0.2]))
    axes, rows = plot_pit(pit, probability=0.99, histogram_band=(0.0, 0.3), ecdf_band=band, effective=3.0, data=True)
    assert len(axes) == 2 and axes[0].figure is axes[1].figure
    bars = [row for row in rows if len(row) == 3]
    assert [share for *_, share in bars] == pytest.approx([0.25, 0.5, *[0] * 7, 0.25])
    curve = np.array([(0.05, 0.2), (0.15, 0.35), (0.15, 0.6), (0.95, 0.05)])
    assert np.array(rows[len(bars) :]) == pytest.approx(curve)
    x, y = max((line.get_data() for line in axes[1].lines), key=lambda drawn: len(drawn[0]))
    assert (np.diff(x) >= 0).all() and y + x == pytest.approx([0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1, 1])
    assert "4 labs, worth 3 independent" in axes[0].get_title(loc="left") and "99 %" in axes[1].get_title(loc="left")


@pytest.mark.parametrize("kind", ["histogram", "ecdf"])
def test_one_half_of_the_pit_figure_is_drawn_alone_where_asked(kind):
    with quiet_style():
        own = new_axes(80, 60, left=10, bottom=10)
    assert plot_pit([0.2, 0.7], probability=0.99, kind=kind, ax=own) is own
    assert "no band" in own.get_title(loc="left")


def test_coverage_by_labs_learnt_names_the_counts_under_each_group():
    ax, rows = plot_coverage_by_labs_learnt(GROUPS, probability=0.9, data=True)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0\n20 labs\n20 patients", "1 to 3\n60 labs\n20 patients"]
    assert [y for _, y in marks(ax, "o")] == pytest.approx([50, 45]) and [y for _, y in marks(ax, "s")] == [90, 80]
    assert rows[0] == ("0", 0.5, 0.5, 0.3, 0.7, 20, 20) and len(rows) == 4


def test_coverage_of_one_patient_who_has_no_interval_stands_on_the_axis():
    """The axis began at 30 % where there was no bar, and hid what was held less often."""
    ax = plot_coverage_by_labs_learnt([("0 to 1", 3, 1, {0.5: (0.0, NAN, NAN), 0.8: (0.1, NAN, NAN)})], probability=0.9)
    assert [y for mark in ("o", "s") for _, y in marks(ax, mark)] == [0, 10] and ax.get_ylim()[0] < 0


def test_a_score_by_horizon_keeps_the_order_and_the_scale():
    rival = [(name, value + 0.1, NAN, NAN, n) for name, value, _, _, n in HORIZONS[1:]]
    series = [("twin", HORIZONS), ("rival", rival)]
    ax, rows = plot_score_by_horizon(series, score="CRPS", scale="ln", probability=0.9, data=True)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["nothing\nlearnt\n20 labs", "0 to 28\n100 labs"]
    assert [y for _, y in marks(ax, "s")] == pytest.approx([0.4]) and round(marks(ax, "s")[0][0]) == 1
    assert ax.get_ylim()[0] == 0 and "CRPS (ln scale)" in ax.get_ylabel() and len(rows) == 3


def test_a_forest_prints_each_difference_beside_its_mark():
    ax, rows = plot_score_differences(FOREST, score="CRPS", scale="ln", probability=0.9, data=True)
    assert [x for x, _ in marks(ax, "s")] == [0.2, -0.1] and rows == FOREST
    said = [text.get_text() for text in ax.texts]
    assert (
        "0.20 (0.10 to 0.30)" in said and "-0.1" in said and "120 labs, 20 patients" in said and "twin better" in said
    )
    low, high = ax.get_xlim()
    assert low == -high  # no difference stands in the middle


def test_a_censored_lab_is_a_triangle_at_its_limit_and_a_withheld_forecast_is_dotted():
    ax, rows = plot_forecasts(LABS, scale="log", label="M-protein", unit="g/L", data=True)
    assert marks(ax, "v") == [(28, 2.0)] and marks(ax, "^") == [(56, 9.0)] and marks(ax, "o") == [(0, 6.0), (84, 4.0)]
    dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert dotted == [84] and "withheld" in ax.get_xlabel()
    assert rows[1][:3] == (28, 2.0, "left") and rows[1][3:10] == pytest.approx(LABS[1]["quantiles"])
    low, high = ax.get_ylim()
    assert low < 2.0 and high > 10.0


def test_treatments_are_marked_from_their_first_to_their_last_lab():
    ax = plot_forecasts(LABS, scale="linear")
    spans = [line.get_xdata() for line in ax.lines if line.get_transform() == ax.get_xaxis_transform()]
    spans = [tuple(span) for span in spans if len(span) == 2]
    assert spans == [(0, 0), (28, 56), (84, 84)]
    assert [text.get_text() for text in ax.texts] == ["none", "dara_pd", "none"]
    assert not plot_forecasts([lab(0, 6.0), lab(1, 5.0)], scale="linear").texts  # nothing to tell apart
    assert not plot_forecasts([lab(0, 6.0, treatment="x"), lab(1, 5.0, treatment="x")], scale="linear").texts


def test_numbers_are_rounded_as_far_as_their_interval_tells():
    assert interval_text(0.12345, 0.1, 0.15) == "0.12 (0.10 to 0.15)"
    assert interval_text(81.53, 79.2, 83.5) == "81.5 (79.2 to 83.5)" and interval_text(68.2, 53, 82) == "68 (53 to 82)"
    assert interval_text(0.5, NAN, NAN) == "0.5" and interval_text(NAN, NAN, NAN) == "-"
    assert interval_text(0.0, 0.0, 0.0) == "0 (0 to 0)"


def test_the_figures_draw_on_axes_that_are_given_and_leave_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    for draw in (
        lambda ax: plot_coverage([("", ROWS)], probability=0.9, ax=ax),
        lambda ax: plot_coverage_by_labs_learnt(GROUPS, probability=0.9, ax=ax),
        lambda ax: plot_score_by_horizon([("", HORIZONS)], score="CRPS", scale="ln", probability=0.9, ax=ax),
        lambda ax: plot_score_differences(FOREST, score="CRPS", scale="ln", probability=0.9, ax=ax),
        lambda ax: plot_forecasts(LABS, scale="log", ax=ax),
    ):
        with quiet_style():
            own = new_axes(100, 60, left=10, bottom=10)
        assert draw(own) is own
    assert dict(matplotlib.rcParams) == before


def test_every_quantity_of_a_study_has_its_panel_and_a_biased_one_leaves_the_band():
    rng = np.random.default_rng(1)
    ranks = {"right": rng.random(400), "biased": rng.beta(1.4, 1.0, 400), "narrow": rng.beta(0.6, 0.6, 400)}
    band = ecdf_band(400, probability=0.99, random_seed=1)
    axes, rows = plot_sbc(ranks, probability=0.99, band=band, data=True)
    assert [ax.get_title(loc="left") for ax in axes] == ["right (400)", "biased (400)", "narrow (400)"]
    u, low, high = band

    def outside(name):
        x, difference = np.array(rows[name]).T
        at = np.interp(u, x, difference)
        return bool(((at < low) | (at > high)).any())

    assert [outside(name) for name in ranks] == [False, True, True]
    bars = plot_sbc(ranks, probability=0.9, kind="histogram", bins=20, data=True)[1]
    assert all(sum(share for _, _, share in own) == pytest.approx(1.0) for own in bars.values())
    with pytest.raises(ValueError, match="longer"):
        plot_sbc(ranks, probability=0.9, ax=axes[:2])


def test_names_of_the_field_are_all_at_hand():
    import bayestwin.plots as plots

    for name in ("vpc", "npde", "goodness_of_fit", "observed_predicted", "residuals", "individual", "spaghetti", "sbc"):
        assert callable(getattr(plots, f"plot_{name}"))
    assert sorted(plots.__all__) == plots.__all__ and all(hasattr(plots, name) for name in plots.__all__)
