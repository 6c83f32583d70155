"""doses.csv and events.csv: what was given and what happened."""

from dataclasses import replace

import pytest

from bayestwin.dynamics.timeline import treatment_starts
from bayestwin.specification import load_model

DOSES = "patient,time,known_time,amount,unit,compartment,route,duration,rate,treatment,addl,ii,ss,status\n"
EVENTS = "patient,time,known_time,event,value,status\n"
PATIENTS = "patient,weight_kg\nP1,70\nP2,\n"


def dose(
    patient="P1",
    time="0",
    known="",
    amount="100",
    unit="mg",
    compartment="",
    route="iv",
    duration="",
    rate="",
    treatment="",
    addl="",
    ii="",
    ss="",
    status="",
):
    cells = (patient, time, known, amount, unit, compartment, route, duration, rate, treatment, addl, ii, ss, status)
    return ",".join(cells) + "\n"


def only_dose(reading):
    assert not reading.refusals, reading.summary()
    ((one,),) = [p.doses for p in reading.cohort if p.doses]
    return one


def test_a_dose_is_read_into_the_models_units(read):
    one = only_dose(
        read(doses=DOSES + dose(amount="0.1", unit="g", duration="30 min", treatment="dara_pd", addl="7", ii="7"))
    )
    assert (one.amount, one.target, one.treatment, one.addl, one.ii) == (100.0, "iv", "dara_pd", 7, 7.0)
    assert one.duration == pytest.approx(1 / 48)
    assert [d.time for d in one.expanded()] == [7.0 * k for k in range(8)]


def test_a_dose_per_kg_uses_the_weight_in_patients_csv(read):
    assert only_dose(read(doses=DOSES + dose(amount="16", unit="mg/kg"), patients=PATIENTS)).amount == 1120.0
    (refusal,) = read(doses=DOSES + dose(patient="P2", amount="16", unit="mg/kg"), patients=PATIENTS).refusals
    assert refusal.column == "unit" and "weight_kg" in refusal.allowed


def test_a_patient_without_the_size_that_a_treatment_is_dosed_by_is_noted(read, schema):
    dosed = replace(schema, dosed_per={"dara_pd": ("kg",), "kd": ("m2",), "vrd": ("m2",)})
    reading = read(schema=dosed, patients="patient,weight_kg,height_cm\nP1,70,\nP2,,180\nP3,60,170\n")
    assert "no weight_kg, so no forecast of dara_pd, dosed per kg: patient P2." in reading.notes
    said = "no bsa_m2, or height_cm and weight_kg, so no forecast of kd, vrd, dosed per m2: patients P1, P2."
    assert said in reading.notes and len([n for n in reading.notes if "dosed per" in n]) == 2


def test_rate_and_duration_say_the_same_thing(read):
    by_rate = only_dose(read(doses=DOSES + dose(rate="50", duration="")))
    by_both = only_dose(read(doses=DOSES + dose(rate="50", duration="2")))
    assert by_rate.duration == by_both.duration == 2.0
    in_hours = only_dose(read(doses=DOSES + dose(rate="50"), time_unit="h"))
    assert in_hours.duration == pytest.approx(2 / 24)


