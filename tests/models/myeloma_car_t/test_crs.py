"""ASTCT grade of cytokine release: the consensus table cell by cell, and ranges where something was not recorded."""

import itertools

import pytest
from myeloma_records import MYELOMA

from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification.load import model_part

CRS = model_part(MYELOMA, "crs")
FEVER = {"temperature": 38.6, "hypotension": 0, "vasopressors": 0, "oxygen": "none"}


@pytest.mark.parametrize(
    ("changed", "grade"),
    [
        ({"temperature": 37.9}, 0),
        ({"temperature": 38.0}, 1),
        ({}, 1),
        ({"hypotension": 1}, 2),
        ({"oxygen": "low flow"}, 2),
        ({"hypotension": 1, "oxygen": "low flow"}, 2),
        ({"hypotension": 1, "vasopressors": 1}, 3),
        ({"oxygen": "high flow"}, 3),
        ({"oxygen": "mask"}, 3),
        ({"hypotension": 1, "vasopressors": 1, "oxygen": "low flow"}, 3),
        ({"hypotension": 1, "vasopressors": 2}, 4),
        ({"oxygen": "positive pressure"}, 4),
        ({"temperature": 37.0, "hypotension": 1, "vasopressors": 1}, 0),
        ({"temperature": 37.0, "hypotension": 1, "vasopressors": 1, "fever_masked": True}, 3),
        ({"temperature": 37.0, "fever_masked": True}, 0),
        ({"died": True}, 5),
    ],
)
def test_a_day_whose_signs_are_all_known(changed, grade):
    assert CRS.crs_grade(**{**FEVER, **changed}).value == grade


@pytest.mark.parametrize(
    ("known", "low", "high", "missing"),
    [
        ({"temperature": 38.6}, 1, 4, ("oxygen", "vasopressors", "hypotension")),
        ({"temperature": 37.0}, 0, 0, ()),
        ({"temperature": 38.6, "oxygen": "low flow", "vasopressors": 0, "hypotension": None}, 2, 2, ()),
        ({"temperature": 38.6, "oxygen": "low flow"}, 2, 4, ("vasopressors", "hypotension")),
        ({"temperature": 38.6, "oxygen": "none", "hypotension": 0}, 1, 1, ()),
        ({"temperature": 38.6, "oxygen": "none", "hypotension": 1}, 2, 4, ("vasopressors",)),
        ({"oxygen": "high flow", "vasopressors": 0, "hypotension": 0}, 0, 3, ("temperature",)),
        ({"temperature": 38.6, "oxygen": "positive pressure"}, 4, 4, ()),
        ({}, 0, 4, ("temperature", "oxygen", "vasopressors", "hypotension")),
    ],
)
def test_what_was_not_recorded_gives_a_range(known, low, high, missing):
    assert CRS.crs_grade(**known) == CRS.Grade(low, high, missing)


def test_a_range_holds_every_grade_that_the_missing_signs_could_give():
    values = {
        "temperature": (37.0, 39.0),
        "hypotension": (0, 1),
        "vasopressors": (0, 1, 2),
        "oxygen": tuple(CRS.OXYGEN),
    }
    for whole in itertools.product(*values.values()):
        signs = dict(zip(values, whole))
        if signs["vasopressors"] and not signs["hypotension"]:
            continue
        grade = CRS.crs_grade(**signs).value
        for hidden in itertools.chain.from_iterable(itertools.combinations(values, k) for k in range(5)):
            part = CRS.crs_grade(**{k: (None if k in hidden else v) for k, v in signs.items()})
            assert part.low <= grade <= part.high, (signs, hidden)


def watched(rows, events=()):
    """A patient infused on day 10, with rows (output, day, value)."""
    labs = tuple(Lab(f"L{k}", o, d, v, d) for k, (o, d, v) in enumerate(rows))
    given = (ClinicalEvent("infusion", 10.0, 10.0, "ide_cel"), *events)
    return PatientRecord("P", labs=labs, events=given)


def all_day(day, temperature, oxygen=0.0, vasopressors=0.0, hypotension=0.0):
    signs = {"temperature": temperature, "oxygen": oxygen, "vasopressors": vasopressors, "hypotension": hypotension}
    return [(output, day, value) for output, value in signs.items()]


def test_the_highest_grade_of_a_record_by_day():
    rows = [*all_day(11.2, 38.4), *all_day(12.1, 39.0, oxygen=2.0), *all_day(12.8, 38.0), *all_day(14.0, 37.0)]
    record = watched(rows)
    assert {day: grade.value for day, grade in CRS.crs_by_day(record, 10.0).items()} == {1: 1, 2: 2, 4: 0}
    assert CRS.crs_sentences(record, 10.0) == ("CRS grade (ASTCT): highest 2, day 2 after the cells",)


def test_after_tocilizumab_fever_is_no_longer_needed():
    rows = [*all_day(11.0, 38.4), *all_day(12.5, 37.0, vasopressors=1.0, hypotension=1.0)]
    assert CRS.crs_by_day(watched(rows), 10.0)[2].value == 0
    given = (ClinicalEvent("other", 12.0, 12.0, "Tocilizumab 8 mg/kg"),)
    assert CRS.crs_by_day(watched(rows, given), 10.0)[2].value == 3


@pytest.mark.parametrize(
    ("drug", "masks"),
    [
        ("prednisolone 100 mg", True),
        ("Prednisone", True),
        ("methylprednisolone 1 g", True),
        ("hydrocortisone", True),
        ("Dexamethason", True),
        ("glucocorticoids", True),
        ("paracetamol 1 g", True),
        ("Metamizole", True),
        ("cefepime", False),
        ("red cells", False),
    ],
)
def test_every_steroid_and_antipyretic_hides_fever_and_an_antibiotic_does_not(drug, masks):
    rows = [*all_day(11.0, 38.4), *all_day(12.5, 36.9, oxygen=3.0, vasopressors=1.0, hypotension=1.0)]
    given = (ClinicalEvent("other", 11.6, 11.6, drug),)
    assert CRS.crs_by_day(watched(rows, given), 10.0)[2].value == (3 if masks else 0)


def test_what_was_not_recorded_is_named_and_a_death_of_it_is_grade_5():
    said = CRS.crs_sentences(watched([("temperature", 12.0, 38.5)]), 10.0)[0]
    assert said == (
        "CRS grade (ASTCT): highest 1 to 4, day 2 after the cells; missing: hypotension, oxygen, vasopressors"
    )
    assert "not available" in CRS.crs_sentences(watched([]), 10.0)[0]
    died = (ClinicalEvent("death", 15.0, 15.0, "cytokine release syndrome"),)
    assert "highest 5, day 5" in CRS.crs_sentences(watched(all_day(12.0, 38.5), died), 10.0)[0]
