"""A row holds for what the record says by the time at which it would start, and for nothing that lies ahead."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from bayestwin.prognosis.life_table import background_integral, life_table
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.printed import _not_checked
from bayestwin.records import ClinicalEvent, Lab, PatientRecord, read_records
from bayestwin.specification import load_model

MYELOMA = load_model("myeloma_car_t")
FIT = {
    "prior_bcma": 0, "prior_lines": 3, "triple_class_exposed": 1, "anti_cd38_refractory": 0,
    "pomalidomide_refractory": 0, "lenalidomide_refractory": 0, "carfilzomib_refractory": 0,
}  # fmt: skip
BCMA = "no prior BCMA therapy"


def why(name, events=(), now=20.0, **covariates):
    """Why a row has no number, "" where it has one."""
    made = tuple(ClinicalEvent(e, t, t, v) for e, t, v in events)
    plan = make_plans(MYELOMA, PatientRecord("M-1", covariates=FIT | covariates, events=made), [name], now)[0]
    return plan.refused


def test_what_was_said_last_counts_from_then_on():
    said = [("covariate", 100.0, "lenalidomide_refractory = 1"), ("covariate", 100.0, "prior_lines = 6")]
    assert why("dara_rd", said, now=99.0) == ""
    assert "lenalidomide" in why("dara_rd", said, now=100.0)
    assert "prior_lines" in why("krd", said[1:], now=100.0) and why("krd", said[1:], now=99.0) == ""


def test_every_rule_that_a_patient_is_outside_of_is_said():
    said = why("ide_cel", prior_lines=1, prior_bcma=1, triple_class_exposed=0)
    assert said.count("; ") == 2 and all(word in said for word in ("prior_lines", BCMA, "triple-class"))
    assert why("ide_cel", prior_bcma=1).endswith(BCMA)


def test_the_treatment_in_force_says_from_where_a_rise_counts_and_others_begin_anew():
    record = PatientRecord("M-1", covariates=FIT, events=(ClinicalEvent("line_of_therapy", 5.0, 5.0, "kd"),))
    goes_on, new = make_plans(MYELOMA, record, ["kd", "krd"], 20.0)
    assert (goes_on.new, goes_on.start, new.new, new.start) == (False, 5.0, True, 20.0)
    assert "a rise counts over the lowest value since it began" in goes_on.assumption
    assert "lowest" not in new.assumption


def test_events_csv_says_what_acts_on_no_parameter_and_who_may_have_a_treatment_follows(tmp_path):
    """Refractory to anti-CD38 since day 100: neither in patients.csv, which would mean always, nor on any parameter."""
    assert "anti_cd38_refractory" not in MYELOMA.acting_covariates
    files = {
        "patients": "patient,anti_cd38_refractory,lenalidomide_refractory,prior_lines\n1,0,1,2\n",
        "labs": "patient,time,output,value,unit\n1,0,m_protein,30,g/L\n1,150,m_protein,25,g/L\n",
        "events": "patient,time,known_time,event,value,status\n1,100,110,covariate,anti_cd38_refractory = 1,\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")

    def read(**more):
        paths = {name: tmp_path / f"{name}.csv" for name in files}
        return read_records(MYELOMA.record_schema(), **paths, **more)

    reading = read()
    record = reading.cohort["1"]
    assert not reading.refusals and record.covariates["anti_cd38_refractory"] == 0

    def why_not(of, now):
        return make_plans(MYELOMA, of, ["dara_pd"], now)[0].refused

    assert why_not(record, 99.0) == "" and "anti-CD38" in why_not(record, 100.0)
    assert why_not(reading.at(105)["1"], 105.0) == ""  # not known yet
    (tmp_path / "events.csv").write_text(files["events"] + "1,100,140,covariate,anti_cd38_refractory = 1,retracted\n")
    assert why_not(read().cohort["1"], 150.0) == ""
    (tmp_path / "events.csv").write_text(files["events"] + "1,90,90,covariate,ward = 3,\n")
    refused = read().refusals
    assert len(refused) == 1 and "anti_cd38_refractory" in str(refused[0])


@pytest.mark.parametrize("rival", ["teclistamab", "cilta_cel", "elranatamab"])
def test_a_plan_rules_out_no_rival_and_what_was_given_does(rival):
    planned = [("leukapheresis", 5.0, ""), ("infusion", 54.0, "ide_cel")]
    assert why(rival, planned) == ""
    assert BCMA in why(rival, planned, now=54.0)


def test_a_second_course_of_the_same_cells_is_prior_therapy_and_the_one_in_force_is_not():
    once = [("infusion", 10.0, "ide_cel")]
    assert why("ide_cel", once) == ""  # in force
    assert BCMA in why("ide_cel", [*once, ("line_of_therapy", 200.0, "dara_pd")], now=300.0, prior_lines=2)


def test_lines_begun_since_they_were_counted_add_to_them():
    three = [("line_of_therapy", t, n) for t, n in ((0.0, "rd"), (100.0, "kd"), (200.0, "dara_vd"))]
    assert why("ide_cel", three, now=99.0, prior_lines=3) == ""  # 3 and Rd
    assert "2 <= prior_lines <= 4" in why("ide_cel", three, now=300.0, prior_lines=3)
    assert "3 <= prior_lines" in why("teclistamab", three, now=50.0, prior_lines=1)
    assert why("teclistamab", three, now=150.0, prior_lines=1) == ""
    again = [("covariate", 150.0, "prior_lines = 3")]  # said between: the two before are in it
    assert why("ide_cel", [*three, *again], now=300.0, prior_lines=1) == ""


def test_a_line_begun_again_while_it_is_in_force_and_bridging_are_no_further_lines():
    again = [("line_of_therapy", 0.0, "rd"), ("line_of_therapy", 50.0, "rd")]
    assert why("ide_cel", again, now=60.0, prior_lines=3) == ""
    bridged = [("line_of_therapy", 1.0, "rd"), ("leukapheresis", 14.0, ""), ("line_of_therapy", 20.0, "kd")]
    assert why("ide_cel", bridged, now=40.0, prior_lines=3) == ""  # the fifth would be too many
    held = [("line_of_therapy", 5.0, "dara_pd"), ("leukapheresis", 9.0, "")]
    assert why("ide_cel", held, now=40.0, prior_lines=4) == ""  # begun on the way to the leukapheresis
    assert "2 <= prior_lines" in why("ide_cel", held[:1], now=40.0, prior_lines=4)
    after = [*bridged, ("infusion", 63.0, "ide_cel"), ("line_of_therapy", 300.0, "dara_pd")]
    assert why("isa_kd", after, now=400.0, prior_lines=0) == ""  # Rd, cells, D-Pd
    assert "1 <= prior_lines <= 3" in why("isa_kd", after, now=400.0, prior_lines=1)


def test_a_pause_is_no_line_and_what_goes_on_after_it_is_one_only_where_the_disease_progressed():
    paused = [("line_of_therapy", t, n) for t, n in ((1.0, "kd"), (120.0, "observation"), (420.0, "kd"))]
    assert why("ide_cel", paused, now=430.0, prior_lines=3) == ""  # 3 and Kd: 6 with the pause and what goes on
    relapsed = [*paused[:2], ("progression", 400.0, ""), paused[2]]
    assert why("ide_cel", relapsed, now=430.0, prior_lines=2) == ""  # 2, Kd, Kd
    assert "2 <= prior_lines <= 4" in why("ide_cel", relapsed, now=430.0, prior_lines=3)
    other = [*paused[:2], ("line_of_therapy", 420.0, "pd")]
    assert "2 <= prior_lines <= 4" in why("ide_cel", other, now=430.0, prior_lines=3)


def test_a_number_of_numpy_counts_as_the_number_that_it_is():
    begun = [("line_of_therapy", 10.0, "pd")]
    said = [why("ide_cel", begun, prior_lines=lines) for lines in (4, np.int64(4), np.float32(4.0))]
    assert "2 <= prior_lines <= 4" in said[0] and said == [said[0]] * 3
    one, other = (PatientRecord("M-1", covariates={"age_years": age, "sex": "male"}) for age in (70, np.int64(70)))
    assert type(other.covariates["age_years"]) is int and other.data_hash == one.data_hash
    table, days = life_table("germany_2020_2022"), np.array([365.25])
    assert background_integral(table, other.covariates, 0.0, days) == background_integral(
        table, one.covariates, 0.0, days
    )


def test_a_leukapheresis_whose_cells_have_come_excuses_no_line_begun_since():
    used = [("leukapheresis", 0.0, ""), ("infusion", 60.0, "ide_cel")]
    lines = [("line_of_therapy", t, n) for t, n in ((200.0, "pd"), (300.0, "kd"))]
    assert "2 <= prior_lines <= 4" in why("ide_cel", [*used, *lines], now=400.0, prior_lines=2)
    on_the_way = [*used, *lines, ("leukapheresis", 310.0, ""), ("line_of_therapy", 320.0, "rd")]
    assert BCMA in why("ide_cel", on_the_way, now=400.0, prior_lines=2)  # Kd and Rd bridge to the second cells


def test_a_schedule_is_asked_at_each_step():
    from bayestwin.dosing import Schedule

    record = PatientRecord("M-1", covariates=FIT)
    rows = {"both": Schedule((("0 day", "teclistamab"), ("6 month", "elranatamab")))}
    assert BCMA in make_plans(MYELOMA, record, rows, 20.0)[0].refused


@pytest.mark.parametrize("taken", [(), (ClinicalEvent("leukapheresis", 20.0, 20.0),)])
def test_what_bridges_to_cells_in_a_schedule_is_no_line_for_them_and_what_comes_before_is(taken):
    """Bridging at the data cut, cells as soon as they can be there; with a leukapheresis of that day and without."""
    from bayestwin.dosing import Schedule

    first = 63 - 14 * len(taken)

    def asked(bridge, day, **said):
        record = PatientRecord("M-1", events=taken, covariates=FIT | said)
        rows = {"ide_cel": None, "both": Schedule((("0 day", bridge), (f"{day} day", "ide_cel")))}
        alone, both = make_plans(MYELOMA, record, rows, 20.0, span=1000.0)
        return alone.refused, both.refused

    assert asked("pd", first, prior_lines=4) == ("", "")
    assert [("2 <= prior_lines" in why) for why in asked("pd", first, prior_lines=1)] == [True, True]
    assert [(BCMA in why) for why in asked("teclistamab", first)] == [False, True]
    if not taken:  # who sets out for the leukapheresis half a year on has had that line
        assert [("2 <= prior_lines" in why) for why in asked("pd", 300, prior_lines=4)] == [False, True]


def test_who_progressed_under_a_drug_is_refractory_to_it():
    few = partial(why, prior_lines=1)
    lines = [("line_of_therapy", 0.0, "dara_pd"), ("progression", 200.0, ""), ("line_of_therapy", 210.0, "kd")]
    assert all(few(name, lines[:1], now=190.0) == "" for name in ("isa_kd", "dara_rd"))
    for name, rule in {"dara_rd": "anti-CD38", "isa_kd": "anti-CD38", "pd": "pomalidomide"}.items():
        said = few(name, lines, now=300.0)
        assert rule in said and "progression under Daratumumab, pomalidomide, dexamethasone, day 200" in said
    assert few("krd", lines, now=300.0) == ""  # no progression under carfilzomib yet
    assert few("dara_rd", lines, now=199.0) == ""
    # found 50 days after the line was left: refractory to it still; 70 days: to what came then alone
    for day, refused in ((260.0, True), (280.0, False)):
        left = [lines[0], lines[2], ("progression", day, "")]
        assert bool(few("dara_rd", left, now=300.0)) == refused and "carfilzomib" in few("krd", left, now=300.0)
    # a regimen of fixed length: over since day 168
    for day, refused in ((200.0, True), (400.0, False)):
        alone = [("line_of_therapy", 0.0, "vd"), ("progression", day, "")]
        assert bool(few("pvd", alone, now=500.0, bortezomib_refractory=0)) == refused
    said_since = [*lines, ("covariate", 250.0, "anti_cd38_refractory = 0")]
    assert few("dara_rd", said_since, now=300.0) == ""


def test_a_progression_that_labs_show_makes_refractory_too():
    course = {0.0: 30.0, 28.0: 12.0, 56.0: 10.0, 84.0: 22.0, 112.0: 30.0}
    labs = tuple(Lab(f"m{t:g}", "m_protein", t, value, t) for t, value in course.items())
    events = (ClinicalEvent("line_of_therapy", 0.0, 0.0, "dara_pd"),)
    record = PatientRecord("M-1", covariates=FIT | {"isotype": "IgG"}, events=events, labs=labs)
    assert "progression under" in make_plans(MYELOMA, record, ["dara_rd"], 112.0)[0].refused
    kept = PatientRecord("M-1", covariates=FIT | {"isotype": "IgG"}, events=events, labs=labs[:3])
    assert make_plans(MYELOMA, kept, ["dara_rd"], 112.0)[0].refused == ""


def test_a_forecast_in_words_says_which_rules_could_not_be_checked():
    plan = make_plans(MYELOMA, PatientRecord("M-1", covariates=FIT | {"lenalidomide_refractory": None}), ["rd"], 20.0)
    (said,) = _not_checked(SimpleNamespace(plan=plan[0]))
    assert said.strip() == "not checked, because the record does not say: not refractory to lenalidomide"
    (known,) = make_plans(MYELOMA, PatientRecord("M-1", covariates=FIT), ["rd"], 20.0)
    assert _not_checked(SimpleNamespace(plan=known)) == []
