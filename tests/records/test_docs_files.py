"""The examples in docs/files.md are read as the page says."""

import re
from pathlib import Path

import pytest

from bayestwin.labs import LabSpec, RecordSchema
from bayestwin.records.event_rows import EVENTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
EXAMPLES = {name: body for name, body in re.findall(r"```csv\n# (\w+)\.csv[^\n]*\n(.*?)```", PAGE, flags=re.S)}
MYELOMA = RecordSchema(
    model="myeloma",
    time_unit="day",
    labs={
        "m_protein": LabSpec("m_protein", "g/L", (0.0, 120.0)),
        "involved_flc": LabSpec("involved_flc", "mg/L", (0.1, 200_000.0)),
        "transgene": LabSpec("transgene", "copies/ug", (0.0, 1e8)),
        "mrd": LabSpec("mrd", "cells/cell", (0.0, 1.0), findings=("negative", "positive")),
    },
    compartments=("central",),
    routes={"iv": "central"},
    dose_unit="mg",
    treatments=("ide_cel", "cilta_cel", "teclistamab", "dara_pd"),
    infused=("ide_cel",),
    covariates={"weight_kg": "kg", "age_years": "year", "isotype": "", "extramedullary": ""},
)


def test_the_tidy_examples_read_without_a_refusal_and_mean_what_the_page_says(read):
    tables = {name: EXAMPLES[name] for name in ("patients", "labs", "doses", "events")}
    reading = read(MYELOMA, as_of="2026-06-01", **tables)
    assert not reading.refusals, reading.summary()
    first, second = reading.cohort
    assert [(r.lab_id, r.time, r.value, r.censoring) for r in first.labs] == [
        ("A1", 0.0, 29.0, "none"),
        ("A2", 28.0, 0.5, "left"),
    ]
    assert reading.at("2026-02-10")["P-001"].labs[0].value == 31.0
    assert [(r.output, r.value, r.censoring) for r in second.labs] == [
        ("involved_flc", 412.0, "none"),
        ("transgene", 50.0, "left"),
        ("mrd", 1e-5, "left"),
    ]
    assert [(d.time, d.amount, d.addl, d.duration) for d in first.doses] == [
        (3.0, pytest.approx(16 * 71.5), 3, pytest.approx(1 / 6)),
        (31.0, 1120.0, 0, pytest.approx(1 / 6)),
    ]
    assert first.events[0].value == "dara_pd" and "weight_kg" not in second.covariates


def test_the_event_table_example_reads(read, theophylline):
    (patient,) = read(theophylline, event_table=EXAMPLES["event_table"]).cohort
    assert [r.value for r in patient.labs] == [4.2, 3.1] and patient.doses[0].amount == 320.0
    assert patient.covariates == {"weight_kg": 70.5}


def test_every_event_is_on_the_page():
    assert all(event in PAGE for event in EVENTS)


def test_the_refusal_on_the_page_is_the_one_the_program_prints(read):
    rows = "".join(f"P-017,{k},m_protein,30,g/L\n" for k in range(10))
    reading = read(labs="patient,time,output,value,unit\n" + rows + "P-017,99,creatinine,88,mg/dL\n")
    assert str(reading.refusals[0]) in PAGE
