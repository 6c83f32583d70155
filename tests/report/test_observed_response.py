"""The response a report shows is the one the model's criteria code, and none where there are no criteria."""

from dataclasses import replace

from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.report.gather_patient import _observed
from bayestwin.report.model import ObservedResponse
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")
STARTED = (0.0, "teclistamab")


def shown(*values, now=1000.0, model=MODEL, started=STARTED, more=()):
    labs = tuple(Lab(f"L{k}", "m_protein", 28.0 * k, float(v), 28.0 * k) for k, v in enumerate(values))
    events = (ClinicalEvent("line_of_therapy", 0.0, 0.0, "teclistamab"), *more)
    return _observed(model, PatientRecord("P", labs=labs, events=events), started, now)


def test_the_best_confirmed_response_is_shown_with_its_day_and_what_it_rests_on():
    assert shown(30, 14, 2, 2) == ObservedResponse("VGPR", "day 56", True, ("serum M-protein",))
    assert shown(30, 14, 2, 2, now=60.0) == ObservedResponse("PR", "day 28", True, ("serum M-protein",))


def test_what_is_not_confirmed_says_so():
    assert shown(30, 14) == ObservedResponse("PR", "day 28", False, ("serum M-protein",))
    assert shown(30) == ObservedResponse("not yet assessed", basis=("serum M-protein",))
    assert shown(4, 3) == ObservedResponse("not evaluable", "day 28", None)


def test_progression_needs_two_visits_here_too():
    assert shown(30, 10, 10, 16).category == "PR"
    assert shown(30, 10, 10, 16, 17) == ObservedResponse("PD", "day 84", True, ("serum M-protein",))


def test_a_progression_in_the_record_ends_the_response_that_is_shown():
    found = (ClinicalEvent("progression", 90.0, 90.0, "plasmacytoma"),)
    said = ("progression as recorded (plasmacytoma)",)
    assert shown(30, 10, 8, 8, more=found) == ObservedResponse("PD", "day 90", None, said)
    assert shown(30, 10, 8, 8, more=found, now=89.0).category == "PR"
    assert shown(30, more=found, now=100.0).category == "PD"  # without a visit too
    later = (ClinicalEvent("progression", 200.0, 200.0, "imaging"),)
    assert shown(30, 10, 10, 16, 17, more=later) == ObservedResponse("PD", "day 84", True, ("serum M-protein",))


def test_before_a_treatment_and_without_criteria_nothing_is_coded():
    assert shown(30, 14, started=None) is None
    assert shown(30, 14, model=load_model("psa_intermittent")) is None
    changed = replace(MODEL, steps=None, source_hash="")  # a model changed in a notebook keeps its criteria
    assert shown(30, 14, 13, model=changed).category == "PR"
