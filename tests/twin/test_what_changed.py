"""What counts as a change of the past, and what is only the future."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.individual import compile_record, information_time
from bayestwin.records import ClinicalEvent
from bayestwin.twin import start_twin, update_twin
from bayestwin.twin.compare import difference


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
