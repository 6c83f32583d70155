"""patients.csv: keys, covariates, their units; privacy of what is read and said."""

import pytest

from bayestwin.errors import RecordError
from bayestwin.specification import load_model


def covariates(reading):
    return {p.key: p.covariates for p in reading.cohort}


def test_numbers_are_floats_words_stay_words_and_missing_cells_are_absent(read):
    reading = read(patients="patient,weight_kg,isotype,score,sex\n007,79.5,IgG,3,female\nP2,,IgA,,\n")
    assert covariates(reading) == {
        "007": {"weight_kg": 79.5, "isotype": "IgG", "score": 3.0, "sex": "female"},
        "P2": {"isotype": "IgA"},
    }
    assert reading.cohort.keys == ("007", "P2") and not reading.refusals and not reading.notes


def test_a_line_of_the_file_of_units_that_speaks_of_no_column_is_noted(read, tmp_path):
    (tmp_path / "patients.units.toml").write_text('Weight = "g"\nheigth = "cm"')
    (tmp_path / "labs.units.toml").write_text('value = "g/L"')
    labs = "patient,time,output,value,unit\nP1,1,m_protein,31,g/L\n"
    reading = read(patients="patient,weight,height_cm\nP1,70000,170\n", labs=labs)
    assert covariates(reading) == {"P1": {"weight_kg": 70.0, "height_cm": 170.0}}
    first, second = (note for note in reading.notes if "file of units" in note)
    assert (
        "patients.csv: its file of units also names heigth, which is not used; it may name height_cm, weight" in first
    )
    assert "labs.csv: its file of units also names value" in second and "each row says its unit" in second
    (tmp_path / "patients.units.toml").write_text('weight = "g"\nWEIGHT = "kg"')
    with pytest.raises(RecordError, match="patients.units.toml: two lines give the unit of one column"):
        read(patients="patient,weight\nP1,70\n")


def test_words_for_missing_are_missing_and_noted(read):
    reading = read(patients="patient,weight_kg,isotype\nP1,NA,unknown\n")
    assert covariates(reading) == {"P1": {}} and len(reading.notes) == 2


@pytest.mark.parametrize(
    ("header", "cell", "sidecar", "expected"),
    [
        ("weight_kg", "70", None, {"weight_kg": 70.0}),
        ("Weight_KG", "70", None, {"weight_kg": 70.0}),
        ("weight_lb", "154.324", None, {"weight_kg": pytest.approx(70, rel=1e-5)}),
        ("weight", "70000", '[units]\nweight = "g"', {"weight_kg": 70.0}),
        ("weight", "70", 'weight = "kg"', {"weight_kg": 70.0}),
        ("albumin_g_per_dl", "3.5", None, {"albumin_g_per_l": 35.0}),
        ("albumin", "3.5", 'albumin = "g/dL"', {"albumin_g_per_l": 35.0}),
        ("age_years", "64", None, {"age_years": 64.0}),
        ("ferritin_ug_per_l", "900", None, {"ferritin_ug_per_l": 900.0}),
    ],
)
def test_the_unit_stands_in_the_name_or_in_the_file_of_units(read, tmp_path, header, cell, sidecar, expected):
    if sidecar:
        (tmp_path / "patients.units.toml").write_text(sidecar)
    reading = read(patients=f"patient,{header}\nP1,{cell}\n")
    assert covariates(reading) == {"P1": expected} and not reading.refusals


@pytest.mark.parametrize(
    ("header", "sidecar", "says"),
    [
        ("weight", None, "does not say its unit"),
        ("weight", 'weight = "stone age"', "is not known"),
        ("weight", 'weight = "cm"', "does not convert"),
        ("weight_kg", 'weight_kg = "lb"', "disagree"),
    ],
)
def test_a_column_without_a_clear_unit_is_refused_in_the_header(read, tmp_path, header, sidecar, says):
    if sidecar:
        (tmp_path / "patients.units.toml").write_text(sidecar)
    reading = read(patients=f"patient,{header},isotype\nP1,70,IgG\n")
    (refusal,) = reading.refusals
    assert refusal.row == 1 and says in refusal.reason and covariates(reading) == {"P1": {"isotype": "IgG"}}


