"""Each rule fires where it must, drives the page state, and prints its number."""

import dataclasses

import pytest
import report_examples
from report_examples import example

from bayestwin.jobs.patient_report import withheld_because
from bayestwin.report import make_report
from bayestwin.report import warnings as rules
from bayestwin.report.json_data import surprise_words
from bayestwin.report.model import Comparator, Comparison, DataEffect, EventForecast


def codes(inputs, severity=None):
    return {item.code for item in rules.evaluate(inputs) if severity is None or item.severity == severity}


def change(inputs, **parts):
    """Replace fields of parts of an input: change(x, numbers={"ess": 300})."""
    return dataclasses.replace(
        inputs, **{name: dataclasses.replace(getattr(inputs, name), **values) for name, values in parts.items()}
    )


def test_the_calm_example_is_shown_without_caution():
    assert rules.state_of(rules.evaluate(example())) == rules.SHOWN


@pytest.mark.parametrize(
    "parts, code, state",
    [
        ({"patient": {"context_problems": ("AL amyloidosis is outside the purpose",)}}, "W-CTX-OUT", rules.WITHHELD),
        ({"patient": {"covariate_p": 0.005}}, "W-CTX-EDGE", rules.CAUTION),
        ({"patient": {"covariate_p": 0.0005}}, "W-CTX-EDGE", rules.WITHHELD),
        ({"clock": {"data_cut_time": 172.0 + 36}}, "W-DATA-OLD", rules.CAUTION),
        ({"clock": {"data_cut_time": 172.0 + 71}}, "W-DATA-OLD", rules.WITHHELD),
        ({"patient": {"phase": "early_cell_therapy"}, "clock": {"data_cut_time": 180.0}}, "W-DATA-OLD", rules.CAUTION),
        ({"numbers": {"pareto_k": 0.8}}, "W-NUM-K", rules.WITHHELD),
        ({"numbers": {"pareto_k": 0.8, "full_rebuild": True}}, "W-NUM-K", rules.SHOWN),
        ({"numbers": {"ess": 1500.0}}, "W-NUM-ESS", rules.SHOWN),
        ({"numbers": {"ess": 399.0}}, "W-NUM-ESS", rules.WITHHELD),
        ({"numbers": {"verdict": "WITHHELD"}}, "W-NUM-MC", rules.WITHHELD),
        ({"numbers": {"rhat": 1.02}}, "W-NUM-MC", rules.CAUTION),
        ({"numbers": {"population_approximate": "variational"}}, "W-NUM-MC", rules.CAUTION),
        ({"numbers": {"ess_population_draws": 1.2, "population_draws": 400}}, "W-NUM-MC", rules.CAUTION),
        ({"numbers": {"rhat": 1.06}}, "W-NUM-MC", rules.WITHHELD),
        ({"numbers": {"ess_tail": 399.0}}, "W-NUM-MC", rules.CAUTION),
        ({"change": {"version_changed": True}}, "W-VERSION", rules.CAUTION),
        ({"change": {"previous_middle_half": (1.0, 2.0)}}, "W-MOVED", rules.CAUTION),
    ],
)
def test_a_rule_fires_and_sets_the_page_state(parts, code, state):
    found = rules.evaluate(change(example(), **parts))
    assert code in {item.code for item in found} and rules.state_of(found) == state


def test_a_course_that_contradicts_the_model_is_cautioned_then_withheld():
    assert "W-FIT-2" in codes(example(fit_p=0.005), rules.CAUTION) and "W-FIT-2" in codes(
        example(fit_p=0.0005), rules.WITHHELD
    )


def test_three_labs_in_a_row_beyond_the_same_end_contradict_the_model():
    labs = tuple(
        dataclasses.replace(lab, pit=(0.95, 0.95)) if lab.output == "involved_flc" else lab for lab in example().labs
    )
    assert "W-FIT-2" in codes(example(labs=labs), rules.CAUTION)


