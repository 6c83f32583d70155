"""What was believed at an earlier moment is what the rows known by then say, and nothing that came later."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayestwin.labs import RecordSchema
from bayestwin.records import read_records
from bayestwin.records.record import AT_FIRST, covariate_changes

LABS = "patient,time,known_time,output,value,unit\n1,0,0,concentration,3,mg/L\n1,24,24,concentration,3,mg/L\n"
EVENTS = "patient,time,known_time,event,value,status\n"
EARLY, LATE = "1,0,0,covariate,weight_kg = 70,\n", "1,0,200,covariate,weight_kg = "


@pytest.fixture
def by_weight(theophylline) -> RecordSchema:
    return replace(theophylline, covariates={"weight_kg": "kg"}, effects=("weight_kg",), numeric=("weight_kg",))


@pytest.mark.parametrize(
    "lines, then, now",
    [
        (LATE + "120,\n", None, 120.0),
        (EARLY + LATE + "120,corrected\n", 70.0, 120.0),
        (EARLY + LATE + "70,retracted\n", 70.0, None),
    ],
)
def test_a_first_value_said_corrected_or_withdrawn_late_was_not_known_before(read, by_weight, lines, then, now):
    reading = read(by_weight, labs=LABS, events=EVENTS + lines)
    record, earlier = reading.cohort["1"], reading.at(100)["1"]
    assert not reading.refusals
    assert (record.covariates.get("weight_kg"), earlier.covariates.get("weight_kg")) == (now, then)
    assert covariate_changes(earlier, ("weight_kg",)) == covariate_changes(record, ("weight_kg",)) == []


def test_the_value_of_patients_csv_was_always_known(read, by_weight):
    reading = read(by_weight, patients="patient,weight_kg\n1,80\n", labs=LABS, events=EVENTS + LATE + "80,\n")
    record, earlier = reading.cohort["1"], reading.at(100)["1"]
    assert earlier.covariates == record.covariates == {"weight_kg": 80.0}
    assert [e.event for e in record.events] == ["covariate", AT_FIRST] and not earlier.events
    assert reading.at(300)["1"] == record


@st.composite
def statements(draw):
    """Labs and statements of a weight, some corrected or withdrawn; no two rows become known at one time."""
    known = iter(draw(st.permutations(range(20, 60))))
    labs = [
        ("1", str(time), str(next(known)), "concentration", "3", "mg/L") for time in draw(st.sets(st.integers(0, 3)))
    ]
    events = []
    for time in draw(st.sets(st.integers(0, 3), max_size=3)):
        for later in range(draw(st.integers(1, 3))):
            status = draw(st.sampled_from(("corrected", "retracted"))) if later else ""
            weight = f"weight_kg = {draw(st.integers(50, 99))}"
            events.append(("1", str(time), str(next(known)), "covariate", weight, status))
    return labs, events, draw(st.sampled_from((None, "80")))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=statements(), asked=st.integers(20, 60))
def test_what_was_known_at_a_time_is_what_the_rows_known_by_then_give(by_weight, history, asked):
    labs, events, listed = history

    def read_until(known):
        tables = {"patients": pd.DataFrame([("1", listed)], columns=["patient", "weight_kg"], dtype=str)}
        for name, rows, text in (("labs", labs, LABS), ("events", events, EVENTS)):
            head = text.split("\n")[0].split(",")
            tables[name] = pd.DataFrame([r for r in rows if int(r[2]) <= known], columns=head, dtype=str)
        return read_records(by_weight, **tables)

    whole = read_until(100)
    if whole.refusals:  # a withdrawal before what it withdraws, say: then the two readings differ by what was refused
        return
    assert whole.cohort["1"].known_at(asked) == read_until(asked).cohort["1"]
