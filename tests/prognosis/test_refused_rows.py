"""Rows without a number: what the record already holds is not forecast."""

import pytest

from bayestwin.prognosis import compare_treatments, forecast, load_prognosis, save_prognosis
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.report import make_report
from bayestwin.report.inputs import gather_report_input
from bayestwin.twin import start_twin

PROGRESSED = "progression under this treatment is already in the record"


@pytest.fixture(scope="module")
def twin_of(hazards):
    """twin_of(*events) -> a twin on the drug since day 0, two labs that stand still, and these events."""

    def make(*events):
        labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0 + t / 100, t) for t in (0.0, 10.0))
        record = PatientRecord("H-2", labs=labs, events=(ClinicalEvent("line_of_therapy", 0.0, 0.0, "drug"), *events))
        return start_twin(hazards, record, particles=800, islands=4, population_draws=100, random_seed=1)

    return make


def test_a_patient_who_has_died_has_no_forecast_and_a_report_that_says_why(twin_of, tmp_path):
    twin = twin_of(ClinicalEvent("death", 12.0, 12.0, "infection"))
    prognosis = forecast(twin, random_seed=2)
    assert {row.refused for row in prognosis.rows} == {"the patient has died"} and len(prognosis.rows) == 2
    assert str(prognosis).count("no number (the patient has died)") == 2
    assert {pair.withheld for pair in compare_treatments(prognosis).rows} == {"a drug: the patient has died"}
    save_prognosis(prognosis, tmp_path / "p.nc")
    report = make_report(gather_report_input(twin, load_prognosis(tmp_path / "p.nc", twin.model)))
    assert "The patient has died" in report.page_1 and "progression-free" not in report.page_1
