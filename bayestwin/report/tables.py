"""Tables and captions that stand beside the figures, with the same numbers."""

import math

import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.report import rounding
from bayestwin.report.json_forecasts import estimated
from bayestwin.report.model import ReportInput
from bayestwin.report.warnings import months
from bayestwin.report.wording import short_label

COURSE_MONTHS = 18.0  # how far ahead a lab is drawn; later it says more about the next treatment than about this one
AHEAD_MONTHS = (1, 3, 6, 12, 18)
AHEAD_HOURS = (1, 2, 4, 8, 12, 24, 36, 48)


def course_tables(inputs: ReportInput) -> list[dict]:
    """One entry per output: forecast quantiles per treatment at a few times after the data cut."""
    entries = []
    for output in inputs.outputs:
        rows = []
        for row in inputs.ordered_treatments():
            course = next((item for item in row.trajectories if item.output == output.name), None)
            if course is not None and estimated(row):
                rows += [_course_row(inputs, output, row, course, place) for place in _places(inputs, course)]
        if rows:
            entries.append(
                {
                    "output": output.name,
                    "label": output.label,
                    "unit": output.unit,
                    "rows": rows,
                    **_counts(inputs, output, rows),
                }
            )
    return entries


def _places(inputs, course):
    """Index of the predicted time nearest to each asked-for time, within the course."""
    ahead = np.asarray(course.times, float) - inputs.clock.data_cut_time
    if inputs.clock.time_unit == "h":
        wanted = [hours for hours in AHEAD_HOURS if hours <= ahead[-1] + 1e-9]
    else:
        wanted = [time for number in AHEAD_MONTHS if (time := number * DAYS_PER_MONTH) <= ahead[-1] + 8]
    return sorted({int(np.argmin(np.abs(ahead - time))) for time in wanted})


def _course_row(inputs, output, row, course, place):
    q = [float(value) for value in np.asarray(course.quantiles)[:, place]]
    ahead = float(course.times[place]) - inputs.clock.data_cut_time
    words = [rounding.lab_value(value, output.limit, output.highest) for value in q]
    when = (
        f"{ahead:.0f} h"
        if inputs.clock.time_unit == "h"
        else _months(rounding.round_months(max(months(inputs, ahead), 0)))
    )
    span = lambda low, high: f"{words[low]} to {words[high]} {output.unit}"  # noqa: E731
    return {
        "treatment": row.label,
        "ahead": ahead,
        "when_shown": when,
        "quantiles": q,
        "mcse": None if course.errors is None else [float(value) for value in np.asarray(course.errors)[:, place]],
        "middle_shown": f"{words[3]} {output.unit}",
        "p50_shown": span(2, 4),
        "p80_shown": span(1, 5),
        "p95_shown": span(0, 6),
    }


def _months(number):
    return "1 month" if number == 1 else f"{number:g} months"


def _counts(inputs, output, rows):
    mine = [lab for lab in inputs.labs if lab.output == output.name]
    used = sum(lab.state in ("used", "censored", "late", "corrected") for lab in mine)
    rejected, late = (
        sum(lab.state in ("rejected", "duplicate") for lab in mine),
        sum(lab.state == "late" for lab in mine),
    )
    limit = f"assay limit {output.limit:g} {output.unit}" if output.limit is not None else "no assay limit stated"
    note = (f" {output.note}" if output.note else "") + _errors(output, rows)
    if output.highest is not None and any(row["quantiles"][-1] >= output.highest for row in rows):
        note += f' ">{output.highest:.10g} {output.unit}" is past what is taken for a plausible value.'
    return {
        "caption": f"Unit {output.unit}; {limit}; {used} labs used, {rejected} rejected, {late} late. Bands hold 50 "
        f"(solid edge), 80 (dashed) and 95 % "
        f"(dotted) of forecast labs; thin lines are sampled futures; the bar left of a point is its 80 % range "
        f"before it arrived.{note}"
    }


