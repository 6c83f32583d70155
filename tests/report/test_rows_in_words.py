"""What stands beside the numbers of a row: that a treatment was given before, and where a forecast lab has no end."""

import dataclasses
import re

import pytest
from report_examples import example

from bayestwin.plots.marker_course import course_range
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.result import TreatmentPrognosis
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.report import make_report
from bayestwin.report.gather_data import output_entry
from bayestwin.report.gather_forecasts import treatment_entry
from bayestwin.report.rounding import lab_value
from bayestwin.specification import load_model

MYELOMA = load_model("myeloma_car_t")


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def test_a_row_of_a_treatment_given_before_says_so_on_both_pages():
    inputs = example()
    first, *rest = inputs.treatments
    again = dataclasses.replace(rest[0], given_before="given before: day 5 to day 52, best response SD")
    report = make_report(dataclasses.replace(inputs, treatments=(first, again, *rest[1:])))
    assert not report.failures
    text = text_of(report.html)
    assert text.count("Given before: day 5 to day 52, best response SD. Rests on:") == 1  # page 1
    assert text.count("Given before: day 5 to day 52, best response SD. Regimen:") == 1
    assert "Given before" not in text_of(make_report(inputs).html)


def test_a_row_is_gathered_with_the_dates_of_its_earlier_time():
    labs = tuple(Lab(f"m{k}", "m_protein", 20.0 * k, 30.0, 20.0 * k) for k in range(3))
    given = (("line_of_therapy", 5.0, "dara_pd"), ("infusion", 52.0, "ide_cel"))
    events = tuple(ClinicalEvent(event, time, time, value) for event, time, value in given)
    record = PatientRecord("P-1", labs=labs, events=events, time_zero="2025-01-10")
    (plan,) = [plan for plan in make_plans(MYELOMA, record, None, 80.0) if plan.name == "dara_pd"]
    prognosis = type("P", (), {"past": (), "now": 80.0})
    row = treatment_entry(prognosis, TreatmentPrognosis(plan, "refused here"), MYELOMA, record)
    assert row.given_before == "given before: 15 Jan 2025 to 3 Mar 2025, best response SD"


def with_course(inputs, highest):
    """The example, its M-protein cut off at `highest` as a forecast does."""
    outputs = tuple(dataclasses.replace(o, highest=highest if o.name == "m_protein" else None) for o in inputs.outputs)
    cut = lambda c: dataclasses.replace(c, quantiles=c.quantiles.clip(None, highest))  # noqa: E731
    rows = tuple(
        dataclasses.replace(row, trajectories=tuple(cut(c) if c.output == "m_protein" else c for c in row.trajectories))
        for row in inputs.treatments
    )
    return dataclasses.replace(inputs, outputs=outputs, treatments=rows)


def test_a_forecast_lab_at_the_end_of_the_plausible_range_is_more_than_that_and_no_value():
    assert (lab_value(120.0, 0.5, 120.0), lab_value(119.0, 0.5, 120.0), lab_value(0.1, 0.5, 120.0)) == (
        ">120", "120", "<0.5",
    )  # fmt: skip
    report = make_report(with_course(example(), 2.0))
    assert not report.failures
    assert ">2 g/L&#34; is past what is taken for a plausible value." in report.html.replace("&gt;", ">")
    assert " to &gt;2 g/L" in report.html and "drawn up to" not in report.html
    assert "taken for a plausible value" not in make_report(with_course(example(), 1e6)).html


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_axis_ends_where_courses_are_cut_off(scale):
    quantiles = [[value] * 2 for value in (1.0, 2.0, 3.0, 20.0, 80.0, 110.0, 120.0)]
    assert course_range([quantiles], [], highest=120.0, scale=scale)[1] <= 120.0
    assert course_range([quantiles], [{"value": 125.0, "state": "used"}], highest=120.0, scale=scale)[1] == 125.0


def test_the_end_of_an_output_is_that_of_its_plausible_values():
    record = PatientRecord("P-1", labs=(Lab("m", "m_protein", 0.0, 30.0, 0.0),))
    entry = output_entry(MYELOMA, record, MYELOMA.observations[MYELOMA.observation_index["m_protein"]], 0.0)
    assert entry.highest == 120.0 and "120" not in entry.note
