"""Forecasts that were kept, scored when their labs arrived: against closed forms, by what was given."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from bayestwin.evaluation.kept_forecasts import COLUMNS, of_another_assay, score_kept, scoreboard
from bayestwin.prognosis.result import QUANTILES, Course
from bayestwin.records import ClinicalEvent, Lab, PatientRecord

Z = stats.norm.ppf(QUANTILES)
NOW = 100.0


class Measured(SimpleNamespace):
    """What is scored of an output that is measured."""

    discrete, positive = False, False

    def assay_of(self, lab):
        return ("", "B").index(lab.laboratory)


def prognosis(rows, *, log_scale=True, plausible=(-1e6, 1e6)):
    """One output `y` and rows (name, start, new, refused, mean of y on the error scale, SD)."""
    times = NOW + np.array([0.0, 100.0, 400.0])
    made = []
    for name, start, new, refused, mean, sd in rows:
        on_scale = np.stack([np.full(len(times), mean + sd * z) for z in Z])
        drawn = np.clip(np.exp(on_scale) if log_scale else on_scale, *plausible)
        course = Course("y", times, drawn, np.zeros((12, 3)))
        plan = SimpleNamespace(name=name, start=start, new=new, policy=None, sequence=())
        made.append(SimpleNamespace(plan=plan, refused=refused, courses=() if refused else (course,)))
    treatments = tuple(SimpleNamespace(name=n, starts_with="line_of_therapy", pause=False) for n in ("drug", "other"))
    model = SimpleNamespace(
        time_unit="day",
        observations=(Measured(output="y", log_scale=log_scale, plausible=plausible),),
        observation_index={"y": 0},
        treatments=treatments,
        treatment_names=("drug", "other"),
        treatment=lambda name: next(t for t in treatments if t.name == name),
    )
    return SimpleNamespace(model=model, now=NOW, rows=tuple(made))


def record(*labs, starts=((0.0, "drug"),), key="K-1"):
    events = tuple(ClinicalEvent("line_of_therapy", t, t, name) for t, name in starts)
    kinds = [c if isinstance(c, tuple) else (c, v) if c else () for _, v, c in labs]
    rows = tuple(Lab(f"y@{t:g}", "y", t, v, t, *kind) for (t, v, _), kind in zip(labs, kinds))
    return PatientRecord(key, labs=rows, events=events)


CURRENT = ("drug", 0.0, False, "", np.log(20.0), 0.3)


@pytest.mark.parametrize("log_scale", [True, False])
@pytest.mark.parametrize("z", [-3.0, -1.2, 0.0, 0.4, 2.5])
def test_scores_of_a_normal_forecast_are_those_of_the_closed_form(z, log_scale):
    mean, sd = (np.log(20.0), 0.3) if log_scale else (20.0, 3.0)
    y = np.exp(mean + sd * z) if log_scale else mean + sd * z
    (row,) = score_kept(prognosis([("drug", 0.0, False, "", mean, sd)], log_scale=log_scale), record((150.0, y, "")))
    assert tuple(row) == COLUMNS
    assert row["pit"] == pytest.approx(stats.norm.cdf(z), abs=1e-3)
    crps = sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert row["crps"] == pytest.approx(crps, rel=0.01)
    assert row["horizon"] == 50.0 and row["treatment"] == "drug" and row["scale"] == ("ln" if log_scale else "natural")


def test_a_censored_lab_has_the_scores_of_the_censored_distribution():
    """Under 15: any value below it is the same to the score."""
    (row,) = score_kept(prognosis([CURRENT]), record((150.0, 15.0, "left")))
    limit = (np.log(15.0) - np.log(20.0)) / 0.3
    assert 0.0 <= row["pit"] <= stats.norm.cdf(limit) + 1e-3
    x = np.maximum(np.random.default_rng(1).normal(np.log(20.0), 0.3, 4000), np.log(15.0))
    brute = np.mean(np.abs(x - np.log(15.0))) - 0.5 * np.mean(np.abs(x[:2000] - x[2000:]))
    assert row["crps"] == pytest.approx(brute, abs=0.01)


def test_the_drawn_pits_of_patients_whose_labs_have_one_name_are_independent():
    """Labs without an id are named output@time: a visit that all have must not count as one lab many times over."""
    rows = [score_kept(prognosis([CURRENT]), record((150.0, 15.0, "left"), key=f"K-{n}"))[0] for n in range(200)]
    share = np.array([row["pit"] for row in rows]) / stats.norm.cdf((np.log(15.0) - np.log(20.0)) / 0.3)
    assert stats.kstest(share, "uniform").pvalue > 0.01
    assert score_kept(prognosis([CURRENT]), record((150.0, 15.0, "left"), key="K-7"))[0] == rows[7]


def test_a_lab_between_two_limits_is_scored_beyond_them_only():
    (row,) = score_kept(prognosis([CURRENT]), record((150.0, 15.0, ("interval", 25.0))))
    low, high = ((np.log(end) - np.log(20.0)) / 0.3 for end in (15.0, 25.0))
    assert row["observed"] == 15.0 and row["observed_to"] == 25.0 and row["limit_flag"] == "interval"
    assert stats.norm.cdf(low) - 1e-3 <= row["pit"] <= stats.norm.cdf(high) + 1e-3
    below, above = np.linspace(-9.0, low, 2000), np.linspace(high, 9.0, 2000)
    expected = np.trapezoid(stats.norm.cdf(below) ** 2, below) + np.trapezoid(stats.norm.sf(above) ** 2, above)
    assert row["crps"] == pytest.approx(0.3 * expected, rel=0.01)


@pytest.mark.parametrize(
    ("log_scale", "mean", "sd", "plausible", "share"),
    [
        (False, 0.2, 0.5, (0.0, 120.0), 0.345),  # a marker that is gone: a third of the forecast lies at 0
        (True, np.log(0.012), 0.8, (0.01, 1e4), 0.410),
        (False, 118.0, 5.0, (0.0, 120.0), 0.345),
        (False, -0.6, 0.5, (0.0, 120.0), 0.885),  # one level is left inside the range
        (False, -5.0, 0.5, (0.0, 120.0), 1.0),  # none
        (False, 0.5, 1.0, (0.0, 1.5), 0.467),  # both ends
    ],
)
def test_ranges_hold_as_often_as_they_say_where_courses_are_drawn_at_an_end(log_scale, mean, sd, plausible, share):
    """Labs of the very distribution that was forecast, set to the end as the forecast is."""
    y = mean + sd * stats.norm.ppf((np.arange(300) + 0.5) / 300)
    y = np.clip(np.exp(y) if log_scale else y, *plausible)
    forecast = prognosis([("drug", 0.0, False, "", mean, sd)], log_scale=log_scale, plausible=plausible)
    pit = [score_kept(forecast, record((150.0, v, ""), key=f"K-{k}"))[0]["pit"] for k, v in enumerate(y)]
    assert np.mean(np.isin(y, plausible)) == pytest.approx(share, abs=0.01)
    held = [np.mean(np.abs(np.array(pit) - 0.5) <= level / 2) for level in (0.5, 0.8, 0.95)]
    assert held == pytest.approx([0.5, 0.8, 0.95], abs=0.06)


@pytest.mark.parametrize("limit", [0.01, 0.006])
def test_a_limit_at_or_under_the_plausible_range_holds_all_that_is_forecast_at_its_end(limit):
    """One under it is the same to a forecast that says nothing of what lies below its end."""
    low, mean, sd = 0.01, np.log(0.012), 0.8
    forecast = prognosis([("drug", 0.0, False, "", mean, sd)], plausible=(low, 1e4))
    at_end = [score_kept(forecast, record((150.0, limit, "left"), key=f"K-{k}"))[0] for k in range(200)]
    share = np.array([row["pit"] for row in at_end]) / stats.norm.cdf((np.log(low) - mean) / sd)
    assert stats.kstest(share, "uniform").pvalue > 0.01
    assert len({row["crps"] for row in at_end}) == 1
    assert at_end[0]["crps"] == pytest.approx(score_kept(forecast, record((150.0, low, "")))[0]["crps"])
    between = score_kept(forecast, record((150.0, limit, ("interval", 0.012))))[0]["pit"]
    assert 0.0 <= between <= 0.5


def test_only_labs_after_the_data_cut_and_within_the_forecast_are_scored():
    rows = score_kept(
        prognosis([CURRENT]), record((50.0, 20.0, ""), (100.0, 20.0, ""), (499.0, 20.0, ""), (501.0, 1.0, ""))
    )
    assert [row["time"] for row in rows] == [499.0]


def test_a_lab_of_a_laboratory_with_its_own_factor_is_counted_and_not_scored():
    """A forecast is of the usual laboratory: of one that reads 30 % higher its 80 % range held 1 lab in 60."""
    labs = tuple(replace(lab, laboratory="B") for lab in record((50.0, 26.0, ""), (150.0, 26.0, "")).labs)
    given = replace(record((160.0, 20.0, "")), labs=(*labs, *record((160.0, 20.0, "")).labs))
    assert [row["time"] for row in score_kept(prognosis([CURRENT]), given)] == [160.0]
    assert of_another_assay(prognosis([CURRENT]), given) == {("y@150", 150.0)}


def test_the_row_that_counts_is_that_of_what_was_given():
    rows = [CURRENT, ("other", 130.0, True, "", np.log(5.0), 0.3)]
    given = record((120.0, 20.0, ""), (200.0, 5.0, ""), starts=((0.0, "drug"), (133.0, "other")))
    assert [(r["time"], r["treatment"]) for r in score_kept(prognosis(rows), given)] == [
        (120.0, "drug"),
        (200.0, "other"),
    ]
    late = record((200.0, 5.0, ""), starts=((0.0, "drug"), (150.0, "other")))  # 20 days after it was thought to start
    assert score_kept(prognosis(rows), late) == []
    refused = [("drug", 0.0, False, "progression", 0.0, 1.0)]
    assert score_kept(prognosis(refused), record((150.0, 20.0, ""))) == []


def test_a_treatment_that_starts_at_the_data_cut_belongs_to_the_row_that_has_it():
    rows = [CURRENT, ("other", NOW, True, "", np.log(5.0), 0.3)]
    given = record((200.0, 5.0, ""), starts=((0.0, "drug"), (NOW, "other")))
    assert [r["treatment"] for r in score_kept(prognosis(rows), given)] == ["other"]
    known = [("drug", NOW, True, "", 0.0, 1.0), ("other", NOW, False, "", np.log(5.0), 0.3)]  # it was known to start
    assert [r["treatment"] for r in score_kept(prognosis(known), given)] == ["other"]


def test_the_board_counts_what_held_by_months_ahead_and_treatment():
    rng, rows = np.random.default_rng(2), []
    for k in range(40):
        labs = [(NOW + t, np.exp(rng.normal(np.log(20.0), 0.3)), "") for t in (10.0, 50.0, 300.0)]
        rows += score_kept(prognosis([CURRENT]), record(*labs, key=f"K-{k}"))
    board = scoreboard(rows, random_seed=1).set_index(["treatment", "months_ahead", "score"])
    assert set(board.index.get_level_values("months_ahead")) == {"all", "0 to 1", "1 to 3", "6 to 12"}
    for score, level in (("coverage_50", 0.5), ("coverage_80", 0.8), ("coverage_95", 0.95)):
        row = board.loc[("all", "all", score)]
        inside = np.mean([abs(r["pit"] - 0.5) <= level / 2 for r in rows])
        assert row["value"] == pytest.approx(inside) and row["low"] <= level <= row["high"]
        assert (row["labs"], row["forecasts"], row["patients"]) == (120, 120, 40)
    narrow = [r | {"pit": 0.999} for r in rows]
    assert (
        scoreboard(narrow, random_seed=1)
        .set_index(["treatment", "months_ahead", "score"])
        .loc[("drug", "all", "coverage_80"), "high"]
        < 0.2
    )


def test_a_board_of_nothing_is_empty():
    assert scoreboard([], random_seed=1).empty
