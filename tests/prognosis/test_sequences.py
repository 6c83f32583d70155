"""Schedules and policies against a model and a record: what is refused, what they become, how they read."""

import numpy as np
import pytest
from cycling_model import started

from bayestwin.dosing import Policy, Regimen, Rule, Schedule
from bayestwin.errors import ModelError
from bayestwin.prognosis.assessments import episode_at, marker_history, visit_episodes
from bayestwin.prognosis.plan import make_plans
from bayestwin.records import ClinicalEvent, Lab

PAUSE = Rule("pause", "marker", below=2, while_on="drug")
DRUG = Rule("drug", "marker", above=10, while_on="pause")
SPAN = 1096.0


def plan(model, what, record=None, *, name="row", applied=False):
    record = started((0.0, "drug"), covariates={"age_years": 60}) if record is None else record
    return make_plans(model, record, {name: what}, 100.0, applied=applied, span=SPAN)[0]


WRONG = {
    "no rules": (lambda: Policy(()), "a policy needs rules"),
    "no condition": (lambda: Rule("pause"), "rule: a rule without a condition .*'pause: always'"),
    "a threshold of nothing": (lambda: Rule("pause", below=3), "a rule needs a lab and a threshold"),
    "a lab without a threshold": (lambda: Rule("pause", "marker"), "a rule needs a lab and a threshold"),
    "an empty band": (
        lambda: Rule("pause", "marker", below=3, above=4),
        "no value lies above the one and below the other: the rule can never fire",
    ),
    "not a number": (lambda: Rule("pause", "marker", below=float("nan")), "a threshold of a rule must be a number"),
    "in force already": (
        lambda: Rule("pause", "marker", below=3, while_on="pause"),
        "can never fire: its treatment is",
    ),
    "visits at once": (lambda: Policy((PAUSE,), every="0 day"), "visits need time between them"),
    "time backwards": (lambda: Schedule((("9 day", "drug"), ("2 day", "pause"))), "the steps of a schedule follow"),
    "no steps": (lambda: Schedule(()), "the steps of a schedule follow"),
    "twice": (
        lambda: Schedule((("0 day", "drug"), ("2 day", "drug"))),
        "the same treatment twice in a row .*drug at 2 day",
    ),
    "a word for a time": (lambda: Schedule((("soon", "drug"),)), "this is not a duration"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_contradiction_is_found_when_it_is_written(name):
    make, said = WRONG[name]
    with pytest.raises(ModelError, match=said):
        make()


REFUSED = {
    "unknown treatment": (
        Policy((Rule("aspirin", "marker", below=2),)),
        "unknown treatment .*'aspirin'.* one of drug, pause",
    ),
    "unknown start": (Policy((PAUSE,), start="aspirin"), "unknown treatment .*'aspirin'"),
    "unknown while_on": (Policy((Rule("pause", "marker", below=2, while_on="drag"),)), "unknown treatment .*'drag'"),
    "unknown lab": (
        Policy((Rule("pause", "psa", below=2),)),
        "model cycling, forecast row 'row': a rule reads a lab that the model does not have .*'psa'.* one of marker",
    ),
    "implausible": (
        Policy((Rule("pause", "marker", above=2000),)),
        "outside the plausible range .*2000.* 0.01 to 1000 ug/L",
    ),
    "below the limit": (
        Policy((Rule("pause", "marker", below=0.2),)),
        "never seen below its limit .*0.2.* at least 0.5",
    ),
    "never in force": (
        Policy((PAUSE, Rule("drug", "marker", above=9, while_on="cells"))),
        "can never fire: cells is never in",
    ),
    "past the horizon": (
        Policy((Rule("pause", while_on="drug", after="40 month"),)),
        "its least time lies past the horizon",
    ),
    "shadowed": (
        Policy((PAUSE, Rule("pause", "marker", below=1, while_on="drug", after="2 month"))),
        "a rule before it always decides first .*pause: while on drug, marker <= 1, after 2 month",
    ),
    "no visit": (Policy((PAUSE,), every="4 year"), "the first visit of this policy lies past the horizon"),
    "a wait": (
        Policy((Rule("cells", "marker", above=9),)),
        "a policy cannot start what starts only after a wait .*'cells'",
    ),
    "doses": (
        Policy((Rule("tablets", "marker", above=9),)),
        "a policy cannot start what is given as doses .*'tablets'",
    ),
    "late step": (Schedule((("40 month", "pause"),)), "a step of this schedule lies past the horizon"),
    "unknown step": (Schedule((("0 day", "aspirin"),)), "unknown treatment .*'aspirin'"),
    "too early": (
        Schedule((("20 day", "cells"),)),
        "cells cannot start before its waiting time is over .* at least 30 day",
    ),
    "a number": (12, "this is nothing to forecast .*12.* a Schedule or a Policy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_never_happen_is_refused_with_what_is_allowed(cycling, name):
    what, said = REFUSED[name]
    with pytest.raises(ModelError, match=said):
        plan(cycling, what)


def test_a_sequence_needs_a_name_of_its_own(cycling):
    for what in (Policy((PAUSE,)), Schedule((("0 day", "pause"),)), "pause"):
        with pytest.raises(
            ModelError, match="this row needs a name of its own .*'drug'.* other than drug, pause, cells"
        ):
            plan(cycling, what, name="drug")
    assert plan(cycling, "pause", name="pause").name == "pause"
    with pytest.raises(ModelError, match="an event starts this treatment, not doses"):
        plan(cycling, Regimen.single("3 mg", route="oral"), name="drug")


def test_a_treatment_under_another_name_is_the_treatment(cycling):
    named, own = plan(cycling, "drug", name="go on"), plan(cycling, None, name="drug")
    assert (named.name, named.label, named.role) == ("go on", "go on (the drug)", "current")
    assert named.record == own.record and named.treatments == ("drug",)


def test_a_schedule_becomes_starts_in_the_record(cycling):
    found = plan(cycling, Schedule((("0 day", "pause"), ("180 day", "drug"), ("1 year", "cells"))))
    later = [(e.event, e.time, e.value) for e in found.record.events if e.time > 99 and e.value]
    year = 100 + 365.25
    assert later == [
        ("line_of_therapy", 100.0, "pause"),
        ("line_of_therapy", 280.0, "drug"),
        ("infusion", year, "cells"),
    ]
    assert found.sequence == ((100.0, "pause"), (280.0, "drug"), (year, "cells"))
    assert (found.new, found.start, found.treatments) == (True, 100.0, ("pause", "drug", "cells"))
    assert found.assumption == "from day 0 a pause, from day 180 the drug, from day 365.25 cells"
    assert found.evidence == "one trial"
    goes_on = plan(cycling, Schedule((("0 day", "drug"), ("56 day", "pause"))))
    assert (goes_on.new, goes_on.start, goes_on.sequence) == (False, 0.0, ((100.0, "drug"), (156.0, "pause")))


def test_doses_of_a_schedule_end_where_the_next_step_begins(cycling):
    found = plan(cycling, Schedule((("0 day", "tablets"), ("10 day", "pause"))))
    assert [d.time for d in found.record.doses] == [100.0, 107.0]


def test_a_policy_says_what_it_can_give_and_how_it_decides(cycling):
    found = plan(cycling, Policy((PAUSE, DRUG), start="pause"))
    assert (found.role, found.new, found.treatments, found.label) == ("option", True, ("pause", "drug"), "row")
    assert found.assumption == (
        "a pause from the data cut; a pause if on the drug and marker at or below 2 ug/L; the drug if on a pause and "
        "marker at or above 10 ug/L; decided every 28 day from simulated labs"
    )
    assert plan(cycling, Policy((PAUSE, DRUG), start="drug")).new is False  # it is in force already
    assert plan(cycling, Policy((PAUSE,))).treatments == ("drug", "pause")


def test_a_patient_outside_the_evidence_of_one_treatment_gets_no_number_for_the_row(cycling):
    child = started((0.0, "drug"), covariates={"age_years": 12})
    for what in (Policy((PAUSE, DRUG)), Schedule((("0 day", "pause"),))):
        assert "18 <= age_years" in plan(cycling, what, child).refused
        assert plan(cycling, what, started((0.0, "drug"))).unknown == ("18 <= age_years",)
    assert plan(cycling, Policy((PAUSE, DRUG)), started((0.0, "pause"))).refused == ""


def test_a_start_follows_what_was_done_on_that_day(cycling):
    """A moment later where the record starts something then, or the state holds the jumps of that time."""

    def begun(record, applied):
        return plan(cycling, None, record, name="drug", applied=applied).record.events[-1].time

    that_day, earlier = started((0.0, "drug"), (100.0, "pause")), started((0.0, "pause"))
    assert begun(earlier, False) == 100.0
    for record, applied in ((earlier, True), (that_day, False), (that_day, True)):
        assert begun(record, applied) == pytest.approx(100.000001, abs=1e-9) != 100.0


STARTS = [(0.0, "drug"), (50.0, "pause"), (80.0, "drug"), (120.0, "cells"), (160.0, "drug"), (200.0, "pause")]


def test_an_episode_is_uninterrupted_time_on_what_counts():
    def begun(time, counts_on):
        return episode_at(STARTS, counts_on, time)

    assert [begun(t, ("drug",)) for t in (0.1, 50.0, 81.0, 120.0, 161.0, 200.0)] == [0.0, 0.0, 80.0, 80.0, 160.0, 160.0]
    assert np.isnan([begun(t, ("drug",)) for t in (0.0, 50.1, 80.0, 130.0, 201.0)]).all()  # a lab stands before a start
    assert [begun(t, ("drug", "cells")) for t in (81.0, 121.0, 200.0)] == [80.0, 80.0, 80.0]
    assert np.isnan(begun(10.0, ()))


def test_history_is_that_of_the_episode_in_force_from_its_first_visit_on(cycling):
    rule = cycling.progression.rules[0]
    labs = [Lab(f"m{t}", "marker", float(t), float(t), float(t)) for t in (10, 49, 50, 60, 80, 90, 100)]

    def history(what, *starts, **row):
        record = started(*starts, labs=tuple(labs))
        return marker_history(cycling, rule, record, plan(cycling, what, record, **row), 100.0)

    cycles = ((0.0, "drug"), (50.0, "pause"), (80.0, "drug"))
    assert history(None, *cycles, name="drug") == [90.0, 100.0]
    assert history(Policy((PAUSE, DRUG)), *cycles) == [90.0, 100.0]
    assert history(Policy((PAUSE, DRUG), start="pause"), *cycles) == []
    assert history(Schedule((("0 day", "pause"),)), *cycles) == []
    assert history(Schedule((("9 day", "pause"),)), *cycles) == [90.0, 100.0]
    assert history(None, (0.0, "drug"), (80.0, "pause"), name="drug") == []  # it starts now: nothing seen on it yet
    assert history(None, (0.0, "drug"), (80.0, "pause"), name="pause") == []


def test_visits_under_a_schedule_know_their_episode(cycling):
    rule = cycling.progression.rules[0]
    found = plan(cycling, Schedule((("56 day", "pause"), ("90 day", "drug"))))
    episodes = visit_episodes(cycling, rule, found, 100.0, 28.0 * np.arange(1, 6))
    assert episodes.tolist()[:2] == [-100.0, -100.0] and np.isnan(episodes[2]) and episodes.tolist()[3:] == [90.0, 90.0]
    assert visit_episodes(cycling, type(rule)("marker", 0.25, 2.0), found, 100.0, [28.0]) is None


def test_a_planned_start_of_the_record_is_no_part_of_a_policy(cycling):
    planned = ClinicalEvent("line_of_therapy", 130.0, 90.0, "pause")
    record = started((0.0, "drug"))
    record = type(record)(record.key, events=(*record.events, planned))
    assert all(e.time <= 100.0 for e in plan(cycling, Policy((PAUSE, DRUG)), record).record.events)