def test_a_tenfold_lab_gives_a_surprise_with_possible_unit_error():
    found = [item for item in rules.evaluate(report_examples.worst()) if item.code == "W-FIT-1"]
    assert len(found) == 1 and "possible unit error" in found[0].text


def test_a_lab_that_may_be_tenfold_cautions_also_where_its_forecast_was_too_wide_to_be_surprised():
    worst = report_examples.worst()
    lab = dataclasses.replace(worst.labs[0], new=True, pit=(0.03, 0.03), alarm="ten times too low", value=None)
    found = [w for w in rules.evaluate(dataclasses.replace(worst, labs=(lab,))) if w.code == "W-FIT-1"]
    assert len(found) == 1 and found[0].severity == rules.CAUTION
    assert found[0].text.endswith("is more likely ten times too low than right (possible unit error)")
    assert surprise_words(lab) == "more likely ten times too low than right"
    quiet = dataclasses.replace(worst, labs=(dataclasses.replace(lab, alarm=""),))
    assert "W-FIT-1" not in {w.code for w in rules.evaluate(quiet)}


def test_an_old_surprise_does_not_alarm_again():
    labs = tuple(dataclasses.replace(lab, new=False) for lab in report_examples.worst().labs)
    assert "W-FIT-1" not in codes(dataclasses.replace(report_examples.worst(), labs=labs))


def test_late_corrected_and_rejected_labs_are_always_counted_and_caution_when_they_matter():
    assert {"W-DATA-LATE", "W-DATA-CORR", "W-DATA-REJ", "W-DATA-MISS"} <= codes(example(), rules.NOTE)
    assert "W-DATA-LATE" in codes(example(data_effects=(DataEffect("late", 0.65, 0.58),)), rules.CAUTION)


def test_a_large_move_and_a_far_comparator_caution():
    steps = example().change.steps
    moved = dataclasses.replace(
        example().change, steps=(dataclasses.replace(steps[0], before=steps[-1].after - 0.2), *steps[1:])
    )
    assert "W-MOVED" in codes(example(change=moved), rules.CAUTION)
    assert "W-BASE" in codes(example(comparators=(Comparator("linear extrapolation", 0.2),)), rules.CAUTION)
    assert "W-MOVED" in codes(example(comparisons=(Comparison("a", "b", sign_changed=True),)), rules.CAUTION)


@pytest.mark.parametrize(
    "which, error, level",
    [
        ("mcse", 0.03, rules.WITHHELD),
        ("draws_error", 0.06, rules.WITHHELD),
        ("draws_error", 0.03, rules.CAUTION),
    ],
)
def test_a_large_error_of_the_main_chance_withholds_the_page(which, error, level):
    main = example().treatments[0]
    marks = tuple(dataclasses.replace(mark, **{which: error}) for mark in main.landmarks)
    assert "W-NUM-MC" in codes(example(treatments=(dataclasses.replace(main, landmarks=marks),)), level)


def test_event_dots_are_quantiles_of_all_draws_and_deaths_are_marked_by_share():
    months, died = report_examples.event_draws(12, 1, 0.1)
    event = EventForecast.from_draws(months, died=died)
    assert list(event.dots) == sorted(event.dots) and sum(event.dot_died) == round(20 * event.death_share)
    assert abs(sum(dot == float("inf") for dot in event.dots) / 20 - event.after_horizon) <= 0.05


def test_the_table_of_warnings_says_the_gravest_of_a_rule_that_fired_twice():
    main = example().treatments[0]
    marks = tuple(dataclasses.replace(mark, mcse=0.03, draws_error=0.03) for mark in main.landmarks)
    report = make_report(example(treatments=(dataclasses.replace(main, landmarks=marks), *example().treatments[1:])))
    fired = {row["code"]: row["fired"] for row in report.document["warnings"]}
    assert report.status == rules.WITHHELD and fired["W-NUM-MC"] == "withheld"
    assert withheld_because(report.document) == (
        "the report is withheld (W-NUM-MC: Monte Carlo error of the 12-month chance is 3.0 points (at most 2.5))"
    )
