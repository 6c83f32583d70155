"""Event-free time is data: survival, death, interval-censored progression, against integrals done by hand.

The model of these tests has H_death(t) = h t^2 / 2 and H_relapse(t) = q t; h = 0.002, q = 0.01.
"""

from dataclasses import replace
from io import StringIO

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.errors import RecordError
from bayestwin.individual import (
    beginning,
    compile_record,
    information_time,
    prior_mean,
    total_log_likelihood,
    vital_facts,
    ways_named,
)
from bayestwin.records import read_records
from bayestwin.records.record import ClinicalEvent, PatientRecord

H, Q = 0.002, 0.01


def event(name, time, value=""):
    return ClinicalEvent(name, float(time), float(time), value)


@pytest.fixture
def events_of(hazards_in_closed_form, compiled, at_medians):
    """(alive, other) of a record, in the response-free model."""

    def terms(*events, labs=()):
        record = PatientRecord("P-001", labs=labs, events=events)
        model = hazards_in_closed_form
        data = compile_record(model, record, sizes=(4, 8))
        pieces = compiled[0](model)(jnp.log(jnp.array([H])), at_medians(model), data, 0.0)
        assert pieces.ok.all()
        return float(pieces.alive[0]), float(pieces.other[0])

    return terms


def test_a_patient_alive_at_a_time_has_survived_the_hazard_until_then(events_of):
    assert events_of(event("last_known_alive", 20)) == pytest.approx((-H * 200.0, 0.0), rel=1e-6)


def test_a_lab_drawn_is_proof_of_life_but_not_of_freedom_from_progression(events_of, make_lab):
    assert events_of(labs=(make_lab("size", 10, 1.0),)) == pytest.approx((-H * 50.0, 0.0), rel=1e-6)


def test_a_hazard_of_zero_does_not_trouble_the_living(events_of):
    assert events_of() == (0.0, 0.0)  # the hazard of death is zero at time zero


def test_a_death_contributes_its_density(events_of):
    alive, _ = events_of(event("last_known_alive", 20), event("death", 30))
    assert alive == pytest.approx(np.log(H * 30.0) - H * 450.0, rel=1e-6)


def test_an_assessment_without_finding_is_freedom_until_then(events_of):
    alive, other = events_of(event("assessed", 14), event("assessed", 25))
    assert (alive, other) == pytest.approx((-H * 312.5, -Q * 25.0), rel=1e-6)


def test_progression_seen_between_two_assessments_is_interval_censored(events_of):
    _, other = events_of(event("assessed", 14), event("progression", 25, "imaging"))
    assert other == pytest.approx(np.log(np.exp(-Q * 14) - np.exp(-Q * 25)), rel=1e-6)


def test_progression_without_an_assessment_before_it_lies_between_the_start_and_its_finding(events_of):
    _, other = events_of(event("progression", 25, "imaging"))
    assert other == pytest.approx(np.log(1 - np.exp(-Q * 25)), rel=1e-6)


def test_an_assessment_after_progression_says_nothing_more(events_of):
    late = events_of(event("assessed", 14), event("progression", 25, "imaging"), event("assessed", 40))[1]
    assert late == pytest.approx(np.log(np.exp(-Q * 14) - np.exp(-Q * 25)), rel=1e-6)


def test_the_probabilities_of_all_that_may_happen_add_up_to_one(events_of):
    # no progression seen at day 60, or first seen at one of the visits before it
    visits = [14.0, 28.0, 60.0]
    chance = np.exp(events_of(*(event("assessed", v) for v in visits))[1])
    for k, visit in enumerate(visits):
        free = [event("assessed", v) for v in visits[:k]]
        chance += np.exp(events_of(*free, event("progression", visit, "imaging"))[1])
    assert chance == pytest.approx(1.0, abs=1e-7)


def test_the_hazards_until_a_stored_state_travel_with_it(hazards_in_closed_form, compiled, at_medians, make_lab):
    model, psi = hazards_in_closed_form, jnp.log(jnp.array([H]))
    labs = tuple(make_lab("size", time, 1.1, number=time) for time in (10, 25, 40))
    late = PatientRecord("P-001", labs=labs, events=(event("assessed", 14), event("assessed", 35)))

    def pieces(record, *state, **how):
        return compiled[0](model)(
            psi, at_medians(model), compile_record(model, record, sizes=(4, 8), **how), 0.0, *state
        )

    whole, seen = pieces(late), pieces(replace(late, labs=labs[:2], events=()))
    resumed = pieces(late, seen.end, resume_at=25.0)
    assert float(resumed.alive[0]) == pytest.approx(-H * 800.0, rel=1e-6) == float(whole.alive[0])
    assert float(resumed.other[0]) == pytest.approx(-Q * 35.0, rel=1e-6) == float(whole.other[0])
    np.testing.assert_allclose(resumed.end, whole.end, rtol=1e-6)
    np.testing.assert_allclose(seen.rows.sum(1) + resumed.rows.sum(1), whole.rows.sum(1), rtol=1e-6)


