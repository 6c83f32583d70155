"""labs.csv: units, limits, plausibility; each refusal names patient, row, column, value, range and next step."""

from dataclasses import replace

import pytest

from bayestwin.labs import LabSpec
from bayestwin.specification.load import load_model

HEAD = "patient,lab_id,time,known_time,output,value,unit,comparator,lloq,lab,product,status\n"


def row(
    patient="P1",
    lab_id="",
    time="0",
    known="",
    output="m_protein",
    value="31",
    unit="g/L",
    comparator="",
    lloq="",
    status="",
):
    return f"{patient},{lab_id},{time},{known},{output},{value},{unit},{comparator},{lloq},,,{status}\n"


def only_lab(reading):
    assert not reading.refusals, reading.summary()
    (patient,) = reading.cohort
    (lab,) = patient.labs
    return lab


def only_refusal(reading):
    (refusal,) = reading.refusals
    return refusal


def test_g_per_dl_and_g_per_l_give_the_same_lab(read):
    a = only_lab(read(labs=HEAD + row(value="3.1", unit="g/dL")))
    b = only_lab(read(labs=HEAD + row(value="31", unit="g/L")))
    assert a == b
    assert (a.value, a.time, a.known_time, a.lab_id, a.order) == (31.0, 0.0, 0.0, "m_protein@0", -1)


def test_a_laboratory_that_reports_moles_is_understood_for_creatinine(read):
    lab = only_lab(read(labs=HEAD + row(output="creatinine", value="88.4", unit="umol/L")))
    assert lab.value == pytest.approx(1.0, rel=1e-3)


def test_the_refusal_of_an_implausible_value_reads_as_the_house_style_says(read):
    refusal = only_refusal(read(labs=HEAD + row(patient="P-017", output="creatinine", value="88", unit="mg/dL")))
    assert (refusal.patient, refusal.file, refusal.row, refusal.column, refusal.value) == (
        "P-017",
        "labs.csv",
        2,
        "value",
        "88",
    )
    assert str(refusal) == (
        "patient P-017, labs.csv row 2, value: creatinine = 88 mg/dL is implausible (found '88'), "
        "expected 0.1 to 30 mg/dL. "
        "In umol/L it would be plausible: if the laboratory reports umol/L, say unit=umol/L in that row."
    )


@pytest.mark.parametrize(
    ("value", "unit", "allowed", "hint"),
    [
        ("31", "g/dL", "0 to 12 g/dL (0 to 120 g/L)", "if the laboratory reports g/L, say unit=g/L in that row"),
        ("310", "g/L", "0 to 120 g/L", "unit="),
        ("1e9", "g/L", "0 to 120 g/L", "Check value and unit"),
    ],
)
def test_a_unit_slip_is_named_and_never_mended(read, value, unit, allowed, hint):
    reading = read(labs=HEAD + row(value=value, unit=unit))
    assert only_refusal(reading).allowed == allowed
    assert hint in only_refusal(reading).next_step
    assert len(reading.cohort) == 0 and any("no row that could be used" in note for note in reading.notes)


def test_a_value_without_a_unit_is_refused_where_a_factor_of_ten_is_at_stake(read):
    refusal = only_refusal(read(labs=HEAD + row(unit="")))
    assert refusal.column == "unit" and "factor of ten" in refusal.reason and refusal.next_step
    assert only_lab(read(labs=HEAD + row(output="response", value="2", unit=""))).value == 2.0