def test_a_broken_file_of_units_is_a_record_error(read, tmp_path):
    (tmp_path / "patients.units.toml").write_text("weight = kg")
    with pytest.raises(RecordError, match="patients.units.toml"):
        read(patients="patient,weight\nP1,70\n")


@pytest.mark.parametrize("cell", ["-70", "0", "700", '"79,5"', "inf", "heavy", "1e999"])
def test_an_impossible_covariate_is_refused_and_the_patient_stays(read, cell):
    reading = read(patients=f"patient,weight_kg,isotype\nP1,{cell},IgG\n")
    (refusal,) = reading.refusals
    assert (refusal.patient, refusal.row, refusal.column) == ("P1", 2, "weight_kg") and refusal.next_step
    assert covariates(reading) == {"P1": {"isotype": "IgG"}}


@pytest.mark.parametrize(
    ("name", "cell", "says"),
    [
        ("egfr", "0", "egfr = 0 is impossible: the model takes its logarithm"),
        ("egfr", "-5", "egfr = -5 is impossible: the model takes its logarithm"),
        ("egfr", "1e6", "egfr = 1e6 mL/min is implausible"),
        ("prior_lines", "-1", "prior_lines = -1 is implausible"),
        ("prior_lines", "1e6", "prior_lines = 1e6 is implausible"),
        ("prior_lines", "2.5", "prior_lines = 2.5 is not a whole number"),
        ("deprivation", "0", "deprivation = 0 is implausible"),
        ("fludarabine_auc", "14000", "fludarabine_auc = 14000 mg*h/L is implausible"),  # ug*h/L
        ("albumin_g_per_l", "3.6", "albumin_g_per_l = 3.6 g/L is implausible"),  # g/dL
        ("albumin_g_per_dl", "36", "albumin_g_per_l = 36 g/dl = 360 g/L is implausible"),
    ],
)
def test_a_covariate_that_cannot_be_or_is_in_the_unit_of_another_is_refused(read, name, cell, says):
    reading = read(schema=load_model("myeloma_car_t").record_schema(), patients=f"patient,{name},sex\nP1,{cell},male\n")
    (refusal,) = reading.refusals
    assert (refusal.patient, refusal.row, refusal.column, refusal.value) == ("P1", 2, name, cell)
    assert refusal.reason == says and refusal.allowed and refusal.next_step
    assert covariates(reading) == {"P1": {"sex": "male"}}


def test_rows_of_one_patient_that_disagree_lose_only_what_they_disagree_on(read):
    reading = read(patients="patient,weight_kg,isotype\nP1,70,IgG\nP1,71,IgG\nP2,60,IgA\nP2,60,IgA\n")
    assert covariates(reading) == {"P1": {"isotype": "IgG"}, "P2": {"weight_kg": 60.0, "isotype": "IgA"}}
    assert [(r.row, r.column) for r in reading.refusals] == [(2, "weight_kg"), (3, "weight_kg"), (5, "patient")]


@pytest.mark.parametrize(
    "key", ["anna.schmidt@example.org", "Anna Schmidt", '"Schmidt, Anna"', "AS-1961-02-13", "19610213", "13.2.1961"]
)
def test_a_key_that_looks_identifying_gets_a_note_and_is_never_repeated(read, key):
    labs = f"patient,time,output,value,unit\n{key},0,m_protein,999,g/L\n"
    reading = read(patients=f"patient\n{key}\n", labs=labs)
    said = reading.summary() + "".join(map(str, reading.refusals))
    assert key.strip('"') not in said and "looks like a name" in said and "(key not shown)" in said
    alone = read(labs=labs)
    assert sum("labs.csv: the patient key looks like a name" in note for note in alone.notes) == 1
    with pytest.raises(RecordError, match="patient P-2: no such patient, expected one of") as error:
        read(labs=labs.replace("999", "31")).cohort["P-2"]
    assert "(key not shown)" in str(error.value) and key.strip('"') not in str(error.value)


@pytest.mark.parametrize("key", ["P-017", "007", "KarMMa-3 12", "X1961", "site2/44"])
def test_a_study_key_is_shown(read, key):
    assert not read(patients=f"patient\n{key}\n").notes