@pytest.mark.parametrize("how", ["serological", "m_protein", "FLC ", "biochemical", ""])
def test_serological_progression_adds_nothing_to_the_labs_it_was_read_from(events_of, how):
    base = event("assessed", 14), event("last_known_alive", 25)
    assert events_of(*base, event("progression", 25, how)) == events_of(*base)


@pytest.mark.validate
def test_response_categories_leave_the_likelihood_of_a_twin_unchanged(myeloma, myeloma_record, compiled, at_medians):
    told = replace(myeloma_record, events=(*myeloma_record.events, event("progression", 160, "serological")))
    hyper = at_medians(myeloma, 0.5)
    psi = prior_mean(myeloma, hyper, jnp.zeros(len(myeloma.effects)))
    one, two = (
        compiled[0](myeloma)(psi, hyper, compile_record(myeloma, r, sizes=(16, 64)), 0.5)
        for r in (myeloma_record, told)
    )
    assert float(total_log_likelihood(one)) == float(total_log_likelihood(two))


@pytest.fixture
def ways_of(two_ways_out, compiled, at_medians):
    """(alive, other) of a record where there are two ways to progress and two to die."""

    def terms(*events):
        data = compile_record(two_ways_out, PatientRecord("P-001", events=events), sizes=(4, 8))
        pieces = compiled[0](two_ways_out)(jnp.log(jnp.array([H])), at_medians(two_ways_out), data, 0.0)
        return float(pieces.alive[0]), float(pieces.other[0])

    return terms


def test_a_death_of_a_named_cause_counts_with_the_hazard_of_that_cause_and_survival_of_all(ways_of):
    base, survived = event("last_known_alive", 20), -H * 450.0 - Q * 30.0
    assert ways_of(base, event("death", 30, "sepsis"))[0] == pytest.approx(np.log(Q) + survived, rel=1e-6)
    assert ways_of(base, event("death", 30))[0] == pytest.approx(np.log(H * 30.0 + Q) + survived, rel=1e-6)


def test_progression_of_a_named_kind_counts_with_its_share_and_kinds_add_up_to_the_unnamed(ways_of):
    base = event("assessed", 14)
    any_kind, outside = (ways_of(base, event("progression", 25, kind))[1] for kind in ("imaging", "new plasmacytoma"))
    assert any_kind == pytest.approx(np.log(np.exp(-4 * Q * 14) - np.exp(-4 * Q * 25)), rel=1e-6)
    assert outside - any_kind == pytest.approx(np.log(3.0 / 4.0), rel=1e-5)


def test_a_cause_that_is_told_later_counts_as_a_change(two_ways_out):
    before, after = (PatientRecord("P-1", events=(event("death", 30, cause),)) for cause in ("", "sepsis"))
    assert (ways_named(two_ways_out, before), ways_named(two_ways_out, after)) == ((0, 0), (2, 0))


def test_two_deaths_are_refused(hazards_in_closed_form):
    record = PatientRecord("P-001", events=(event("death", 10), event("death", 12)))
    with pytest.raises(RecordError, match=r"patient P-001.*two deaths.*\[10.0, 12.0\].*Retract one"):
        vital_facts(hazards_in_closed_form, record)


def test_a_lab_after_death_is_refused_with_the_time_allowed(hazards_in_closed_form, make_lab):
    record = PatientRecord("P-001", labs=(make_lab("size", 40, 1.0),), events=(event("death", 12),))
    with pytest.raises(
        RecordError, match=r"recorded after death.*40.0.*times up to 13, a day after the death.*Correct the date"
    ):
        vital_facts(hazards_in_closed_form, record)