@pytest.mark.parametrize(
    ("changes", "column", "says"),
    [
        ({"value": "3,1"}, None, "cells"),  # an unquoted decimal comma is one cell too many
        ({"value": '"3,1"'}, "value", "decimal point"),
        ({"value": "nan"}, "value", "finite number"),
        ({"value": "inf"}, "value", "finite number"),
        ({"value": "1e999"}, "value", "finite number"),
        ({"value": "1_000"}, "value", "finite number"),
        ({"value": "٣"}, "value", "finite number"),
        ({"value": "negative"}, "value", "finite number"),
        ({"value": ""}, "value", "missing"),
        ({"value": "0"}, "value", "comparator <"),
        ({"value": "-3"}, "value", "impossible"),
        ({"unit": "g/l/l/x"}, "unit", "not known"),
        ({"unit": "copies/ug"}, "unit", "different things"),
        ({"output": "m_protien"}, "output", "Is m_protein meant?"),
        ({"output": "glucose"}, "output", "not known"),
        ({"patient": ""}, "patient", "no patient"),
        ({"time": ""}, "time", "missing"),
        ({"time": "3/9/2026"}, "time", "ISO date"),
        ({"time": "09.03.2026"}, "time", "ISO date"),
        ({"time": "2026-03"}, "time", "ISO date"),
        ({"time": "20260309"}, "time", "ISO date"),
        ({"time": "2026-02-30"}, "time", "no such date"),
        ({"time": "0026-02-20"}, "time", "implausible"),
        ({"time": "1e9"}, "time", "implausible"),
        ({"time": "5", "known": "3"}, "known_time", "before it happened"),
        ({"comparator": "~"}, "comparator", "<, >"),
        ({"comparator": ">", "value": "<3"}, "value", "finite number"),
        ({"status": "preliminary"}, "status", "final"),
        ({"lloq": "-1"}, "lloq", "negative"),
        ({"lloq": "abc"}, "lloq", "number"),
        (
            {"value": "<0.001", "lloq": "0.1"},
            "value",
            "the row says below 0.001 and, in lloq, below 0.1 (found '<0.001')",
        ),
        ({"value": "0.1", "comparator": "<", "lloq": "0.001"}, "value", "expected one limit: <0.001, or an empty lloq"),
        ({"value": ">0.001", "lloq": "0.1"}, "value", "above 0.001, and nothing below its lloq of 0.1 can be told"),
        ({"lloq": "500"}, "lloq", "m_protein = below 500 g/L is implausible (found '500')"),
        ({"output": "ife_serum", "value": "<1", "unit": ""}, "value", "no finding of ife_serum (found '<1')"),
        ({"value": "1e308"}, "value", "m_protein = 1e+308 g/L is implausible (found '1e308')"),
    ],
)
def test_bad_cells_are_refused_with_column_and_advice_and_good_rows_go_on(read, changes, column, says):
    reading = read(labs=HEAD + row(time="1") + row(**changes) + row(time="2"))
    refusal = only_refusal(reading)
    assert refusal.row == 3
    assert column is None or refusal.column == column
    assert says in str(refusal), str(refusal)
    assert refusal.allowed and refusal.next_step, refusal
    assert [lab.time for lab in reading.cohort["P1"].labs] == [1.0, 2.0]


def test_comparators_mark_censored_values_in_the_models_unit(read):
    below = only_lab(read(labs=HEAD + row(value="0.05", unit="g/dL", comparator="<")))
    assert (below.censoring, below.value, below.limit) == ("left", 0.5, 0.5)
    above = only_lab(read(labs=HEAD + row(output="involved_flc", value="100000", unit="mg/L", comparator=">")))
    assert (above.censoring, above.value, above.limit) == ("right", 100_000.0, 100_000.0)
    in_cell = only_lab(read(labs=HEAD + row(value="<0.5")))
    assert (in_cell.censoring, in_cell.value) == ("left", 0.5)


def test_a_value_below_its_lloq_is_left_censored_at_the_lloq_and_noted(read):
    reading = read(labs=HEAD + row(output="transgene", value="0", unit="copies/ug", lloq="50"))
    lab = only_lab(reading)
    assert (lab.censoring, lab.value, lab.limit) == ("left", 50.0, 50.0)
    assert any("left-censored at the lloq: 1 row." in note for note in reading.notes)
    measured = only_lab(read(labs=HEAD + row(output="transgene", value="80", unit="copies/ug", lloq="50")))
    assert (measured.censoring, measured.value, measured.limit) == ("none", 80.0, 50.0)
    empty = only_lab(read(labs=HEAD + row(output="transgene", value="", unit="copies/ug", comparator="<", lloq="50")))
    assert (empty.censoring, empty.value) == ("left", 50.0)


@pytest.mark.parametrize(("written", "code"), [("negative", 0.0), (" Positive ", 1.0), ("0", 0.0), ("1", 1.0)])
def test_a_finding_is_written_as_its_word_or_its_number(read, written, code):
    assert only_lab(read(labs=HEAD + row(output="ife_serum", value=written, unit=""))).value == code


