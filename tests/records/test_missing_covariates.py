"""A covariate that the model may integrate over: an empty cell is no fault, and what is missing is said."""

from dataclasses import replace

import pytest

from bayestwin.records import read_records
from bayestwin.specification import load_model

HEAD = "ID,TIME,AMT,DV,EVID,WT\n"


@pytest.fixture
def read(tmp_path):
    """The reading of an event table of phenobarbital, weights missing or not."""
    schema = load_model("phenobarbital").record_schema()

    def of(rows: str, **changes):
        (tmp_path / "table.csv").write_text(HEAD + rows, encoding="utf-8")
        return read_records(replace(schema, **changes), event_table=tmp_path / "table.csv")

    return of


def test_an_empty_cell_of_the_first_row_is_a_missing_value_and_not_a_fault(read):
    rows = "1,0,25,.,1,.\n1,2,.,17.3,0,.\n2,0,25,.,1,1.4\n2,2,.,18.0,0,.\n"
    reading = read(rows)
    assert not reading.refusals and "weight_kg" not in reading.cohort["1"].covariates
    assert any("integrated over the model's distribution: weight_kg (1 of 2 patients)" in n for n in reading.notes)
    plain = read(rows, distributed=())
    assert any("missing at the patient's first record" in r.reason for r in plain.refusals)


def test_a_value_said_later_is_noted_as_holding_from_the_beginning(read):
    reading = read("1,0,25,.,1,.\n1,2,.,17.3,0,1.2\n")
    assert any(
        "weight_kg is not said at the first record; what is said at 2 is taken from the beginning" in n
        for n in reading.notes
    )
    assert not any("integrated over" in n and "weight_kg" in n for n in reading.notes)
