"""Words for below and above a limit of what is measured: MRD negative at a sensitivity."""

import pytest

from bayestwin.labs import LabSpec, RecordSchema

SCHEMA = RecordSchema(
    model="m",
    time_unit="day",
    labs={
        "mrd": LabSpec("mrd", "cells/cell", (0, 1), scale="ln", findings=("negative", "positive")),
        "transgene": LabSpec("transgene", "copies/ug", (0, 1e8), scale="ln"),
    },
)
HEAD = "patient,time,output,value,value_to,unit,comparator,lloq\n"


def row(value, value_to="", unit="1", comparator="", lloq="", output="mrd"):
    return f"P1,90,{output},{value},{value_to},{unit},{comparator},{lloq}\n"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"value": "negative", "lloq": "1e-5"}, ("left", 1e-5, None)),
        ({"value": "Negative", "lloq": "0.001", "unit": "%"}, ("left", 1e-5, None)),
        ({"value": "negative", "lloq": "1", "unit": "10*-5"}, ("left", 1e-5, None)),
        ({"value": "positive", "lloq": "1e-6"}, ("right", 1e-6, None)),
        ({"value": "<1e-5"}, ("left", 1e-5, None)),
        ({"value": "<1e-5", "lloq": "0.00001"}, ("left", 1e-5, None)),
        ({"value": "1e-6", "value_to": "1e-5"}, ("interval", 1e-6, 1e-5)),
        ({"value": "3e-4"}, ("none", 3e-4, None)),
        ({"value": "0", "lloq": "1e-5"}, ("left", 1e-5, None)),
    ],
)
def test_a_finding_is_a_measurement_below_or_above_the_limit_of_its_row(read, cells, expected):
    reading = read(schema=SCHEMA, labs=HEAD + row(**cells))
    assert not reading.refusals, reading.summary()
    (lab,) = reading.cohort["P1"].labs
    assert (lab.censoring, lab.value, lab.upper) == expected


@pytest.mark.parametrize(
    ("cells", "column", "found", "says", "allowed"),
    [
        ({"value": "negative"}, "lloq", "", "a negative mrd needs the limit it was looked for at", "sensitivity"),
        ({"value": "positive", "lloq": "0"}, "lloq", "'0'", "a positive mrd needs the limit", "above 0"),
        ({"value": "<1e-5", "lloq": "1e-3"}, "value", "'<1e-5'", "below 1e-05 and, in lloq, below 0.001", "one limit"),
        ({"value": "weak", "lloq": "1e-5"}, "value", "'weak'", "no finding of mrd", "negative or positive with the li"),
        ({"value": "failed", "lloq": "1e-5"}, "value", "'failed'", "that is missing, not a finding", "or a number"),
        ({"value": "negative", "comparator": "<", "lloq": "1e-5"}, "comparator", "'<'", "no finding", "or a number"),
        ({"value": "<negative", "lloq": "1e-5"}, "value", "'<negative'", "no finding of mrd", "or a number"),
        ({"value": "negative", "value_to": "1e-5"}, "value", "'negative'", "not a number", "a finite number"),
        ({"value": "negative", "lloq": "1e-5", "unit": ""}, "unit", "", "mrd has no unit", "cells/cell"),
        ({"value": "negative", "lloq": "5"}, "lloq", "'5'", "In % it would be plausible", "0 to 1"),
        ({"value": "negative", "lloq": "-1e-5"}, "lloq", "'-1e-5'", "cannot be negative", "more than 0"),
        ({"value": "0"}, "value", "'0'", "comparator < instead", "more than 0"),
        ({"value": "negative", "lloq": "50", "output": "transgene"}, "value", "'negative'", "not a number", "a finite"),
    ],
)  # fmt: skip
def test_what_is_no_finding_is_refused_with_patient_place_value_and_what_is_allowed(
    read, cells, column, found, says, allowed
):
    reading = read(schema=SCHEMA, labs=HEAD + row(**cells))
    (refusal,) = reading.refusals
    said = str(refusal)
    assert refusal.column == column and said.startswith("patient P1, labs.csv row 2, "), said
    assert found in said and says in said and allowed in refusal.allowed and refusal.next_step, said
    assert not list(reading.cohort) or not reading.cohort["P1"].labs  # nothing was learnt from it