@pytest.mark.parametrize("written", ["faint", "0.5", "<1", "", "posneg"])
def test_a_finding_in_other_words_is_refused_with_those_allowed(read, written):
    refusal = only_refusal(read(labs=HEAD + row(output="ife_serum", value=written, unit="")))
    assert "no finding of ife_serum" in str(refusal)
    assert refusal.allowed == "negative (0), positive (1)"


def test_an_unknown_patient_is_refused_only_where_patients_are_listed(read):
    labs = HEAD + row(patient="007")
    assert only_lab(read(labs=labs)).value == 31.0
    refusal = only_refusal(read(labs=labs, patients="patient\n7\n"))
    assert refusal.column == "patient" and "leading zeros" in refusal.next_step


def test_extra_columns_of_labs_are_ignored_with_a_note(read):
    reading = read(labs="patient,time,output,value,unit,colour\nP1,0,m_protein,31,g/L,blue\n")
    assert only_lab(reading).value == 31.0
    assert reading.notes == ("labs.csv: columns not read: colour.",)


def test_time_unit_converts_plain_numbers_of_time(read):
    assert only_lab(read(labs=HEAD + row(time="48", known="72"), time_unit="h")).time == 2.0


@pytest.fixture
def zeros(schema):
    """A marker whose zero is a value, one on the log scale, and a quantity of either sign."""
    labs = (
        LabSpec("m_protein", "g/L", (0.0, 120.0), positive=False),
        LabSpec("transgene", "copies/ug", (0.0, 1e8), scale="ln", positive=False),
        LabSpec("balance", "mmol/L", (-30.0, 30.0), positive=False),
    )
    return replace(schema, labs={spec.name: spec for spec in labs})


@pytest.mark.parametrize(
    ("output", "unit", "value", "comparator"),
    [
        ("transgene", "copies/ug", "0", ""),
        ("transgene", "copies/ug", "-3", ""),
        ("transgene", "copies/ug", "1e-13", ""),
        ("transgene", "copies/ug", "0", "<"),
        ("transgene", "copies/ug", "0", ">"),
        ("transgene", "copies/ug", "<-5", ""),
        ("m_protein", "g/L", "-1", "<"),
        ("m_protein", "g/dL", "<0", ""),
        ("m_protein", "g/L", ">0", ""),
    ],
)
def test_a_value_or_limit_of_nothing_is_refused_where_a_logarithm_or_a_limit_needs_more(
    read, zeros, output, unit, value, comparator
):
    bad = row(output=output, unit=unit, value=value, comparator=comparator)
    reading = read(zeros, labs=HEAD + row(time="1") + bad + row(time="2"))
    refusal = only_refusal(reading)
    assert (refusal.patient, refusal.row, refusal.column, refusal.value) == ("P1", 3, "value", value)
    assert "impossible" in refusal.reason and "more than" in refusal.allowed
    limit = (
        "upper limit with comparator >" if ">" in (comparator, value[0]) else "lower limit with comparator < instead"
    )
    assert f"Give the assay's {limit}" in refusal.next_step
    assert len(reading.cohort["P1"].labs) == 2


def test_zero_is_a_value_on_the_natural_scale_and_a_limit_may_be_negative_where_the_quantity_may(read, zeros):
    assert only_lab(read(zeros, labs=HEAD + row(value="0"))).value == 0.0
    negative = row(output="balance", unit="mmol/L", value="<-5")
    assert only_lab(read(zeros, labs=HEAD + negative)).limit == -5.0


def test_zero_below_its_lloq_is_censored_on_the_log_scale_and_a_negative_count_is_not(read, zeros):
    zero = row(output="transgene", unit="copies/ug", value="0", lloq="50")
    assert only_lab(read(zeros, labs=HEAD + zero)).censoring == "left"
    assert only_refusal(read(zeros, labs=HEAD + zero.replace(",0,copies", ",-20,copies"))).value == "-20"


def test_a_censored_dv_of_zero_is_refused_in_an_event_table(read, theophylline):
    (refusal,) = read(theophylline, event_table="ID,TIME,DV,CENS\n1,1,0,1\n1,2,0,0\n").refusals
    assert (refusal.row, refusal.column, refusal.value) == (2, "dv", "0") and "comparator <" in refusal.next_step


