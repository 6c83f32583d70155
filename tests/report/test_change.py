"""Block 2: what differs between two reports of one row, in words that say no more than is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from report_examples import example

from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.records.record import Superseded
from bayestwin.report import warnings as rules
from bayestwin.report.gather_change import change_since
from bayestwin.report.gather_forecasts import sign_changed
from bayestwin.report.gather_history import main_row, past_forecast, row_chances
from bayestwin.report.gather_record import record_changes
from bayestwin.report.json_change import change
from bayestwin.report.model import BridgeStep, Change
from bayestwin.report.wording import Sayings
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")
LABS = tuple(Lab(f"L{k}", "m_protein", 28.0 * k, 20.0 - k, 28.0 * k) for k in range(8))
NEWER = (Lab("L8", "m_protein", 205.0, 12.0, 205.0), Lab("L9", "m_protein", 210.0, 11.0, 210.0))
CUT = 196.0
INFUSED = (ClinicalEvent("infusion", 0.0, 0.0, "ide_cel"),)


def record(labs=LABS, events=INFUSED, past=(), **covariates):
    return PatientRecord(
        "P-1", labs=labs, events=events, past=tuple(Superseded(lab, 210.0) for lab in past), covariates=covariates
    )


MARKS = (6.0, 12.0, 24.0)


def twin(of):
    return SimpleNamespace(model=MODEL, record=of)


def chance(value, low, high, mcse=0.009):
    return SimpleNamespace(value=value, knowledge={0.8: (low, high)}, mcse=mcse)


def prognosis(*rows, now=CUT, months=None, population="p", horizon=36.0):
    """rows : (name, role, chance); months : drawn times to the event, of every row alike"""
    months = np.linspace(0.5, 40.0, 800) if months is None else np.asarray(months, float)
    made = {
        name: SimpleNamespace(
            plan=SimpleNamespace(name=name, role=role, label=MODEL.treatment(name).label),
            events=None
            if said is None
            else SimpleNamespace(event=months, survival=np.where(months[:, None] > MARKS, 1.0, 0.0)),
        )
        for name, role, said in rows
    }
    said = {name: value for name, _, value in rows}
    return SimpleNamespace(
        rows=tuple(made.values()), names=tuple(made), row=made.__getitem__, chance=lambda name, month: said[name],
        landmarks=MARKS, now=now, horizon=horizon, population_hash=population, model=MODEL,
        weights=np.full(months.size, 1 / months.size), draw=40 * np.arange(months.size) // months.size, islands=8,
        log_weights=np.full(months.size, np.log(8 / months.size)),
    )  # fmt: skip


def ide_cel(value=0.5, role="current", **more):
    return prognosis(("ide_cel", role, chance(value, value - 0.1, value + 0.1)), **more)


def bridge(new, old=None, before=None, after=None):
    return change_since(twin(new), after or ide_cel(0.7), (twin(old or record()), before or ide_cel()))


@pytest.mark.parametrize(
    "new, cause, text",
    [
        (record(LABS[:-1], past=LABS[-1:]), "amended", "1 retracted"),
        (record((*LABS[:-1], replace(LABS[-1], value=3.0)), past=LABS[-1:]), "amended", "1 corrected"),
        (
            record((*LABS[:-2], *NEWER), past=LABS[-2:]),
            "labs+amended",
            "2 new labs; 2 retracted",
        ),
        (record((*LABS, Lab("L8", "m_protein", 100.0, 12.0, 205.0))), "amended", "1 late"),
        (
            record(events=(*INFUSED, ClinicalEvent("assessed", 190.0, 190.0))),
            "doses",
            "1 new or changed row of doses, events or covariates",
        ),
        (record(age_years=70.0), "doses", "1 new or changed row of doses, events or covariates"),
        (record(), "none", "nothing new in the record; what differs is Monte Carlo error"),
        (
            record(tuple(replace(lab, known_time=300.0) for lab in LABS)),
            "none",
            "nothing new in the record; what differs is Monte Carlo error",
        ),
    ],
)
def test_the_bridge_counts_what_happened_to_labs_doses_and_events(new, cause, text):
    (step,) = bridge(new).steps
    assert (step.cause, step.text, step.before, step.after) == (cause, text, 0.5, 0.7)


def test_a_treatment_that_started_is_said_and_a_new_population_stands_beside_the_labs():
    started = record_changes(MODEL, record(events=()), record(), cut=CUT, now=CUT)
    assert started.causes() == (("doses", "treatment started"),)
    found = bridge(record((*LABS, Lab("L8", "m_protein", 205.0, 12.0, 205.0))), after=ide_cel(0.7, population="q"))
    assert found.version_changed and found.steps[0].cause == "labs+version"


def test_causes_that_are_not_told_apart_are_named_together():
    steps = (BridgeStep("labs+amended", "2 new labs; 2 retracted", 0.5, 0.7, (0.4, 0.6), (0.6, 0.8)),)
    sayings, moved = Sayings(), Change("forecast of day 196", "day 196", steps)
    assert change(example(change=moved), sayings)["bridge"][0]["step"] == (
        "new labs and late, corrected or retracted labs"
    )
    assert "main reason: new labs and late, corrected or retracted labs" in sayings.entries[0]["rendered"]


@pytest.mark.parametrize(
    "middle, said",
    [
        (0.668, "main reason: time passed together with new labs."),
        (0.64, "main reason: time passed."),
        (0.70, "new labs."),
    ],
)
def test_the_main_reason_does_not_contradict_the_rounded_numbers_beside_it(middle, said):
    """Shown in tens: 70 to 70 by time that moved it more, and 70 to 60 by labs that moved it less."""
    steps = (
        BridgeStep("time", "85 days", 0.740, middle, (0.6, 0.9), (0.5, 0.8)),
        BridgeStep("labs", "9 new labs", middle, 0.620, (0.5, 0.8), (0.4, 0.8)),
    )
    inputs = example(change=Change("forecast of day 80", "day 80", steps))
    sayings = Sayings()
    found = change(replace(inputs, numbers=replace(inputs.numbers, ess=60.0)), sayings)
    assert found["bridge"][0]["before_shown"].startswith("70") or found["bridge"][0]["before_shown"].startswith(
        "about 70"
    )
    assert said in sayings.entries[0]["rendered"], sayings.entries[0]["rendered"]


def test_a_chance_of_the_last_report_whose_monte_carlo_error_is_too_large_is_not_shown_as_moved():
    seen = []
    for error in (0.01, 0.02, 0.04):
        step = BridgeStep("labs", "1 new lab", 0.62, 0.74, (0.5, 0.7), (0.6, 0.8), error, 0.01)
        sayings = Sayings()
        found = change(example(change=Change("x", "day 101", (step,))), sayings)
        assert found["bridge"][0]["before_mcse"] == error
        first = sayings.entries[0]
        seen.append((found["bridge"][0]["before_shown"].split(" (")[0], first["template"], first["rendered"][:40]))
    assert seen == [
        ("60", "T7", "The 12-month chance moved from 60 (50 to"),
        ("60", "T7", "The 12-month chance moved from 60 (50 to"),
        ("Monte Carlo error too large", "nothing", "How far the chance moved is not shown: t"),
    ]


def test_no_wait_moves_nothing_and_a_wait_moves_the_printed_chance_by_what_the_same_draws_say():
    after_labs = ide_cel(0.7, now=CUT + 0.5)
    assert [step.cause for step in bridge(record(), after=after_labs).steps] == ["none"]
    months = np.linspace(0.5, 40.0, 800)
    waited = bridge(record(), before=ide_cel(months=months), after=ide_cel(0.7, now=CUT + 3 * 30.4375)).steps[0]
    through = (months > 15).sum() / (months > 3).sum() - (months > 12).mean()
    assert waited.cause == "time" and waited.before == 0.5 and waited.after == pytest.approx(0.5 + through)
    assert waited.after_p80[0] <= waited.after <= waited.after_p80[1]
    assert waited.before_mcse == 0.009 and 0.0 < waited.after_mcse < 0.2


def test_a_treatment_not_yet_given_has_no_time_passed_under_it():
    option = bridge(record(), before=ide_cel(role="option"), after=ide_cel(0.7, "option", now=CUT + 91.0))
    assert [step.cause for step in option.steps] == ["start"]


def test_a_move_smaller_than_a_step_is_not_read_off_rounded_numbers():
    def sentences(before, after):
        sayings = Sayings()
        change(example(change=Change("x", "day 101", (BridgeStep("labs", "1 new lab", before, after),))), sayings)
        return [entry["rendered"] for entry in sayings.entries if entry["template"] in ("T7", "T7small")]

    assert sentences(0.626, 0.624) == ["The 12-month chance moved by less than 5 points since day 101."]
    assert "moved from 65" in sentences(0.65, 0.70)[0]


def test_how_far_labs_narrowed_the_range_is_not_told_from_the_last_report():
    narrower = prognosis(("ide_cel", "current", chance(0.5, 0.45, 0.6)))
    found = bridge(record((*LABS, Lab("L8", "m_protein", 205.0, 12.0, 205.0))), after=narrower)
    assert found.narrowed is None
    sayings = Sayings()
    change(example(change=found), sayings)
    assert "T10" not in {entry["template"] for entry in sayings.entries}


def test_the_old_middle_half_counts_from_todays_data_cut():
    months = np.linspace(0.5, 8.0, 800)  # middle half 2.4 to 6.1
    found = bridge(record(), before=ide_cel(months=months, horizon=36.0), after=ide_cel(0.7, now=CUT + 5 * 30.4375))
    left = months[months > 5.0] - 5.0
    assert found.previous_middle_half == pytest.approx(np.quantile(left, (0.25, 0.75)), abs=0.02)
    main = example().treatments[0]
    event = replace(main.event, quantiles={**main.event.quantiles, 0.5: 4.0})  # 9 months from the old cut
    rows = (replace(main, event=event), *example().treatments[1:])
    fired = [w.text for w in rules.evaluate(example(treatments=rows, change=replace(found, steps=())))]
    assert "the new middle of the forecast lies outside the old middle half" in fired
    over = bridge(record(), before=ide_cel(months=np.full(800, 2.0)), after=ide_cel(0.7, now=CUT + 155.0))
    assert over.previous_middle_half == (0.0, 0.0)


def test_bridge_history_and_reference_are_of_the_row_that_page_1_leads_with():
    rows = (("ide_cel", "option", chance(0.6, 0.5, 0.7)), ("cilta_cel", "option", chance(0.7, 0.6, 0.8)))
    now = prognosis(*rows)
    assert main_row(now).plan.name == "cilta_cel"  # by label, as in block 3
    last = prognosis(("ide_cel", "option", chance(0.4, 0.3, 0.5)), ("cilta_cel", "option", chance(0.65, 0.6, 0.7)))
    (step,) = change_since(twin(record()), now, (twin(record()), last)).steps
    assert (step.before, step.after) == (0.65, 0.7)
    assert past_forecast(MODEL, 100.0, row_chances(last), "cilta_cel").chance == 0.65
    gone = past_forecast(MODEL, 100.0, {"ide_cel": [0.4, None, None, 0.01]}, "cilta_cel")
    assert gone.chance is None and gone.reason.startswith("no number for")
    missing = change_since(
        twin(record()), now, (twin(record()), prognosis(("ide_cel", "option", chance(0.4, 0.3, 0.5))))
    )
    assert not missing.steps and missing.reason.startswith("the last report has no number for")


def test_after_a_change_of_population_the_last_number_alone_makes_the_bridge():
    last = past_forecast(
        MODEL, 100.0, {"ide_cel": [0.4, 0.3, 0.5, 0.01]}, "ide_cel", population_hash="o", data_hash=record().data_hash
    )
    found = change_since(twin(record()), ide_cel(), None, (last,))
    assert found.version_changed and [(s.cause, s.before, s.after) for s in found.steps] == [("version", 0.4, 0.5)]
    more = record((*LABS, Lab("L8", "m_protein", 205.0, 12.0, 205.0)))
    assert change_since(twin(more), ide_cel(), None, (last,)).steps[0].cause == "labs+version"
    assert "W-VERSION" in {w.code for w in rules.evaluate(example(change=found))}
    assert not change_since(twin(record()), ide_cel(population="o"), None, (last,)).version_changed
    assert change_since(twin(record()), ide_cel(), None).reason == "first report"


def test_a_difference_of_five_points_that_changed_its_sign_is_known_as_such():
    def pair(a, b):
        return prognosis(("ide_cel", "current", chance(a, 0.3, 0.7)), ("cilta_cel", "option", chance(b, 0.3, 0.7)))

    assert sign_changed(pair(0.5, 0.6), pair(0.6, 0.5), "ide_cel", "cilta_cel")
    assert not sign_changed(pair(0.5, 0.6), pair(0.51, 0.5), "ide_cel", "cilta_cel")
    assert not sign_changed(pair(0.5, 0.6), pair(0.5, 0.7), "ide_cel", "cilta_cel")
    assert not sign_changed(ide_cel(), pair(0.6, 0.5), "ide_cel", "cilta_cel")
