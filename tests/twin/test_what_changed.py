"""What counts as a change of the past, and what is only the future."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from level_model import LEVEL

from bayestwin.dosing import DoseEvent
from bayestwin.errors import RecordError
from bayestwin.individual import compile_record, information_time
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.records.record import Superseded
from bayestwin.specification import load_model
from bayestwin.twin import predict_labs, start_twin, update_twin
from bayestwin.twin.compare import difference
from bayestwin.twin.oracle import start_applied


@pytest.fixture(scope="module")
def at_two(level_population, level_record, sizes):
    """A twin that has learnt labs of days 1 and 2."""
    return start_twin(level_population, level_record((20.0, 21.0)), random_seed=1, **sizes)


def drug(time):
    return ClinicalEvent("line_of_therapy", time, time, "drug")


def test_a_treatment_on_the_day_of_the_last_lab_is_not_a_change_of_the_past(
    at_two, level_record, level_population, apart
):
    record = replace(level_record((20.0, 21.0, 13.0)), events=(drug(2.0),))
    change = difference(at_two, record)
    assert change.later_only and not change.taken_away
    twin, info = update_twin(at_two, record, random_seed=2, population=level_population)
    assert info.path in ("reweight", "rejuvenate")
    assert twin.response_probability()["drug"] < 0.05  # the lab fell by the drug's effect


def test_a_treatment_between_the_last_lab_and_an_imaging_is_in_the_state(level_model, level_record):
    """The state was solved to the imaging, without what came after the last lab, and its clock stood at the lab."""
    seen = ClinicalEvent("imaging", 30.0, 30.0, "PET")
    record = replace(level_record((20.0, 21.0)), events=(drug(10.0), seen))
    assert compile_record(level_model, record).timeline.jump.sum() == 1.0
    twin = SimpleNamespace(model=level_model, record=record, time=information_time(record), applied=False)
    next_lab = difference(twin, replace(level_record((20.0, 21.0, 13.0), (1, 2, 31)), events=(drug(10.0), seen)))
    assert next_lab.later_only
    assert not difference(twin, replace(level_record((20.0, 21.0, 13.0)), events=(drug(10.0), seen))).later_only


def test_a_treatment_before_the_last_lab_is_a_change_of_the_past(at_two, level_record):
    change = difference(at_two, replace(level_record((20.0, 21.0)), events=(drug(1.5),)))
    assert change.taken_away and "doses or treatments up to 2 changed" in change.why


def test_a_dose_on_the_time_of_the_last_lab_is_still_to_come(theophylline, sizes):
    record = theophylline.patients[0].with_labs(theophylline.patients[0].labs[:2])
    twin = start_twin(theophylline.population, record, random_seed=1, **sizes)
    last = record.labs[-1].time
    again = replace(record, doses=(*record.doses, DoseEvent(last, 100.0, "depot", known_time=last)))
    earlier = replace(record, doses=(*record.doses, DoseEvent(0.1, 100.0, "depot", known_time=last)))
    assert not difference(twin, again).taken_away
    assert difference(twin, earlier).taken_away


def test_the_clock_of_knowing_is_no_change_of_content(at_two, level_record):
    record = level_record((20.0, 21.0))
    later = replace(record, labs=tuple(replace(lab, known_time=9.0) for lab in record.labs))
    assert difference(at_two, later).nothing


def test_a_covariate_the_model_does_not_use_changes_nothing(at_two, theophylline, level_record, sizes):
    assert difference(at_two, replace(level_record((20.0, 21.0)), covariates={"weight_kg": 80.0})).nothing
    record = theophylline.patients[0].with_labs(())
    twin = start_twin(theophylline.population, record, random_seed=1, **sizes)
    heavier = replace(record, covariates={"weight_kg": 120.0})
    assert "covariate weight_kg changed" in difference(twin, heavier).why


def test_a_covariate_that_changed_in_the_past_is_taken_away_and_one_that_changes_later_is_not(theophylline):
    def weighed(*changes):
        events = tuple(ClinicalEvent("covariate", t, t, f"weight_kg = {w}") for t, w in changes)
        return replace(theophylline.patients[0], events=events)

    twin = SimpleNamespace(model=theophylline.model, time=10.0, applied=False, record=weighed((5.0, 70.0)))
    assert difference(twin, weighed((5.0, 70.0))).nothing
    later = difference(twin, weighed((5.0, 70.0), (10.5, 72.0)))
    assert not later.nothing and not later.taken_away and later.later_only
    for changes in (((5.0, 71.0),), ((5.0, 70.0), (10.0, 72.0)), ()):
        change = difference(twin, weighed(*changes))
        assert change.taken_away and "a covariate up to 10 changed" in change.why


def test_the_record_begins_later_where_what_it_began_with_is_withdrawn_or_moved(level_model, level_record):
    """The relapse of a line before, read from labs: it says nothing but when the initial state was."""
    relapse, record = ClinicalEvent("progression", -30.0, -30.0, "m_protein"), level_record((20.0, 21.0))
    seen = replace(record, events=(relapse,))
    twin = SimpleNamespace(model=level_model, record=seen, time=2.0, applied=False)
    for events in ((), (replace(relapse, time=-5.0),)):
        change = difference(twin, replace(record, events=events))
        assert change.taken_away and "what the record began with, at -30" in change.why
    assert difference(twin, seen).nothing


@pytest.mark.parametrize(("kind", "word"), [("death", "sepsis"), ("progression", "plasmacytoma")])
def test_a_way_of_death_or_progression_that_is_named_later_is_learnt(kind, word):
    model = load_model("myeloma_car_t")
    labs = tuple(Lab(f"m@{t}", "m_protein", float(t), 10.0, float(t)) for t in (1, 30))
    treated = ClinicalEvent("line_of_therapy", 0.0, 0.0, model.treatment_names[0])

    def record(way):
        return PatientRecord("M-1", labs=labs, events=(treated, ClinicalEvent(kind, 80.0, 80.0, way)))

    without = "" if kind == "death" else "imaging"
    twin = SimpleNamespace(model=model, record=record(without), time=80.0, applied=False)
    assert difference(twin, record(without)).nothing
    change = difference(twin, record(word))
    assert not change.nothing and not change.taken_away
    assert not change.later_only  # the way is of the past: the particles are solved anew
    alive = replace(twin.record, events=(treated,))
    news = difference(SimpleNamespace(model=model, record=alive, time=30.0, applied=False), record(word))
    assert news.later_only == (kind == "death") and not news.nothing


OLDER = "the record is older than the twin: its newest row became known at 1, the twin's at 2: m_protein at 2, expected"


def test_a_record_older_than_the_twin_is_refused_with_both_times(at_two, level_record, level_population):
    older = level_record((20.0,))
    with pytest.raises(RecordError, match=f"patient L-1, record: {OLDER} .* allow_older=True"):
        update_twin(at_two, older, random_seed=2, population=level_population)
    with pytest.raises(RecordError, match="its record holds no row, the twin's at 2"):
        update_twin(at_two, level_record(()), random_seed=2, population=level_population)
    assert len(at_two.record.labs) == 2
    back, info = update_twin(at_two, older, random_seed=2, population=level_population, allow_older=True)
    assert len(back.record.labs) == 1 and "m_protein at 2 retracted; its newest row became" in info.reasons[0]


@pytest.mark.parametrize(("event", "at"), [("last_known_alive", 5.0), ("death", 6.0)])
def test_a_record_without_the_newest_event_is_older_too(level_model, level_record, event, at):
    record = level_record((20.0, 21.0))
    seen = replace(record, events=(ClinicalEvent(event, at, at),))
    twin = SimpleNamespace(model=level_model, record=seen, time=2.0, applied=False)
    assert (
        difference(twin, record).older == f"its newest row became known at 2, the twin's at {at:g}: {event} at {at:g}"
    )
    moved = ClinicalEvent(event, at - 2.0, at - 2.0)  # a death by another date is the same death
    assert bool(difference(twin, replace(record, events=(moved,))).older) == (event != "death")


def test_what_is_withdrawn_corrected_or_lies_after_a_death_makes_no_record_older(at_two, level_record):
    older, record = level_record((20.0,)), level_record((20.0, 21.0))
    withdrawn = replace(older, past=(Superseded(record.labs[1], until=3.0),))
    change = difference(at_two, withdrawn)
    assert change.why == "m_protein at 2 retracted" and not change.older
    assert not difference(at_two, level_record((21.0,), (2,))).older  # of an earlier lab, and the newest row is there
    corrected = record.with_labs((record.labs[0], replace(record.labs[1], value=12.0)))
    assert "corrected" in difference(at_two, corrected).why and not difference(at_two, corrected).older
    died = difference(at_two, replace(older, events=(ClinicalEvent("death", 1.5, 1.5),)))
    assert died.taken_away and not died.older


def test_a_derived_reading_does_not_say_that_the_doses_of_its_time_are_in_the_state(tmp_path, level_record):
    output, observation = 'outputs={"m_protein": lambda t, y, p, u: y.level', "positive=False),)"
    derived = (
        ' Observation("response", unit="g/L", error=Additive(sd=Fixed(value=1.5)), plausible=(-100.0, 100.0),'
        ' positive=False, derived_from=("m_protein",), derived_within=0.5),)'
    )
    source = LEVEL.replace(output, output + ', "response": lambda t, y, p, u: y.level')
    (tmp_path / "model.py").write_text(source.replace(observation, observation[:-1] + derived), encoding="utf-8")
    model, record = load_model(tmp_path), level_record((20.0, 20.5), drug_at=2.0)
    reading = Lab("r@2", "response", 2.0, 20.0, 2.0, order=1)
    assert not start_applied(model, record.with_labs((*record.labs, reading)))
    assert start_applied(model, record.with_labs((*record.labs, replace(reading, output="m_protein"))))
    alone = record.with_labs((record.labs[0], reading))  # of no lab within its time: one of its own
    assert start_applied(model, alone)


def test_a_lab_that_comes_with_a_correction_is_forecast_too(at_two, level_population, level_record, sizes):
    """A restart from scratch said nothing of it, and counted every lab of the record as new."""
    record = level_record((20.0, 21.4, 205.0))
    _, info = update_twin(at_two, record, random_seed=2, population=level_population)
    assert info.path == "oracle" and info.new_labs == 2  # the corrected one and the new one
    corrected = start_twin(level_population, level_record((20.0, 21.4)), random_seed=2, **sizes)
    assert info.surprise == predict_labs(corrected, record, random_seed=2)
    assert [s.alarm for s in info.surprise] == ["ten times too high"]
    _, alone = update_twin(at_two, level_record((20.0, 21.4)), random_seed=2, population=level_population)
    assert alone.surprise == () and alone.new_labs == 1
