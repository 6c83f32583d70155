"""Rows without a number: what the record already holds is not forecast."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bayestwin.prognosis import compare_treatments, forecast, load_prognosis, save_prognosis
from bayestwin.prognosis.assessments import marker_history
from bayestwin.prognosis.plan import current_treatment, make_plans
from bayestwin.prognosis.progressed import progressed_already
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.report import make_report
from bayestwin.report.inputs import gather_report_input
from bayestwin.specification import load_model
from bayestwin.twin import start_twin

MYELOMA = load_model("myeloma_car_t")
PROGRESSED = "progression under this treatment is already in the record"


@pytest.fixture(scope="module")
def twin_of(hazards):
    """twin_of(*events) -> a twin on the drug since day 0, two labs that stand still, and these events."""

    def make(*events):
        labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0 + t / 100, t) for t in (0.0, 10.0))
        record = PatientRecord("H-2", labs=labs, events=(ClinicalEvent("line_of_therapy", 0.0, 0.0, "drug"), *events))
        return start_twin(hazards, record, particles=800, islands=4, population_draws=100, random_seed=1)

    return make


def test_a_patient_who_has_died_has_no_forecast_and_a_report_that_says_why(twin_of, tmp_path):
    twin = twin_of(ClinicalEvent("death", 12.0, 12.0, "infection"))
    prognosis = forecast(twin, random_seed=2)
    assert {row.refused for row in prognosis.rows} == {"the patient has died"} and len(prognosis.rows) == 2
    assert str(prognosis).count("no number (the patient has died)") == 2
    assert {pair.withheld for pair in compare_treatments(prognosis).rows} == {"a drug: the patient has died"}
    save_prognosis(prognosis, tmp_path / "p.nc")
    report = make_report(gather_report_input(twin, load_prognosis(tmp_path / "p.nc", twin.model)))
    assert "The patient has died" in report.page_1 and "progression-free" not in report.page_1


def test_a_report_of_a_cut_posterior_says_that_it_is_one(twin_of):
    twin = twin_of()
    prognosis, said = forecast(twin, random_seed=2), "Cut posterior: the labs of this patient do not weigh"
    assert said not in make_report(gather_report_input(twin, prognosis)).html
    assert said in make_report(gather_report_input(replace(twin, feedback=False), prognosis)).html


def test_a_progression_in_the_events_refuses_the_treatment_in_force_and_no_new_one(twin_of):
    prognosis = forecast(twin_of(ClinicalEvent("progression", 8.0, 8.0, "imaging")), random_seed=2)
    assert {row.plan.name: row.refused for row in prognosis.rows} == {"drug": PROGRESSED, "cells": ""}
    before = ClinicalEvent("progression", -8.0, -8.0, "imaging")  # under an earlier line
    assert forecast(twin_of(before), ["drug"], random_seed=2).rows[0].refused == ""


def in_force(*rows, model=MYELOMA, starts=(0.0,)):
    """Whether progression under teclistamab, begun on day 0, is in a record of these labs (day, output, value)."""
    labs = tuple(Lab(f"L{k}", output, float(day), v, float(day)) for k, (day, output, v) in enumerate(rows))
    events = tuple(ClinicalEvent("line_of_therapy", day, day, "teclistamab") for day in starts)
    record = PatientRecord("P-1", labs=labs, events=events, covariates={"isotype": "IgG"})
    twin = SimpleNamespace(model=model, record=record, time=max(lab.time for lab in labs))
    plan, new = make_plans(model, record, ["teclistamab", "dara_pd"], twin.time)
    rule = model.progression.rule_for(record.covariates)
    assert rule.output == "m_protein" and not progressed_already(twin, rule, new)
    return progressed_already(twin, rule, plan)


def test_progression_by_the_criteria_refuses_the_treatment_in_force_though_the_marker_stands_still():
    flat = [(day, "m_protein", 20.0) for day in (0, 28, 56, 84)]
    urine = [(day, "urine_m_protein", v) for day, v in ((0, 300.0), (28, 300.0), (56, 900.0), (84, 900.0))]
    assert not in_force(*flat)
    assert not in_force(*flat, *urine[:3])
    assert in_force(*flat, *urine)
    assert in_force(*flat, (60, "new_lesion", 1.0))


def serum(*rows):
    return [(day, "m_protein", value) for day, value in rows]


def test_two_samples_of_one_day_confirm_neither_a_rise_nor_a_nadir():
    fallen = serum((0, 30.0), (28, 10.0), (56, 10.0))
    assert not in_force(*fallen, *serum((84, 20.0), (84, 20.0)))
    assert in_force(*fallen, *serum((84, 20.0), (85, 20.0)))
    assert not in_force(*serum((0, 30.0), (28, 4.0), (28.5, 4.0), (56, 12.0), (84, 12.0)))
    assert in_force(*serum((0, 30.0), (28, 4.0), (29, 4.0), (56, 12.0), (84, 12.0)))


def test_a_line_begun_again_while_it_is_in_force_counts_from_its_first_start():
    risen = serum((0, 30.0), (28, 8.0), (56, 3.0), (70, 12.0), (83, 14.0), (112, 15.0))
    assert in_force(*risen) and in_force(*risen, starts=(0.0, 84.0))

    def counted(event, *starts):
        record = PatientRecord("P-1", events=tuple(ClinicalEvent(event, t, t, name) for t, name in starts))
        return current_treatment(MYELOMA, record, 100.0)

    assert counted("line_of_therapy", (0.0, "rd"), (40.0, "rd"), (120.0, "rd")) == (0.0, "rd")
    assert counted("line_of_therapy", (0.0, "rd"), (40.0, "pd"), (80.0, "rd"), (90.0, "rd")) == (80.0, "rd")
    assert counted("infusion", (0.0, "ide_cel"), (40.0, "ide_cel")) == (40.0, "ide_cel")  # cells a second time
    assert counted("line_of_therapy", (120.0, "rd")) is None


def test_one_rise_refuses_the_treatment_in_force_where_the_rule_asks_for_no_more(monkeypatch):
    """Of a folder without criteria of its own."""
    monkeypatch.setattr("bayestwin.prognosis.progressed.codes_response", lambda model: False)
    once = replace(MYELOMA, endpoints=(replace(MYELOMA.progression, confirmations=1),))
    assert in_force(*serum((0, 14.0), (20, 20.0)), model=once) and not in_force(*serum((0, 14.0), (20, 20.0)))
    assert not in_force(*serum((0, 14.0), (20, 18.0)), model=once)


def test_values_of_one_day_are_one_assessment_in_days_and_in_hours():
    rule = MYELOMA.progression.rule_for({})
    levels = ((-24.0, 9.0), (0.0, 30.0), (24.0, 10.0), (47.0, 12.0), (48.0, 20.0))
    labs = [SimpleNamespace(output=rule.output, time=time, level=level) for time, level in levels]

    def history(unit, **plan):
        model, record = SimpleNamespace(time_unit=unit), SimpleNamespace(labs=labs)
        return marker_history(model, rule, record, SimpleNamespace(**plan), 48.0)

    assert history("h", new=False, start=0.0) == [30.0, 11.0, 20.0]
    assert history("day", new=False, start=0.0) == [30.0, 10.0, 12.0, 20.0]
    assert history("h", new=True, start=48.0) == [20.0] and history("h", new=True, start=50.0) == []