@pytest.mark.parametrize(
    ("changes", "column", "says"),
    [
        ({"amount": "-5"}, "amount", "more than 0"),
        ({"amount": "0"}, "amount", "not given"),
        ({"amount": ""}, "amount", "missing"),
        ({"unit": ""}, "unit", "no unit"),
        ({"amount": "1e12"}, "amount", "a dose of 1e+12 mg is implausible (found '1e12'), expected 1e-09 to 1e+06 mg"),
        ({"amount": "2", "unit": "kg"}, "amount", "a dose of 2 kg is implausible"),
        ({"amount": "1e-20"}, "amount", "a dose of 1e-20 mg is implausible"),
        ({"rate": "1e12"}, "rate", "the infusion would last 8.6e-06 s (found '1e12'), expected at least 0.1 s"),
        ({"duration": "1e-9"}, "duration", "the infusion would last 8.6e-05 s"),
        ({"unit": "mL"}, "unit", "different things"),
        ({"unit": "mgg"}, "unit", "not known"),
        ({"route": "ivv"}, "route", "Is iv meant?"),
        ({"route": "", "compartment": "liver"}, "compartment", "one of depot, central"),
        ({"route": "", "compartment": "3"}, "compartment", "not known"),
        ({"route": "", "compartment": ""}, "compartment", "missing"),
        ({"compartment": "central"}, "route", "compartment and a route"),
        ({"treatment": "dara_vd"}, "treatment", "Is dara_pd meant?"),
        ({"ss": "3", "ii": "12"}, "ss", "(SS 3) is not supported"),
        ({"ss": "7", "ii": "12"}, "ss", "0 or empty, 1 or 2"),
        ({"duration": "modelled"}, "duration", "no parameter for the duration of doses into central"),
        ({"duration": "modelled", "rate": "5"}, "rate", "left to the model"),
        ({"ss": "1"}, "ii", "steady-state doses need an interval"),
        ({"addl": "3"}, "ii", "need an interval"),
        ({"addl": "-1"}, "addl", "impossible"),
        ({"addl": "1.5", "ii": "2"}, "addl", "whole number"),
        ({"addl": "9999", "ii": "300"}, "addl", "implausibly long"),
        ({"duration": "-1"}, "duration", "negative"),
        ({"duration": "soon"}, "duration", "30 min"),
        ({"rate": "-2"}, "rate", "write modelled"),
        ({"rate": "50", "duration": "5"}, "rate", "contradict"),
        ({"rate": "1e-300"}, "rate", "implausibly long (found '1e-300')"),
        ({"rate": "1e-308"}, "rate", "implausibly long (found '1e-308')"),
    ],
)
def test_bad_doses_are_refused_and_leave_a_marked_hole(read, changes, column, says):
    reading = read(doses=DOSES + dose(time="1") + dose(time="2", **changes))
    (refusal,) = reading.refusals
    assert refusal.row == 3 and (not column or refusal.column == column)
    assert any(part in str(refusal) for part in says.split("|")), str(refusal)
    assert reading.incomplete_doses == ("P1",) and "Incomplete dose history" in reading.summary()
    assert len(reading.cohort["P1"].doses) == 1


def test_a_dose_a_thousand_times_the_others_is_used_and_noted(read):
    usual = DOSES + "".join(dose(time=str(t), amount=a) for t, a in enumerate(("100", "2", "50", "60000")))
    assert not any("median dose" in note for note in read(doses=usual).notes)
    reading = read(doses=usual + dose(time="9", unit="g", amount="110"))
    assert max(d.amount for d in reading.cohort["P1"].doses) == 110_000.0 and not reading.refusals
    (note,) = [note for note in reading.notes if "median dose" in note]
    assert note.startswith("1 dose into central a thousandth or a thousand times the median dose of 100 mg, used as")
    assert "the first is 110000 of patient P1" in note


def test_doses_are_corrected_and_withdrawn_like_labs(read):
    reading = read(
        doses=DOSES
        + dose(known="1")
        + dose(known="5", amount="80", status="corrected")
        + dose(time="7")
        + dose(time="7", known="9", amount="", unit="", status="retracted")
        + dose(time="14")
        + dose(time="14")
    )
    assert [(d.time, d.amount) for d in reading.cohort["P1"].doses] == [(0.0, 80.0), (14.0, 100.0)]
    assert [(d.time, d.amount) for d in reading.at(8)["P1"].doses] == [(0.0, 80.0), (7.0, 100.0)]
    assert [(d.time, d.amount) for d in reading.at(1)["P1"].doses] == [(0.0, 100.0)]
    assert [r.row for r in reading.refusals] == [7] and not reading.incomplete_doses


def test_a_planned_dose_may_be_known_before_it_is_given_but_not_lie_in_the_future(read):
    assert only_dose(read(doses=DOSES + dose(time="7", known="0"))).known_time == 0.0
    (refusal,) = read(doses=DOSES + dose(time="2026-03-01", addl="4", ii="7"), as_of="2026-03-10").refusals
    assert refusal.column == "addl" and "future" in refusal.reason
    assert not read(doses=DOSES + dose(time="2026-03-01", addl="1", ii="7"), as_of="2026-03-10").refusals


def test_a_size_that_is_corrected_later_is_told_where_doses_were_read_with_the_earlier_one(read):
    given, weight = DOSES + dose(amount="16", unit="mg/kg"), "patient,weight_kg\nP1,"
    base = read(patients=weight + "70\n", doses=given).cohort
    again = read(patients=weight + "85\n", base=base)
    (note,) = (note for note in again.notes if "as computed then" in note)
    assert "weight_kg is 85.0 and was 70.0 when 1 dose of the earlier record was read" in note
    assert only_dose(again).amount == 1120.0
    mended = read(
        patients=weight + "85\n", doses=DOSES + dose(amount="16", unit="mg/kg", status="corrected"), base=again.cohort
    )
    assert only_dose(mended).amount == 1360.0 and not mended.refusals
    assert not any(
        "as computed then" in note for note in [*mended.notes, *read(patients=weight + "70\n", base=base).notes]
    )