def test_a_lab_on_the_day_of_death_moves_the_death_to_it(hazards_in_closed_form, make_lab):
    model, labs = hazards_in_closed_form, (make_lab("size", 12.4, 1.0),)
    records = [PatientRecord("P-001", labs=labs, events=(event("death", time),)) for time in (12, 12.4)]
    dated, timed = ({k: v for k, v in vital_facts(model, record).items()} for record in records)
    assert dated == timed and dated["death"] == 12.4
    for one, other in zip(*(jax.tree.leaves(compile_record(model, record)) for record in records), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("day", ["2026-01-13", "2026-01-12", "2026-01-11"])
def test_what_the_readers_accept_near_a_death_stops_no_cohort(hazards_in_closed_form, day):
    model = hazards_in_closed_form
    tables = {
        "patients": "patient,time_zero\nP-1,2026-01-01\n",
        "labs": f"patient,time,output,value,unit\nP-1,{day}T08:30,size,1,1\n",
        "events": "patient,time,event\nP-1,2026-01-12,death\n",
    }
    reading = read_records(model.record_schema(), **{k: pd.read_csv(StringIO(t), dtype=str) for k, t in tables.items()})
    assert bool(reading.refusals) == (day == "2026-01-13")
    assert any("counts from the last of them" in note for note in reading.notes) == (day == "2026-01-12")
    assert vital_facts(model, reading.cohort["P-1"])["death"] == (11 + 8.5 / 24 if day == "2026-01-12" else 11.0)


@pytest.mark.parametrize("name", ["other", "imaging", "transfusion", "assessed", "last_known_alive", "leukapheresis"])
def test_what_says_nothing_before_time_zero_leaves_the_initial_state_where_it_is(
    hazards_in_closed_form, make_lab, name
):
    labs, model = (make_lab("size", 0, 1.0), make_lab("size", 9, 1.0)), hazards_in_closed_form
    without, beside = (PatientRecord("P-001", labs=labs, events=events) for events in ((), (event(name, -400),)))
    assert beginning(beside) == beginning(without) == 0.0
    for one, other in zip(*(jax.tree.leaves(compile_record(model, r)) for r in (without, beside)), strict=True):
        np.testing.assert_array_equal(one, other)
    earlier = PatientRecord(
        "P-001", labs=(*labs, make_lab("size", -3, 1.0)), events=(event("infusion", -5, "ide_cel"),)
    )
    assert beginning(earlier) == -5.0


@pytest.mark.parametrize("name", ["assessed", "progression", "last_known_alive", "death", "imaging", "transfusion"])
def test_states_are_solved_up_to_the_time_of_the_newest_information(hazards_in_closed_form, make_lab, name):
    """An imaging was proof of life but no newer information: the state ran ahead of the clock of its twin."""
    model, labs = hazards_in_closed_form, (make_lab("size", 4, 1.0),)
    record = PatientRecord("P-001", labs=labs, events=(event(name, 30, "imaging"),))
    assert information_time(record) == compile_record(model, record).timeline.end.max() == 30.0
    assert vital_facts(model, record)["alive" if name != "death" else "death"] == 30.0


def test_a_first_imaging_before_time_zero_leaves_the_clock_at_the_initial_state():
    record = PatientRecord("P-001", events=(event("imaging", -400),))
    assert information_time(record) == beginning(record) == 0.0


def test_an_imaging_that_is_planned_says_nothing_until_it_was_done(hazards_in_closed_form, make_lab):
    planned = replace(event("imaging", 150, "PET-CT"), known_time=31.0)
    record = PatientRecord("P-001", labs=(make_lab("size", 31, 1.0),), events=(planned,))
    assert information_time(record) == vital_facts(hazards_in_closed_form, record)["alive"] == 31.0
    done = replace(record, events=(replace(planned, known_time=150.0),))
    assert information_time(done) == vital_facts(hazards_in_closed_form, done)["alive"] == 150.0


@pytest.mark.parametrize("name", ["infusion", "line_of_therapy"])
def test_a_treatment_that_was_given_is_information_and_one_that_is_planned_is_none(
    hazards_in_closed_form, make_lab, name
):
    """events.csv is what happened: known by its own day it counts, and forecasts begin after it."""
    given = event(name, 49, "ide_cel")
    record = PatientRecord("P-001", labs=(make_lab("size", 4, 1.0),), events=(given,))
    assert information_time(record) == vital_facts(hazards_in_closed_form, record)["alive"] == 49.0
    planned = replace(record, events=(replace(given, known_time=4.0),))
    assert information_time(planned) == vital_facts(hazards_in_closed_form, planned)["alive"] == 4.0


def test_planned_doses_are_no_information_about_the_patient(make_lab):
    record = PatientRecord("P-001", labs=(make_lab("size", 4, 1.0),), doses=(DoseEvent(49.0, 100.0, "central"),))
    assert information_time(record) == 4.0
