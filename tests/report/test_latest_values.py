"""The latest values of a report's first section."""

from types import SimpleNamespace

from bayestwin.records import Lab, PatientRecord
from bayestwin.report.gather_patient import patient_entry
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")


def latest(*labs):
    """name -> (value, unit, day)"""
    twin = SimpleNamespace(model=MODEL, record=PatientRecord("P-1", labs=labs), key="P-1")
    found = patient_entry(twin, 100.0).latest
    assert len({value.name for value in found}) == len(found)
    return {value.name: (value.value, value.unit, value.when) for value in found}


def test_mrd_that_was_not_looked_for_is_printed_as_not_measured():
    assert latest()["MRD"] == (None, "", "")


def test_mrd_is_printed_once_with_its_sensitivity_and_day():
    negative = Lab("r", "mrd", 90.0, 1e-5, 90.0, censoring="left", limit=1e-5)
    assert latest(negative)["MRD"] == ("<1e-05", "cells/cell", "day 90")
    positive = Lab("r", "mrd", 90.0, 1e-6, 90.0, censoring="right", limit=1e-6)
    assert latest(positive)["MRD"][0] == ">1e-06"
    between = Lab("r", "mrd", 90.0, 1e-6, 90.0, censoring="interval", limit=1e-5)
    assert latest(between)["MRD"][0] == "1e-06 to 1e-05"