@pytest.mark.parametrize(("order", "expected"), [("", -1), ("-1", -1), ("1", 1), ("0", -1)])
def test_in_tidy_files_the_observation_comes_first_unless_order_says_otherwise(read, order, expected):
    labs = f"patient,time,output,value,unit,order\nP1,5,m_protein,31,g/L,{order}\n"
    reading = read(labs=labs, doses=DOSES + dose(time="5"))
    assert (reading.cohort["P1"].labs[0].order, reading.cohort["P1"].doses[0].order) == (expected, 0)


def test_labs_before_and_after_one_dose_are_two_labs(read):
    labs = "patient,time,output,value,unit,order\nP1,5,m_protein,31,g/L,\nP1,5,m_protein,30,g/L,1\n"
    reading = read(labs=labs, doses=DOSES + dose(time="5"))
    assert not reading.refusals and {(r.value, r.order) for r in reading.cohort["P1"].labs} == {(31.0, -1), (30.0, 1)}


def test_events_are_read_with_their_treatment(read):
    reading = read(events=EVENTS + "P1,0,,line_of_therapy,dara_pd,\nP1,49,,infusion,ide_cel,\nP1,77,80,assessed,,\n")
    assert [(e.event, e.time, e.known_time, e.value) for e in reading.cohort["P1"].events] == [
        ("line_of_therapy", 0.0, 0.0, "dara_pd"),
        ("infusion", 49.0, 49.0, "ide_cel"),
        ("assessed", 77.0, 80.0, ""),
    ]


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("P1,1,,relapse,,", "event", "one of line_of_therapy"),
        ("P1,1,,Death,,", "event", "Is death meant?"),
        ("P1,1,,infusion,,", "value", "missing"),
        (
            "P1,1,,infusion,dara_pd,",
            "value",
            "dara_pd does not begin with an infusion of cells (found 'dara_pd'), expected one of ide_cel",
        ),
        ("P1,1,,infusion,dara_pd,", "value", "Write the event line_of_therapy with the value dara_pd"),
        ("P1,1,,line_of_therapy,VRd,", "value", "one of ide_cel"),
        ("P1,9,5,progression,,", "known_time", "before it happened"),
        ("P1,x,,progression,,", "time", "number"),
    ],
)
def test_bad_events_are_refused(read, line, column, says):
    reading = read(events=EVENTS + "P1,0,,assessed,,\n" + line + "\n")
    (refusal,) = reading.refusals
    assert refusal.column == column and says in str(refusal), str(refusal)


def test_cells_without_their_infusion_and_two_starts_at_one_time_are_said(read):
    events = EVENTS + "P1,5,,line_of_therapy,cilta_cel,\nP2,5,,line_of_therapy,dara_pd,\nP2,5,,infusion,ide_cel,\n"
    events += "P3,60,,line_of_therapy,ide_cel,\nP3,60,,infusion,ide_cel,\nP3,90,,line_of_therapy,dara_pd,\n"
    reading = read(events=events)
    assert not reading.refusals
    lacking, together = [n for n in reading.notes if "begin" in n]
    assert "cilta_cel" in lacking and lacking.endswith("so it counts as not given: patient P1.")
    assert together.startswith("two treatments begin at one time") and together.endswith("patient P2.")


def test_two_infusions_of_one_product_within_four_weeks_are_said(read):
    events = EVENTS + "P1,5,,infusion,ide_cel,\nP1,6,,infusion,ide_cel,\nP2,5,,infusion,ide_cel,\n"
    reading = read(events=events + "P2,40,,infusion,ide_cel,\nP3,5,,infusion,ide_cel,\nP3,9,,infusion,cilta_cel,\n")
    (said,) = [n for n in reading.notes if "infused twice" in n]
    assert said.endswith("patient P1.") and len(reading.cohort["P1"].events) == 2


@pytest.mark.parametrize("line", ["observation", "kd", "dara_pd"])
def test_cells_infused_on_the_day_of_a_line_hold(read, line):
    model = load_model("myeloma_car_t")
    events = EVENTS + f"P2,5,,infusion,ide_cel,\nP2,5,,line_of_therapy,{line},\n"
    reading = read(model.record_schema(), events=events)
    assert treatment_starts(model, reading.cohort["P2"]) == [(5.0, line), (5.0, "ide_cel")]


