"""A row of a treatment that the patient has had before says so: from when to when, and what was observed."""

import pytest
from cycling_model import CYCLING, write_cycling_model

from bayestwin.dosing import Schedule
from bayestwin.prognosis.given_before import GivenBefore, given_before, given_before_words
from bayestwin.prognosis.plan import make_plans
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model

MYELOMA = load_model("myeloma_car_t")
NOW = 120.0


def on_day(time):
    return f"day {time:g}"


def patient(values, events, now=NOW):
    """M-protein on days 0, 28, ..., and events as (day, event, value)."""
    labs = tuple(Lab(f"m{k}", "m_protein", 28.0 * k, value, 28.0 * k) for k, value in enumerate(values))
    return PatientRecord("P-1", labs=labs, events=tuple(ClinicalEvent(e, t, t, v) for t, e, v in events))


def row(record, name, model=MYELOMA, now=NOW):
    (plan,) = [plan for plan in make_plans(model, record, None, now) if plan.name == name]
    return plan


D_PD, CELLS = (1.0, "line_of_therapy", "dara_pd"), (80.0, "infusion", "ide_cel")


@pytest.mark.parametrize("values, more, said", [
    ((30, 29, 30, 12), (), "best response SD"),
    ((30, 10, 9, 4), (), "best response PR"),
    ((30, 45, 48), (), "no response confirmed, progression on day 28"),
    ((30,), ((60.0, "progression", "extramedullary"),), "no response confirmed, progression on day 60"),
])  # fmt: skip
def test_a_treatment_given_before_tells_from_when_to_when_and_its_best_response(values, more, said):
    record = patient(values, (D_PD, CELLS, *more))
    words = given_before_words(MYELOMA, row(record, "dara_pd"), NOW, on_day)
    assert words == f"given before: day 1 to day 80, {said}"


def test_the_treatment_in_force_and_one_never_given_say_nothing_of_the_kind():
    record = patient((30, 29, 30), (D_PD, CELLS))
    for name in ("ide_cel", "teclistamab"):
        assert given_before_words(MYELOMA, row(record, name), NOW, on_day) == ""


def test_a_line_begun_again_while_in_force_and_then_ended_counts_from_its_first_start():
    again = (40.0, "line_of_therapy", "dara_pd")
    (given,) = given_before(MYELOMA, row(patient((30, 29, 30), (D_PD, again, CELLS)), "dara_pd"), NOW)
    assert (given.start, given.end) == (1.0, 80.0)


def test_in_a_pause_nothing_was_given():
    record = patient((30, 29, 30), (D_PD, (10.0, "line_of_therapy", "observation"), CELLS))
    (pause,) = make_plans(MYELOMA, record, ["observation"], NOW)
    assert given_before(MYELOMA, pause, NOW) == ()
    (given,) = given_before(MYELOMA, row(record, "dara_pd"), NOW)
    assert given.end == 10.0


def test_what_happened_after_the_data_cut_is_not_known_to_the_row():
    later = ((130.0, "line_of_therapy", "teclistamab"), (150.0, "line_of_therapy", "dara_pd"))
    record = patient((30, 29, 30), (D_PD, *later))
    assert given_before(MYELOMA, row(record, "dara_pd"), NOW) == ()


def test_a_model_without_criteria_says_when_alone_and_names_which_of_several(tmp_path):
    model = write_cycling_model(tmp_path / "cycling", CYCLING)
    events = [(t, "line_of_therapy", name) for t, name in ((0.0, "drug"), (40.0, "pause"), (70.0, "drug"))]
    record = PatientRecord("P-2", events=tuple(ClinicalEvent(e, t, t, v) for t, e, v in events))
    plan = row(record, "pause", model)
    assert given_before(model, plan, NOW) == (GivenBefore("pause", 40.0, 70.0, None, None),)
    assert given_before_words(model, plan, NOW, on_day) == "given before: day 40 to day 70"
    (ahead,) = make_plans(model, record, {"off in a month": Schedule((("30 day", "pause"),))}, NOW)
    assert [one.end for one in given_before(model, ahead, NOW)] == [40.0, 70.0]  # not the drug's, which goes on
    (both,) = make_plans(model, record, {"on and off": Schedule((("0 day", "pause"), ("30 day", "drug")))}, NOW)
    assert given_before_words(model, both, NOW, on_day) == (
        "given before: the drug day 0 to day 40; a pause day 40 to day 70"
    )
