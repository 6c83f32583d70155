"""The table of warnings says "no" only of what was looked at."""

import dataclasses

import pytest
from report_examples import example, withheld

from bayestwin.records import ClinicalEvent, PatientRecord
from bayestwin.report import make_report
from bayestwin.report.gather_patient import _phase
from bayestwin.report.model import Change, Clock, DataEffect
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")


def fired(inputs):
    return {row["code"]: row["fired"] for row in make_report(inputs).document["warnings"]}


def test_a_rule_of_which_nothing_was_computed_is_not_answered_no():
    said = fired(example(fit_p=None, data_effects=(), comparators=(), change=Change(reason="first report")))
    assert said["W-CTX-EDGE"] == said["W-BASE"] == said["W-MOVED"] == "not computed"
    assert said["W-FIT-2"] == "no; not computed: the score of the last six labs"
    assert {said[f"W-DATA-{kind}"] for kind in ("LATE", "CORR", "REJ")} == {"note; not computed: how far they move it"}
    assert said["W-NUM-K"] == said["W-DATA-OLD"] == said["W-FIT-1"] == "no"


def test_what_was_computed_is_answered():
    given = example(
        data_effects=tuple(DataEffect(kind, 0.65, 0.64) for kind in ("late", "corrected", "rejected")),
        patient=dataclasses.replace(example().patient, covariate_p=0.4),
    )
    said = fired(given)
    assert said["W-CTX-EDGE"] == said["W-BASE"] == said["W-MOVED"] == said["W-FIT-2"] == "no"
    assert {said[f"W-DATA-{kind}"] for kind in ("LATE", "CORR", "REJ", "MISS")} == {"note"}
    quiet = dataclasses.replace(
        given, labs=given.labs[:3], refused=(), data_effects=(), clock=Clock("day 60", 60.0, "2026-03-15T02:10:00Z")
    )
    said = fired(quiet)
    assert said["W-DATA-LATE"] == "no" and said["W-DATA-MISS"] == "no; not computed: which planned labs are missing"


def test_a_withheld_page_does_not_call_its_forecast_rules_not_computed():
    said = fired(withheld())
    assert said["W-MOVED"] == said["W-BASE"] == "no; the forecast is withheld" and said["W-NUM-MC"] == "withheld"


@pytest.mark.parametrize(
    "event, value, now, phase",
    [
        ("infusion", "ide_cel", 20.0, "early_cell_therapy"),
        ("infusion", "ide_cel", 250.0, "follow_up"),
        ("line_of_therapy", "dara_pd", 250.0, "on_treatment"),
        ("line_of_therapy", "unknown", 250.0, "follow_up"),
    ],
)
def test_labs_may_be_as_old_as_the_follow_up_after_cells_allows(event, value, now, phase):
    from bayestwin.prognosis.plan import current_treatment

    record = PatientRecord("P-1", events=(ClinicalEvent(event, 0.0, 0.0, value),))
    assert _phase(MODEL, current_treatment(MODEL, record, now), now) == phase


def test_a_study_key_is_no_wording_of_the_page():
    report = make_report(example(patient=dataclasses.replace(example().patient, study_key="SAFE-012")))
    assert report.status == "SHOWN" and "SAFE-012" in report.html and not report.failures
