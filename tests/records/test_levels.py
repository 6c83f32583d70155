"""Levels of categorical covariates: an unknown one is refused and counts as missing; it never means the reference."""

from dataclasses import replace

import pytest

from bayestwin.individual.parameters import covariate_terms
from bayestwin.specification.load import load_model


@pytest.fixture(scope="module")
def myeloma():
    return load_model("myeloma_car_t")


@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        ("isotype", "iga", "Is IgA meant?"),
        ("isotype", "7", "IgG, IgA, IgD, IgM, IgE, light_chain, non_secretory"),
        ("isotype", "light chain", "Is light_chain meant?"),
        ("isotype", "Lambda", "light_chain"),
        ("extramedullary", "yes", "0 (no) or 1 (yes)"),
        ("extramedullary", "true", "0 (no) or 1 (yes)"),
        ("extramedullary", "2", "0 (no) or 1 (yes)"),
        ("high_risk_cytogenetics", "+", "0 (no) or 1 (yes)"),
        ("high_risk_cytogenetics", "ja", "0 (no) or 1 (yes)"),
        ("prior_bcma", "-", "0 (no) or 1 (yes)"),
        ("triple_class_exposed", "1,0", "0 (no) or 1 (yes)"),
        ("sex", "w", "one of female, male"),
        ("sex", "Female", "Is female meant?"),
        ("prior_lines", "three", "a finite number"),
    ],
)
def test_an_unknown_level_is_refused_and_the_patient_goes_on_without_it(read, myeloma, column, cell, says):
    reading = read(myeloma.record_schema(), patients=f'patient,weight_kg,{column}\nP1,70,"{cell}"\nP2,60,\n')
    (refusal,) = reading.refusals
    assert (refusal.patient, refusal.row, refusal.column, refusal.value) == ("P1", 2, column, cell)
    assert says in str(refusal) and refusal.next_step, str(refusal)
    first, second = reading.cohort
    assert first.covariates == {"weight_kg": 70.0} and second.covariates == {"weight_kg": 60.0}
    assert (covariate_terms(myeloma, first.covariates) == covariate_terms(myeloma, {})).all()


@pytest.mark.parametrize("flag", ["1", "1.0", "0", "0.0"])
def test_the_levels_of_the_myeloma_model_are_read(read, myeloma, flag):
    rows = "".join(
        f"P{k},{isotype},{flag},female\n"
        for k, isotype in enumerate(("IgG", "IgA", "IgD", "IgM", "IgE", "light_chain", "non_secretory"))
    )
    reading = read(myeloma.record_schema(), patients="patient,isotype,extramedullary,sex\n" + rows)
    over, reference = reading.notes
    assert not reading.refusals and over.startswith(
        "not said, so integrated over the model's distribution: high_risk_cyt"
    )
    assert reference.startswith("not said, so at the model's reference: ") and "(7 of 7 patients)" in reference
    assert {p.covariates["extramedullary"] for p in reading.cohort} == {float(flag)}


def test_every_patient_of_the_shipped_cohorts_has_known_levels(myeloma, demo_data):
    from bayestwin.records import read_records

    for folder in ("demo_patients", "synthetic_myeloma"):
        assert not read_records(myeloma.record_schema(), patients=demo_data / folder / "patients.csv").refusals


def test_a_list_that_only_the_model_knows_refuses_another_spelling_and_notes_the_reference(read, schema):
    schema = replace(schema, covariates={"region": "", "sex": ""}, levels={"region": ("North_Sea",), "sex": ("1", "2")})
    reading = read(schema, patients="patient,region,sex\nP1,North_Sea,1\nP2,north sea,2\nP3,South,1\nP4,Baltic,2\n")
    (refusal,) = reading.refusals
    assert refusal.row == 3 and "Is North_Sea meant?" in refusal.next_step
    assert [n for n in reading.notes] == [
        "patients.csv: region is none of the levels the model names (North_Sea) and stands at the reference: 2 rows."
    ]


def test_a_level_in_an_event_table_is_refused_once_per_patient(read, theophylline):
    schema = replace(theophylline, covariates={"sex": ""}, levels={"sex": ("female",)})
    text = "ID,TIME,DV,SEX\n1,1,5,f\n1,2,5,f\n2,1,5,f\n3,1,5,female\n"
    reading = read(schema, event_table=text)
    assert [(r.patient, r.row) for r in reading.refusals] == [("1", 2), ("2", 4)]
    assert [dict(p.covariates) for p in reading.cohort] == [{}, {}, {"sex": "female"}]


def test_the_schema_says_which_levels_a_model_names_and_which_covariates_are_numbers(myeloma):
    schema = myeloma.record_schema()
    assert schema.levels == {
        "isotype": ("light_chain", "IgA"),
        "high_risk_cytogenetics": ("0", "1"),
        "extramedullary": ("0", "1"),
        "sex": ("female",),
        "triple_class_exposed": ("1",),
        "iss": ("1", "2", "3"),
        "lenalidomide_refractory": ("0", "1"),
        "prior_bcma": ("0", "1"),
        "anti_cd38_refractory": ("0",),
        "bortezomib_refractory": ("0",),
        "pomalidomide_refractory": ("0",),
        "carfilzomib_refractory": ("0",),
    }
    assert schema.all_levels == ("high_risk_cytogenetics", "extramedullary", "iss", "lenalidomide_refractory")
    assert set(schema.numeric) == {
        "age_years",
        "prior_lines",
        "albumin_g_per_l",
        "egfr",
        "deprivation",
        "fludarabine_auc",
    }


@pytest.mark.parametrize("said, refused", [("foo", True), ("III", True), ("3", False), ("3.0", False), ("NA", True)])
def test_a_change_in_events_csv_is_read_like_a_cell_of_patients_csv(read, myeloma, said, refused):
    """The model says how ISS is distributed, so that its levels are all there are; nothing is no change."""
    events = f"patient,time,event,value\nP1,5,covariate,iss = {said}\n"
    reading = read(myeloma.record_schema(), patients="patient,iss\nP1,2\n", events=events)
    assert bool(reading.refusals) == refused
    if said in ("foo", "III"):
        assert "iss is not known" in str(reading.refusals[0]) and "one of 1, 2, 3" in str(reading.refusals[0])
    cell = read(myeloma.record_schema(), patients=f"patient,iss\nP1,{said}\n")
    assert dict(cell.cohort.patients[0].covariates) == ({} if refused else {"iss": 3.0})
