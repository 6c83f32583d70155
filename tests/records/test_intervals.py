"""Labs known to lie between two limits: as written in labs.csv, what an end must be, and who they are."""

import pytest

from bayestwin.errors import RecordError
from bayestwin.records import Lab, PatientRecord

HEAD = "patient,time,output,value,value_to,unit,comparator,lloq,known_time\n"


def row(value="5", value_to="10", unit="g/L", comparator="", output="m_protein", lloq="", known=""):
    return f"P1,0,{output},{value},{value_to},{unit},{comparator},{lloq},{known}\n"


def only_lab(reading):
    assert not reading.refusals, reading.summary()
    (lab,) = reading.cohort["P1"].labs
    return lab


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, ("interval", 5.0, 10.0)),
        ({"value": "0.5", "value_to": "1", "unit": "g/dL"}, ("interval", 5.0, 10.0)),  # both ends are converted
        ({"lloq": "7"}, ("interval", 5.0, 10.0)),
        ({"value": "0"}, ("left", 10.0, 10.0)),  # the lower end says nothing of a quantity that cannot be negative
        ({"output": "involved_flc", "value": "0.05", "value_to": "2", "unit": "mg/L"}, ("left", 2.0, 2.0)),
        ({"value_to": ""}, ("none", 5.0, None)),
    ],
)
def test_value_to_is_the_upper_end_of_an_interval(read, cells, expected):
    lab = only_lab(read(labs=HEAD + row(**cells)))
    assert (lab.censoring, lab.value, lab.limit) == expected
    assert (lab.upper, lab.level) == ((10.0, 7.5) if expected[0] == "interval" else (None, lab.value))


def test_a_lower_end_that_says_nothing_is_noted(read):
    reading = read(labs=HEAD + row(value="0"))
    assert any("the lower says nothing, used as below the upper: 1 row." in note for note in reading.notes)


@pytest.mark.parametrize(
    ("cells", "column", "says"),
    [
        ({"value": "10", "value_to": "5"}, "value_to", "no interval"),
        ({"value_to": "5"}, "value_to", "no interval"),
        ({"comparator": "<"}, "comparator", "beside an interval"),
        ({"value": "<5"}, "comparator", "beside an interval"),
        ({"value": ""}, "value", "missing"),
        ({"lloq": "20"}, "value_to", "the row says below 10, and nothing below its lloq of 20 can be told"),
        ({"value_to": "ten"}, "value_to", "number"),
        ({"value_to": "900"}, "value_to", "In mg/dL it would be plausible"),
        ({"value": "130", "value_to": "150"}, "value", "implausible"),
        ({"unit": ""}, "unit", "factor of ten"),
        ({"output": "ife_serum", "value": "0", "value_to": "1", "unit": ""}, "value_to", "finding in words"),
    ],
)
def test_an_interval_that_is_none_is_refused_with_column_and_advice(read, cells, column, says):
    (refusal,) = read(labs=HEAD + row(**cells)).refusals
    assert refusal.column == column and says in str(refusal) and refusal.allowed and refusal.next_step, str(refusal)


def test_another_upper_end_is_another_value_and_the_same_one_a_duplicate(read):
    first, other = row(known="1"), row(value_to="12", known="5")
    assert only_lab(read(labs=HEAD + first + other)).upper == 12.0
    (refusal,) = read(labs=HEAD + first + row(known="1")).refusals
    assert "duplicate" in refusal.reason
    (refusal, _) = read(labs=HEAD + row() + row(value_to="12")).refusals
    assert "duplicate" not in refusal.reason


def test_records_without_intervals_keep_the_hash_they_had():
    labs = (
        Lab("a", "m", 1.0, 5.0, 1.0),
        Lab("b", "m", 2.0, 0.5, 2.0, "left", 0.5),
        Lab("c", "m", 3.0, 9.0, 4.0, "right", 9.0, "central", "ide_cel"),
    )
    found = PatientRecord("P-1", labs=labs, covariates={"age_years": 60.0}).data_hash
    assert found == "4d024995917b8dc545038a21343381d4766b9c3846da195cd4271e4033923cb1"
    moved = [PatientRecord("P-1", labs=(Lab("a", "m", 1.0, 5.0, 1.0, "interval", end),)) for end in (10.0, 12.0)]
    assert moved[0].data_hash != moved[1].data_hash


@pytest.mark.parametrize("limit", [None, 5.0, 4.0])
def test_a_lab_made_as_an_interval_without_a_higher_end_is_refused(limit):
    with pytest.raises(RecordError, match="lab a: .*interval"):
        Lab("a", "m", 1.0, 5.0, 1.0, "interval", limit)
