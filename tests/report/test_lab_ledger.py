"""The ledger holds every lab that was ever believed, and knows what the last report had not seen."""

from dataclasses import replace
from types import SimpleNamespace

from report_examples import example

from bayestwin.records import Lab, PatientRecord
from bayestwin.records.record import Superseded
from bayestwin.report import json_data, make_report
from bayestwin.report import warnings as rules
from bayestwin.report.gather_data import lab_ledger
from bayestwin.report.json_trust import _fit
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
FIRST, SECOND = (Lab(f"L{k}", "m_protein", 28.0 * k, 20.0 - 8 * k, 28.0 * k) for k in range(2))


def surprise(lab, pit, alarm=""):
    """What was expected of a lab at its time, and how it came out."""
    return SimpleNamespace(
        lab_id=lab.lab_id, time=lab.time, value=lab.value, upper=lab.upper, censoring=lab.censoring, ends=(pit, pit),
        pit=pit,
        quantiles={q: 10 + 4 * q for q in LEVELS}, log_score=-1.0, alarm=alarm, pit_range=None,
    )  # fmt: skip


def ledger(labs, *, past=(), seen=None, learnt=()):
    """seen : labs of the last report, whose data cut is day 30"""
    record = PatientRecord("P", labs=labs, past=tuple(Superseded(lab, 40.0) for lab in past))
    last = None if seen is None else (SimpleNamespace(record=PatientRecord("P", labs=seen)), SimpleNamespace(now=30.0))
    return lab_ledger(SimpleNamespace(model=MODEL, record=record, history=(SimpleNamespace(surprise=learnt),)), last)


def test_a_retracted_lab_stays_in_the_ledger_with_its_value_and_when_it_was_withdrawn():
    kept, gone = ledger((FIRST,), past=(SECOND,), seen=(FIRST, SECOND), learnt=(surprise(SECOND, 0.999),))
    assert (kept.state, gone.state, gone.shown, gone.reason, gone.new) == (
        "used", "retracted", "12", "retracted, known on day 40", True,
    )  # fmt: skip
    assert gone.forecast_before and gone.pit is None
    inputs = example(labs=(kept, gone))
    assert json_data.data_counts(inputs).startswith("1 labs used, 1 retracted")
    (counted,) = [w for w in rules.evaluate(inputs) if w.code == "W-DATA-CORR"]
    assert counted.severity == rules.NOTE and "W-FIT-1" not in {w.code for w in rules.evaluate(inputs)}
    report = make_report(inputs)
    assert not report.failures and "retracted, known on day 40" in report.html


def test_a_lab_corrected_and_then_retracted_stands_there_once_with_its_last_value():
    wrong = replace(SECOND, value=120.0)
    record = PatientRecord("P", labs=(FIRST,), past=(Superseded(wrong, 35.0), Superseded(SECOND, 40.0)))
    found = lab_ledger(SimpleNamespace(model=MODEL, record=record, history=()), None)
    assert [(lab.state, lab.shown) for lab in found] == [("used", "20"), ("retracted", "12")]


def test_a_tenfold_lab_warns_where_no_report_was_published_before():
    wrong = replace(SECOND, value=120.0)
    labs = ledger((FIRST, wrong), learnt=(surprise(wrong, 0.9999, "ten times too high"),))
    assert all(lab.new for lab in labs)
    report = make_report(example(labs=labs, clock=replace(example().clock, data_cut_time=30.0)))
    assert report.status == rules.CAUTION and "possible unit error" in report.document["first_reasons"][0]
    assert not any("(new)" in lab["state_shown"] for lab in report.document["labs"])  # all are: the word says nothing


def test_a_correction_to_a_tenfold_value_warns_and_what_the_last_report_saw_does_not():
    wrong = replace(SECOND, value=120.0)
    bad = surprise(wrong, 0.9999, "ten times too high")
    corrected = ledger((FIRST, wrong), past=(SECOND,), seen=(FIRST, SECOND), learnt=(surprise(SECOND, 0.5), bad))
    assert [(lab.state, lab.new) for lab in corrected] == [("used", False), ("corrected", True)]
    assert "W-FIT-1" in {w.code for w in rules.evaluate(example(labs=corrected))}
    known = ledger((FIRST, wrong), seen=(FIRST, wrong), learnt=(bad,))
    assert not any(lab.new for lab in known) and "W-FIT-1" not in {w.code for w in rules.evaluate(example(labs=known))}


def test_a_surprise_of_the_value_before_its_correction_is_not_that_of_the_lab():
    (_, lab) = ledger((FIRST, SECOND), past=(replace(SECOND, value=120.0),), seen=(FIRST,), learnt=(
        surprise(replace(SECOND, value=120.0), 0.9999, "ten times too high"),
    ))  # fmt: skip
    assert lab.state == "corrected" and lab.pit is None and not lab.alarm and lab.forecast_before


def test_a_surprise_of_an_interval_whose_upper_end_was_corrected_is_not_that_of_the_lab():
    narrow, wide = (Lab("i", "m_protein", 28.0, 10.0, 28.0, "interval", upper) for upper in (16.0, 40.0))
    (lab,) = ledger((wide,), past=(narrow,), learnt=(surprise(narrow, 0.001),))
    assert lab.state == "corrected" and lab.shown == "10 to 40" and lab.pit is None and lab.log_score is None
    assert ledger((wide,), learnt=(surprise(wide, 0.4),))[0].pit == (0.4, 0.4)


def test_a_censored_lab_counts_as_held_by_its_drawn_probability_not_by_touching_the_range():
    beyond = replace(ledger((FIRST, SECOND), learnt=(surprise(SECOND, 0.5),))[1], state="censored", pit=(0.0, 0.12))
    labs = tuple(replace(beyond, lab_id=f"c{k}", pit_drawn=0.01 * k) for k in range(12))
    assert _fit(example(labs=labs)).endswith("80 % ranges held 2 of 12 labs")


def test_no_concentration_below_zero_was_expected():
    """The error model of M-protein is normal, and its lower tail passes zero."""
    low = surprise(FIRST, 0.5)
    low.quantiles = {q: 20 * q - 1 for q in LEVELS}
    (only,) = ledger((FIRST,), learnt=(low,))
    assert only.forecast_before[0.025] == 0.0 and only.forecast_before[0.1] == 1.0