def _errors(output, rows) -> str:
    """Monte Carlo error of the medians and of the ends of the 80 % ranges, in percent of them, largest."""
    said, lowest = [], max(output.limit or 0.0, 0.0)
    for what, places in (("a median", (3,)), ("an end of the 80 % range", (1, 5))):
        pairs = [(row["mcse"][k], row["quantiles"][k]) for row in rows if row["mcse"] for k in places]
        largest = max((error / value for error, value in pairs if value > lowest), default=None)
        if largest is not None:
            points = max(1, math.ceil(100 * largest))
            said.append(f"{what} up to {points if points != 100 else 101} %")
    return f" Monte Carlo error of {', of '.join(said)}." if said else ""


def captions(inputs: ReportInput, document: dict) -> dict:
    """Static sentences that hold digits, so that every digit on a page has a place in the JSON."""
    horizon, cut = f"{inputs.clock.horizon_months:g}", inputs.clock.data_cut
    main = inputs.main_treatment()
    of = f" under {short_label(main.label)}" if main else ""
    crosses = any(row["event_time"] and any(row["event_time"]["died"]) for row in document["treatments"])
    return {
        "question_1": "1 Who and where now",
        "question_2": "2 What changed since the last report",
        "question_3": "3 What next, per treatment",
        "question_4": "4 How sure, and why not surer",
        "question_5": "5 Can I trust it today",
        "question_6": "6 What would change it",
        "page_1": "Page 1: what the twin says",
        "page_2": "Page 2: futures per treatment",
        "page_3": "Page 3: data ledger",
        "page_4": "Page 4: how sure, can I trust it",
        "page_5": "Page 5: model facts and provenance",
        "see_5": "see block 5",
        "see_2": "Further treatments on page 2",
        "fig_1": "Each dot is 5 of 100 patients with these data, under the model. Thin bar 80 %, thick bar 50 % of "
        "them; hollow dots: later than "
        f"{horizon} months" + ("; cross: death without progression." if crosses else "."),
        "fig_1_title": f"When could {inputs.endpoint} come under each treatment, in months from {cut}?",
        "row_free": f"{_free(inputs).capitalize()} of 100 patients (80 % knowledge range)",
        "row_not": "not, at 12",
        "row_times": f"Months to {inputs.endpoint}",
        "middle": "middle half",
        "early": "earliest tenth",
        "late": "latest tenth",
        "after": f"after {horizon} mo",
        "fig_7": f"What the 12-month doubt{of} is made of. Only the first two parts can shrink.",
        "fig_7_title": "Where does the doubt about the 12-month chance come from?",
        "fig_5": f"Chance at 12 months{of} at each past report with its 80 % range. It moves when data arrive; it "
        "is not a trend of the disease.",
        "fig_5_title": "How did the 12-month chance move from report to report?",
        "fig_6": "One dot per lab when it arrived; a ring marks new labs. If the twin is right the dots are spread "
        "evenly and 1 in 100 falls in the "
        "shaded ends. Below-limit labs are drawn at random within what they allow.",
        "fig_6_title": "How surprising was each lab when it arrived?",
        "range_note": "In brackets: how far the chance could move if the treatments were known better (80 % "
        "knowledge range); not the spread of patients.",
        "others": "Other models and other hospitals are not in this range.",
        "bridge": f"12-month chance{of}, {_free(inputs)} of 100 (80 % range)",
        "dots": 'The 20 dots of figure 1, months; "later" is after the horizon',
        "doubt": "Doubt at each month",
        "at_12": "at 12 months",
        "pd": "Response categories of 100 patients: predicted serological response, confirmed rule applied",
        "outcomes": "Three outcomes of 100 patients; the range is that of the first, of the other two none is computed",
        "p50": "50 %",
        "p80": "80 %",
        "p95": "95 %",
        "chances": f"Chances of 100, {_free(inputs)}, and not",
        "chances_infusion": "Chances of 100, of those who get to the infusion alive, counted from there",
        "chances_ttp": "Chances of 100, free of progression (deaths without progression left out)",
        "in_100": "In 100",
        "pit": "what was forecast before it (80 %)",
        "fhir": "JSON twin of this page: schema bayestwin.report/1",
    }


def _free(inputs):
    return {"progression or death": "progression-free"}.get(inputs.endpoint, "event-free")
