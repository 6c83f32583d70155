"""What page 1 says of disease, lines and refractoriness stands in the record; what does not is not denied."""

from types import SimpleNamespace

import pytest
from report_examples import example

from bayestwin.records import ClinicalEvent, PatientRecord
from bayestwin.report import json_patient, make_report
from bayestwin.report.gather_patient import model_facts, patient_entry
from bayestwin.report.json_trust import _context
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")
BRIDGED = (ClinicalEvent("line_of_therapy", 10.0, 10.0, "dara_pd"), ClinicalEvent("infusion", 70.0, 70.0, "ide_cel"))
CLASSES = ("lenalidomide", "pomalidomide", "bortezomib", "carfilzomib")


def entry(*events, now=100.0, model=MODEL, **covariates):
    record = PatientRecord("P-1", events=events, covariates=covariates)
    return patient_entry(SimpleNamespace(model=model, record=record, key="P-1"), now)


def shown(*events, **covariates):
    return json_patient.patient(example(patient=entry(*events, **covariates)))["disease_full"]


def test_every_recorded_refractoriness_is_listed():
    found = entry(**{f"{name}_refractory": 1.0 for name in CLASSES}, anti_cd38_refractory="1")
    assert found.refractory == (*CLASSES, "anti-CD38")
    assert "refractory to lenalidomide, pomalidomide" in shown(**{f"{name}_refractory": 1.0 for name in CLASSES})
    assert "not refractory to lenalidomide" in shown(lenalidomide_refractory=0.0)
    assert "refractoriness not recorded" in shown(isotype="IgG")


def test_the_line_is_said_only_while_the_record_tells_it():
    assert "line 4" in shown(prior_lines=3) and "line 4" in shown(*BRIDGED[1:], prior_lines=3)
    assert "3 lines before this record and 2 treatments in it" in shown(*BRIDGED, prior_lines=3)
    assert entry(*BRIDGED, prior_lines=3).line is None and entry(*BRIDGED, now=20.0, prior_lines=3).line == 4
    assert "line not stated" in shown()


def test_what_was_said_of_covariates_later_counts_on_the_page():
    """As it does for eligibility, which would contradict the page else."""
    said = [ClinicalEvent("covariate", 50.0, 50.0, text) for text in ("anti_cd38_refractory = 1", "prior_lines = 4")]
    first = {"anti_cd38_refractory": 0.0, "prior_lines": 1}
    before, after = entry(*said, now=49.0, **first), entry(*said, now=90.0, **first)
    assert before.refractory == () and before.line == 2
    assert after.refractory == ("anti-CD38",) and after.line is None and after.lines_words == "4 lines by day 50"
    later = ClinicalEvent("line_of_therapy", 60.0, 60.0, "dara_pd")
    assert entry(*said, later, now=90.0, **first).lines_words == "4 lines by day 50 and 1 treatments since"


def test_a_word_where_a_number_belongs_is_not_recorded_and_no_fault():
    found = entry(age_years="adult", prior_lines="many")
    assert found.line is None and found.lines_words == "line not stated" and found.context_problems == ()


@pytest.mark.parametrize(
    "covariates, problem",
    [
        ({"age_years": 17.0}, "younger than 18 years"),
        ({"plasma_cell_leukaemia": 1.0, "prior_lines": 0}, "plasma cell leukaemia in first line"),
        ({"plasma_cell_leukaemia": "1"}, "plasma cell leukaemia, and the record does not say whether in first line"),
        ({"diagnosis": "AL amyloidosis"}, "the diagnosis is AL amyloidosis"),
        ({"diagnosis": "lymphoma"}, "the diagnosis is lymphoma, not multiple myeloma"),
        ({"isotype": "non_secretory"}, "isotype non secretory: the model is for IgG, IgA, light chain"),
    ],
)
def test_a_patient_outside_the_purpose_is_withheld_with_the_reason(covariates, problem):
    found = entry(**covariates)
    assert found.context_problems == (problem,)
    report = make_report(example(patient=found))
    assert report.status == "WITHHELD" and report.document["reasons"][0]["text"] == problem


def test_inside_the_purpose_is_said_as_far_as_the_record_goes():
    assert (
        entry(plasma_cell_leukaemia=1.0, prior_lines=2, diagnosis="multiple myeloma", age_years=60.0).context_problems
        == ()
    )
    assert _context(example(patient=entry())).startswith(
        "inside the stated purpose as far as recorded (not recorded: age, isotype, diagnosis)"
    )
    known = entry(age_years=60.0, diagnosis="multiple myeloma", isotype="IgA")
    assert _context(example(patient=known)).startswith("inside the stated purpose;")


def test_a_model_of_another_disease_is_not_called_myeloma():
    model = load_model("psa_intermittent")
    found = entry(model=model)
    assert found.diagnosis == model.label and "MRD" not in {value.name for value in found.latest}
    twin = SimpleNamespace(model=model, population_hash="", record=SimpleNamespace(covariates={}, data_hash=""))
    assert not any("amyloid" in text for text in model_facts(twin, None, ()).not_for)