def test_nothing_is_measured_or_given_after_death_but_results_may_arrive(read):
    labs = "patient,time,known_time,output,value,unit\nP1,99,120,m_protein,31,g/L\n"
    labs += "P1,100.4,,m_protein,31,g/L\nP1,105,,m_protein,9,g/L\n"
    reading = read(
        labs=labs, doses=DOSES + dose(time="130"), events=EVENTS + "P1,100,,death,,\nP1,140,,last_known_alive,,\n"
    )
    assert sorted((r.file, r.row) for r in reading.refusals) == [("doses.csv", 2), ("events.csv", 3), ("labs.csv", 4)]
    assert all("death" in r.reason for r in reading.refusals) and len(reading.cohort["P1"].labs) == 2


def test_two_deaths_that_contradict_each_other_are_both_refused(read):
    reading = read(events=EVENTS + "P1,100,110,death,,\nP1,90,110,death,,\n")
    assert len(reading.refusals) == 2 and not reading.cohort["P1"].events


@pytest.mark.parametrize("order", [1, -1])
def test_two_deaths_without_known_time_contradict_each_other(read, order):
    reading = read(events=EVENTS + "".join(["P1,90,,death,,\n", "P1,100,,death,,\n"][::order]))
    assert [(r.row, r.column) for r in reading.refusals] == [(2, "time"), (3, "time")] and not reading.cohort["P1"].past
    assert {r.value for r in reading.refusals} == {"90", "100"} and "later known_time" in reading.refusals[0].next_step


@pytest.mark.parametrize(
    ("rows", "time"),
    [
        (["P1,90,,death,,", "P1,100,120,death,,"], 100.0),
        (["P1,100,120,death,,", "P1,90,,death,,"], 100.0),
        (["P1,90,95,death,,", "P1,100,,death,,"], 100.0),
        (["P1,100,,death,,", "P1,90,,death,,corrected"], 90.0),
    ],
)
def test_a_death_whose_correction_is_said_is_corrected(read, rows, time):
    reading = read(events=EVENTS + "\n".join(rows) + "\n")
    assert not reading.refusals and [e.time for e in reading.cohort["P1"].events] == [time]


def test_a_second_death_sent_later_without_known_time_does_not_replace_the_first(read):
    first = read(events=EVENTS + "P1,90,,death,,\n")
    for later in ("100", "80"):
        second = read(events=EVENTS + f"P1,{later},,death,,\n", base=first.cohort)
        assert len(second.refusals) == 1 and [e.time for e in second.cohort["P1"].events] == [90.0]
    corrected = read(events=EVENTS + "P1,100,120,death,,\n", base=first.cohort)
    assert not corrected.refusals and [e.time for e in corrected.cohort["P1"].events] == [100.0]


def test_a_dose_may_leave_its_duration_or_rate_to_a_parameter_of_the_model(read, schema):
    said = replace(schema, modelled={"central": ("duration",), "depot": ("rate",)})
    rows = dose(duration="modelled") + dose(time="3", route="sc", rate="Modelled", ss="1", ii="7")
    (first, second) = read(said, doses=DOSES + rows).cohort["P1"].doses
    assert (first.modelled, first.duration, first.target) == ("duration", 0.0, "iv")
    assert (second.modelled, second.rate, second.ss, second.ii) == ("rate", 0.0, 1, 7.0)
    (refusal,) = read(said, doses=DOSES + dose(rate="modelled")).refusals
    assert refusal.column == "rate" and "Dosing(rate=...)" in refusal.next_step


def test_a_line_written_every_cycle_is_noted_and_goes_on(read):
    rows = ["P1,0,,line_of_therapy,dara_pd,", "P1,28,,line_of_therapy,dara_pd,", "P2,0,,line_of_therapy,dara_pd,",
            "P2,90,,line_of_therapy,teclistamab,", "P2,150,,line_of_therapy,dara_pd,", "P3,10,,infusion,ide_cel,",
            "P3,400,,infusion,ide_cel,"]  # fmt: skip
    reading = read(events=EVENTS + "\n".join(rows) + "\n")
    (note,) = (n for n in reading.notes if "begun again" in n)
    assert not reading.refusals and len(reading.cohort["P1"].events) == 2
    assert note == (
        "line of therapy dara_pd begun again while it is in force, so it goes on since its first start "
        "(where it was stopped between, say what was begun then, or observation): patient P1."
    )