def test_columns_that_would_identify_a_person_are_not_read(read):
    reading = read(patients="patient,name,Date_of_Birth,email,isotype\nP1,Anna,1961-02-13,a@b.org,IgG\n")
    assert covariates(reading) == {"P1": {"isotype": "IgG"}} and len(reading.notes) == 3
    assert "Anna" not in reading.summary() and "1961" not in reading.summary()


def test_patients_without_a_usable_row_are_counted_by_key_even_where_the_key_is_not_shown(read):
    keys = ["P1", "P2", "Anna Schmidt", "Ben Huber", "Carla Maier", "dora@example.org"]
    labs = "patient,time,output,value,unit\n" + "".join(f"{key},0,m_protein,999,g/L\n" for key in (*keys, "P1"))
    reading = read(labs=labs)
    assert any(note.startswith("6 patients had no row that could be used") for note in reading.notes), reading.notes


@pytest.mark.parametrize(
    ("header", "cell", "sidecar", "reason", "allowed"),
    [
        (
            "weight",
            "70",
            'weight = "stone"',
            "weight_kg = 70 stone = 444.5 kg is implausible",
            "0.0472 to 63 stone (0.3 to 400 kg)",
        ),
        ("weight_lb", "1540", None, "weight_kg = 1540 lb = 698.5 kg is implausible", "0.661 to 882 lb (0.3 to 400 kg)"),
        ("weight_kg", "700", None, "weight_kg = 700 kg is implausible", "0.3 to 400 kg"),
    ],
)
def test_an_implausible_covariate_in_another_unit_is_shown_in_both(
    read, tmp_path, header, cell, sidecar, reason, allowed
):
    if sidecar:
        (tmp_path / "patients.units.toml").write_text(sidecar)
    (refusal,) = read(patients=f"patient,{header}\nP1,{cell}\n").refusals
    assert (refusal.reason, refusal.allowed, refusal.value) == (reason, allowed, cell)
    assert "file of units" in refusal.next_step


@pytest.mark.parametrize("key", ["P\u00a017", "A\u202eB", "Z\u200b1", "Re\u0301-1"])
def test_a_key_that_looks_like_another_is_refused_in_every_file(read, key):
    row = f"{key},1,m_protein,31,g/L\n"
    for patients in ({}, {"patients": f"patient,isotype\n{key},IgG\nP1,IgG\n"}):
        reading = read(labs="patient,time,output,value,unit\n" + row + row.replace(key, "P1"), **patients)
        assert reading.cohort.keys == ("P1",) and len(reading.refusals) == 1 + len(patients)
        assert all(r.column == "patient" and "looks like another key" in r.reason for r in reading.refusals)
        assert all(r.patient.isprintable() for r in reading.refusals)
    assert not read(
        labs="patient,time,output,value,unit\nRe\u0301-1,1,m_protein,31,g/L\n".replace("e\u0301", "é")
    ).refusals


@pytest.mark.parametrize(
    "column, meant",
    [
        ("fludarabine", "fludarabine_auc"),
        ("prior_line", "prior_lines"),
        ("high_risk_cytogenetic", "high_risk_cytogenetics"),
    ],
)
def test_a_column_written_nearly_like_a_covariate_is_said(read, column, meant):
    schema = load_model("myeloma_car_t").record_schema()
    reading = read(schema, patients=f"patient,{column},synthetic,del17p\nP1,1,1,1\n")
    (said,) = [n for n in reading.notes if "is no covariate" in n]
    assert f"column {column} " in said and f"is {meant} meant?" in said
    both = read(schema, patients=f"patient,{column},{meant}\nP1,1,1\n")
    assert not [n for n in both.notes if "is no covariate" in n]  # the right one is there


def test_a_unit_that_is_a_product_may_stand_in_the_name_of_a_column(read):
    schema = load_model("myeloma_car_t").record_schema()
    reading = read(schema, patients="patient,fludarabine_auc_mg_h_per_l\nP1,20\n")
    assert not reading.refusals and covariates(reading) == {"P1": {"fludarabine_auc": 20.0}}
    reading = read(schema, patients="patient,fludarabine_auc_ug_h_l\nP1,20000\n")
    assert not reading.refusals and covariates(reading)["P1"] == {"fludarabine_auc": pytest.approx(20.0)}