def test_the_schema_of_the_myeloma_model_lets_no_logarithm_of_nothing_through(read):
    schema = load_model("myeloma_car_t").record_schema()
    bad = row(output="transgene", unit="copies/ug", value="0") + row(value="<-1") + row(time="1", value="0")
    assert [r.row for r in read(schema, labs=HEAD + bad).refusals] == [2, 3]


def test_labs_of_a_product_that_was_never_infused_are_used_and_noted(read):
    head = "patient,time,output,value,unit,product\n"
    labs = head + "".join(f"P{k},60,transgene,900,copies/ug,ide_cel\n" for k in range(12))
    labs += "P0,70,transgene,90,copies/ug,ide_cel\nP0,70,m_protein,9,g/L,\n"
    events = "patient,time,event,value\nP0,49,infusion,ide_cel\nP1,49,infusion,cilta_cel\nP2,49,leukapheresis,\n"
    reading = read(labs=labs, events=events)
    (note,) = reading.notes
    assert not reading.refusals and len(reading.cohort["P1"].labs) == 1
    assert note == (
        "labs of product ide_cel without its infusion in events.csv, so nothing says when it was given: "
        "patients P1, P2, P3, P4, P5, P6, P7, P8 and 3 more."
    )


def test_laboratories_that_the_model_tells_apart_are_spelt_as_it_does_and_others_noted(read, schema):
    told_apart = replace(schema.labs["m_protein"], assays=("south", "St. Mary"))
    other = replace(schema, labs={"m_protein": told_apart})
    rows = "".join(f"P1,,{n},,m_protein,31,g/L,,,{lab},,\n" for n, lab in enumerate(("south", "", "st mary", "north")))
    reading = read(other, labs=HEAD + rows)
    assert [lab.laboratory for lab in reading.cohort["P1"].labs] == ["south", "", "north"]
    (refusal,) = reading.refusals
    assert refusal.column == "lab" and "south, St. Mary" in refusal.allowed and "St. Mary meant" in refusal.next_step
    assert any("laboratory that the model does not name, taken as its usual one: 1 row." in n for n in reading.notes)
    for everything in (replace(told_apart, assays=("south", "other")), replace(told_apart, assays=())):
        reading = read(replace(schema, labs={"m_protein": everything}), labs=HEAD + rows)
        assert not any("does not name" in note for note in reading.notes) and not reading.refusals


def test_of_an_enzyme_iu_is_u_and_of_nothing_else(read):
    schema = load_model("myeloma_car_t").record_schema()
    for unit, value in (("U/L", 250.0), ("IU/L", 250.0), ("mIU/mL", 250.0), ("kIU/L", 250_000.0)):
        reading = read(schema, labs=HEAD + row(output="ldh", value="250", unit=unit))
        found = [lab.value for patient in reading.cohort for lab in patient.labs]
        assert found == ([value] if value < 1e4 else []), unit
    refusal = only_refusal(read(schema, labs=HEAD + row(output="igg", value="10", unit="IU/mL")))
    assert "measure different things" in str(refusal)


@pytest.mark.parametrize("output", ["cd4_cd8_ratio", "fitness_score"])
def test_a_ratio_or_score_has_no_per_cent_and_none_is_offered(read, output):
    schema = load_model("myeloma_car_t").record_schema()
    refusal = only_refusal(read(schema, labs=HEAD + row(output=output, value="0.5", unit="%")))
    assert refusal.column == "unit" and f"{output} is a number and no share" in str(refusal)
    large = str(only_refusal(read(schema, labs=HEAD + row(output=output, value="500", unit=""))))
    assert f"{output} = 500 is implausible" in large and "%" not in large and "  " not in large


def test_a_share_may_be_said_in_per_cent(read, schema):
    share = replace(schema, labs={"share": LabSpec("share", "", (0.0, 1.0), unit_required=False)})
    assert only_lab(read(share, labs=HEAD + row(output="share", value="12", unit="%"))).value == pytest.approx(0.12)
    refusal = only_refusal(read(share, labs=HEAD + row(output="share", value="12", unit="")))
    assert "In % it would be plausible" in str(refusal)
