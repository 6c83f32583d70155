"""What is counted or graded, as written in labs.csv and in an event table."""

import pytest

from bayestwin.labs import LabSpec, RecordSchema

OWN = {"unit_required": False, "positive": False, "whole": True}
SCHEMA = RecordSchema(
    model="counts",
    time_unit="day",
    labs={
        "grade": LabSpec("grade", "grade", (0, 4), categories=(0, 1, 2, 3, 4), **OWN),
        "mrd": LabSpec("mrd", "", (0, 1), categories=(0, 1), words={"negative": 0.0, "positive": 1.0}, **OWN),
        "cells": LabSpec("cells", "cells", (0, 1e6), **OWN),
    },
)
HEAD = "patient,time,output,value,value_to,unit,comparator,lloq\n"


def row(output, value, value_to="", unit="", comparator="", lloq=""):
    return f"P1,0,{output},{value},{value_to},{unit},{comparator},{lloq}\n"


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        (("grade", "3"), 3.0),
        (("grade", "3.0", "", "grade"), 3.0),
        (("cells", "0"), 0.0),
        (("cells", "120000", "", "cells"), 120000.0),
        (("cells", "7", "", "1"), 7.0),
        (("mrd", "Negative"), 0.0),
        (("mrd", "1"), 1.0),
    ],
)
def test_whole_numbers_and_words_are_read_without_a_unit(read, cells, value):
    reading = read(schema=SCHEMA, labs=HEAD + row(*cells))
    assert not reading.refusals, reading.summary()
    (lab,) = reading.cohort["P1"].labs
    assert (lab.value, lab.censoring, lab.limit) == (value, "none", None)


@pytest.mark.parametrize(
    ("cells", "column", "says", "allowed"),
    [
        (("grade", "2.5"), "value", "grade = 2.5 is no whole number", "0, 1, 2, 3, 4"),
        (("grade", "5"), "value", "grade = 5 is not one of its values", "0, 1, 2, 3, 4"),
        (("grade", "severe"), "value", "", "a finite number"),
        (("grade", "2", "3"), "value_to", "does not lie beyond or between limits", "0, 1, 2, 3, 4"),
        (("mrd", "weak"), "value", "no finding of mrd", "negative (0), positive (1)"),
        (("cells", "-1"), "value", "not one of its values", "whole numbers from 0 to 1e+06"),
        (("cells", "1e7"), "value", "not one of its values", "whole numbers from 0 to 1e+06"),
        (("cells", "0.12"), "value", "no whole number", "whole numbers from 0 to 1e+06"),
        (("cells", "5", "", "", "<"), "value", "beyond or between limits", "whole numbers from 0 to 1e+06"),
        (("cells", "5", "", "", "", "10"), "lloq", "beyond or between limits", "whole numbers from 0 to 1e+06"),
        (("cells", "5", "", "10*9/L"), "unit", "has no other unit", "cells"),
    ],
)
def test_what_is_no_value_is_refused_with_row_column_value_and_advice(read, cells, column, says, allowed):
    (refusal,) = read(schema=SCHEMA, labs=HEAD + row(*cells)).refusals
    assert (refusal.row, refusal.column) == (2, column) and says in refusal.reason, str(refusal)
    assert allowed in refusal.allowed and refusal.next_step and "patient P1" in str(refusal)


def test_an_event_table_is_held_to_the_same_values(read):
    table = "ID,TIME,DV,DVID,CENS,EVID\nP1,0,3,grade,0,0\nP1,1,7,grade,0,0\nP1,2,5,cells,1,0\nP1,3,5,cells,0,0\n"
    reading = read(schema=SCHEMA, event_table=table)
    assert [lab.value for lab in reading.cohort["P1"].labs] == [3.0, 5.0]
    said = [str(refusal) for refusal in reading.refusals]
    assert "row 3, dv: grade = 7 is not one of its values" in said[0] and "0, 1, 2, 3, 4" in said[0]
    assert "row 4" in said[1] and "does not lie beyond or between limits" in said[1]
