"""Two reports of one patient through the real arrows: what moved the chance, against a survival that is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bayestwin.prognosis import forecast
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.report import make_report
from bayestwin.report.gather_forecasts import treatment_entry
from bayestwin.report.inputs import gather_report_input
from bayestwin.twin import start_twin, update_twin

MONTH = 30.4375
GAP = 3.0


@pytest.fixture(scope="module")
def reports(hazards):
    """(last forecast, new input, new page) of a patient on the drug: a new lab 3 months later, one retracted."""
    labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0 + t / 100, t) for t in (0.0, 5.0, 10.0))
    record = PatientRecord(
        "H-1", labs=labs, events=(ClinicalEvent("line_of_therapy", 0.0, 0.0, "drug"),), time_zero="2025-01-10"
    )
    sizes = {"particles": 800, "islands": 4, "population_draws": 100}
    first = start_twin(hazards, record, random_seed=1, **sizes)
    last = forecast(first, ["drug", "cells"], random_seed=1)
    later = 10.0 + GAP * MONTH
    newer = replace(record, labs=(labs[0], labs[2], Lab("new", "m_protein", later, 20.9, later)))
    twin, _ = update_twin(first, newer, random_seed=2, population=hazards)
    found = gather_report_input(
        twin,
        forecast(twin, ["drug", "cells"], random_seed=2),
        previous=(first, last),
        report_number=2,
        generated="2025-05-01T00:00:00Z",
    )
    return last, found, make_report(found)


def test_the_time_that_passed_moves_the_chance_as_the_known_survival_does(reports):
    last, found, _ = reports
    time, rest = found.change.steps
    k = last.landmarks.index(12)
    rate = -np.log(last.row("drug").events.survival[:, k]) / 12.0
    before, waited = last.weights * np.exp(-rate * GAP), last.weights * np.exp(-rate * (GAP + 12.0))
    assert time.cause == "time" and time.before == last.chance("drug", 12).value
    assert time.after == pytest.approx(waited.sum() / before.sum(), abs=0.04)
    assert (rest.cause, rest.text, rest.before) == ("labs+amended", "1 new lab; 1 retracted", time.after)


def test_outcomes_are_the_expected_shares_not_those_of_the_drawn_deaths(reports):
    last, *_ = reports
    entry = treatment_entry(last, last.row("drug"), last.model, PatientRecord("H-1"))
    rates = -np.log(last.row("drug").events.alive[:, 1]) / 12.0  # of death, a month
    both = -np.log(last.row("drug").events.survival[:, 1]) / 12.0
    for item in entry.outcomes:
        assert item.died == pytest.approx(last.first_events("drug", item.month)["death"].value)
        exact = last.weights @ (rates / both * (1.0 - np.exp(-both * item.month)))
        assert item.died == pytest.approx(exact, abs=1e-4) and item.mcse < 0.008  # drawn, of 800: 0.015
        assert item.free + item.progressed + item.died == pytest.approx(1.0)


def test_the_page_of_the_second_report_holds_its_bridge_dates_and_differences_to_the_current_treatment(reports):
    _, found, report = reports
    document = json.loads(report.json)
    assert not report.failures and found.main_treatment().name == "drug"
    assert document["captions"]["bridge"].startswith("12-month chance under a drug")
    assert [pair["a"] for pair in document["comparisons"]] == ["drug"]
    assert document["clock"]["data_cut_shown"] == "21 Apr 2025" and document["change"]["bridge"][1]["step"] == (
        "new labs and late, corrected or retracted labs"
    )
    for row in found.treatments:
        errors = row.event.errors
        assert 0.0 < errors.quantiles[0.25] < 3.0 and len(errors.dots) == 20 and 0.0 < errors.after_horizon < 0.05
        assert all(0.0 < mark.doubt_mcse < 0.2 for mark in row.landmarks)
        assert all(0.0 < item.mcse < 0.05 for item in row.outcomes)
        ahead = row.trajectories[0].times > found.clock.data_cut_time
        errors = row.trajectories[0].errors[:, ahead]
        assert np.isfinite(errors).all() and np.median(errors) > 0.0
    doubt = document["treatments"][0]["landmarks"][1]["doubt"]
    assert (
        doubt["mcse_shown"].split()[1] in ("point", "points")
        and doubt["mcse"] == found.treatments[0].landmarks[1].doubt_mcse
    )
    assert "Monte Carlo error of a median up to " in document["courses"][0]["caption"]
    low, high = found.change.previous_middle_half
    assert 0.0 < low < high
