"""Dates, the age of the data on the day the report is read, and how many get to a treatment that starts later."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from report_examples import example

from bayestwin.prognosis.moments import INFUSION
from bayestwin.prognosis.quantities import chance_of
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.report import json_patient, make_report
from bayestwin.report import warnings as rules
from bayestwin.report.gather_clock import clock_entry, day_text
from bayestwin.report.gather_data import lab_ledger
from bayestwin.report.gather_patient import patient_entry
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")
EVENTS = (ClinicalEvent("infusion", 0.0, 0.0, "ide_cel"),)
LABS = (Lab("L0", "m_protein", 0.0, 20.0, 0.0), Lab("L1", "m_protein", 196.0, 13.0, 198.0))


def twin(zero="2025-01-10"):
    return SimpleNamespace(
        model=MODEL, key="P-1", history=(), record=PatientRecord("P-1", labs=LABS, events=EVENTS, time_zero=zero)
    )


def prognosis(reached=None, spread=0.0):
    """A forecast on day 196; reached : mean share of 4,000 draws who get to cells planned for day 259."""
    draw = np.arange(4000) % 400
    rows, share = (), None
    if reached is not None:
        shares = np.clip(reached + spread * (draw / 399 - 0.5), 0.0, 1.0)
        plan = SimpleNamespace(name="cilta_cel", new=True, start=259.0, label="Cilta-cel", otherwise="observation")
        rows = (SimpleNamespace(plan=plan, moments={INFUSION: SimpleNamespace(reached=shares)}),)
        even = np.full(4000, -np.log(500))
        share = chance_of(shares, shares**2, np.full(4000, 1 / 4000), draw, even, 8)
    return SimpleNamespace(
        model=MODEL, now=196.0, horizon=36.0, rows=rows, reached=lambda moment, treatment: share,
    )  # fmt: skip


def test_a_record_with_dates_is_printed_in_dates():
    assert day_text(MODEL, 196.0, "2025-01-10") == "25 Jul 2025" and day_text(MODEL, 196.0) == "day 196"
    hours = load_model("theophylline")
    assert (
        day_text(hours, 5.5, "2025-01-10T08:00:00+00:00") == "10 Jan 2025 13:30" and day_text(hours, 5.5) == "hour 5.5"
    )
    clock = clock_entry(twin(), prognosis(), "2025-07-30T10:00:00Z")
    assert (clock.data_cut, clock.data_cut_date[:10], clock.time_zero_date[:10]) == (
        "25 Jul 2025",
        "2025-07-25",
        "2025-01-10",
    )
    assert clock.statement.startswith(
        "Month 0 is the data cut, 25 Jul 2025, day 196 after referral, day 196 of Ide-cel"
    )
    assert clock.statement.endswith(": the time of the newest lab or event known, not of the report.")
    assert [lab.when for lab in lab_ledger(twin(), None)] == ["10 Jan 2025", "25 Jul 2025"]
    assert lab_ledger(twin(), None)[1].known_when == "27 Jul 2025"
    latest = {value.name: value.when for value in patient_entry(twin(), 196.0).latest}
    assert "25 Jul 2025" in latest.values()


@pytest.mark.parametrize(
    "generated, as_of, age, state",
    [
        ("2025-07-30T10:00:00Z", "", 5, rules.SHOWN),
        ("2025-11-30T10:00:00Z", "", 128, rules.CAUTION),
        ("2026-11-27T17:00:00Z", "", 490, rules.WITHHELD),
        ("2026-11-27T17:00:00Z", "2025-07-30", 5, rules.SHOWN),
        ("2025-01-01T00:00:00Z", "", 0, rules.SHOWN),
    ],
)
def test_labs_are_as_old_as_they_are_on_the_day_the_report_is_read(generated, as_of, age, state):
    clock = clock_entry(twin(), prognosis(), generated, as_of)
    who = dataclasses.replace(example().patient, phase="follow_up")
    inputs = example(labs=lab_ledger(twin(), None), clock=clock, patient=who)
    assert rules.lab_age_days(inputs) == age
    assert rules.state_of([w for w in rules.evaluate(inputs) if w.code == "W-DATA-OLD"]) == state
    assert json_patient.valid_until(inputs) == "2 Nov 2025"  # 100 days after the newest lab, whenever it is read


def test_without_dates_the_age_is_that_at_the_data_cut_and_says_so():
    clock = clock_entry(twin(""), prognosis(), "2030-01-01T00:00:00Z")
    report = make_report(example(labs=lab_ledger(twin(""), None), clock=clock))
    (data,) = [row for row in report.document["trust"]["block_5"] if row["row"] == "Data"]
    assert data["facts_shown"].startswith("newest lab 0 d old at the data cut, today's age not known (no dates)")
    assert {row["code"]: row["fired"] for row in report.document["warnings"]}["W-DATA-OLD"] == (
        "no; not computed: the age today, since the record has no dates"
    )


def test_how_many_get_to_a_treatment_is_printed_in_steps_with_a_range_and_not_on_a_withheld_page():
    clock = clock_entry(twin(""), prognosis(0.82, 0.19), "2025-07-30T10:00:00Z")
    assert "Cilta-cel from day 259, about 80 in 100 get there (70 to 90)) and so is drop-out." in clock.statement
    all_of_them = clock_entry(twin(""), prognosis(0.999), "2025-07-30T10:00:00Z").statement
    assert "more than 95 in 100 get there" in all_of_them
    failing = dataclasses.replace(example().numbers, verdict="WITHHELD")
    page = make_report(example(clock=clock, numbers=failing))
    assert (
        page.status == "WITHHELD" and "get there" not in page.html + page.json and "Cilta-cel from day 259" in page.html
    )
    shown = make_report(example(clock=clock_entry(twin(""), prognosis(0.999), "2025-07-30T10:00:00Z")))
    assert not shown.failures
