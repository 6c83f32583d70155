"""CAR-HEMATOTOX and MyCARe: points at their edges, and ranges where an input is missing, never 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from myeloma_records import MYELOMA

from bayestwin.errors import RecordError
from bayestwin.prognosis.response import response_table
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification.load import model_part

SCORES = model_part(MYELOMA, "scores")
GOOD = {"platelets": 200.0, "neutrophils": 3.0, "haemoglobin": 12.0, "crp": 5.0, "ferritin": 300.0}
BAD = {"platelets": 40.0, "neutrophils": 0.5, "haemoglobin": 7.5, "crp": 80.0, "ferritin": 4000.0}


@pytest.mark.parametrize(
    ("changed", "points"),
    [
        ({}, 0),
        ({"platelets": 175.0}, 1),
        ({"platelets": 175.1}, 0),
        ({"platelets": 75.0}, 1),
        ({"platelets": 74.9}, 2),
        ({"neutrophils": 1.2}, 0),
        ({"neutrophils": 1.19}, 1),
        ({"haemoglobin": 9.0}, 0),
        ({"haemoglobin": 8.9}, 1),
        ({"crp": 30.0}, 1),
        ({"crp": 29.9}, 0),
        ({"ferritin": 649.0}, 0),
        ({"ferritin": 650.0}, 1),
        ({"ferritin": 2000.0}, 1),
        ({"ferritin": 2001.0}, 2),
        (BAD, 7),
    ],
)
def test_car_hematotox_at_its_edges(changed, points):
    score = SCORES.car_hematotox(**{**GOOD, **changed})
    assert (score.value, score.most, score.group) == (points, 7, "high" if points >= 2 else "low")


def test_a_missing_input_gives_a_range_and_a_group_only_where_it_cannot_matter():
    without = SCORES.car_hematotox(**{**GOOD, "ferritin": None})
    assert (without.low, without.high, without.value, without.group) == (0, 2, None, "")
    assert str(without) == "CAR-HEMATOTOX: 0 to 2 of 7, group not determined; missing: ferritin"
    assert SCORES.car_hematotox(**{**GOOD, "crp": None}).group == "low"  # 0 or 1
    assert SCORES.car_hematotox(**{**BAD, "ferritin": None}).group == "high"  # 5 to 7


def test_without_any_input_there_is_no_score():
    score = SCORES.car_hematotox()
    assert not score.available and score.value is None and score.group == ""
    assert "not available (platelets, neutrophils, haemoglobin, CRP, ferritin missing)" in str(score)
    assert "not available" in str(SCORES.mycare())


@given(st.dictionaries(st.sampled_from(list(GOOD)), st.floats(0.0, 5000.0)))
def test_what_becomes_known_lies_in_the_range_that_was_given(known):
    whole = {**GOOD, **known}
    score, part = SCORES.car_hematotox(**whole), SCORES.car_hematotox(**known)
    assert part.low <= score.value <= part.high
    assert part.group in ("", score.group)


@pytest.mark.parametrize(
    ("flags", "ferritin", "value", "group"),
    [
        ((0, 0, 0, 0), 100.0, 0, "low"),
        ((1, 0, 0, 0), 100.0, 1, "low"),
        ((0, 1, 1, 0), 100.0, 2, "intermediate"),
        ((1, 1, 1, 0), 500.0, 3, "intermediate"),
        ((1, 0, 1, 1), 500.0, 4, "high"),
    ],
)
def test_mycare(flags, ferritin, value, group):
    score = SCORES.mycare(*flags, ferritin=ferritin)
    assert (score.value, score.group) == (value, group)


def test_mycare_needs_the_sex_only_where_ferritin_lies_between_the_two_limits():
    assert [SCORES.mycare(0, 0, 0, 0, ferritin=f).value for f in (150.0, 300.0, 401.0)] == [0, None, 1]
    assert SCORES.mycare(0, 0, 0, 0, ferritin=300.0, ferritin_normal=150.0).value == 1


def test_extramedullary_disease_counts_whatever_is_known_of_plasma_cell_leukaemia():
    assert SCORES.mycare(1, None, 0, 0, ferritin=10.0).value == 1
    assert SCORES.mycare(0, None, 0, 0, ferritin=10.0).value is None


def patient(labs, covariates=()):
    """A patient infused on day 50, with labs output -> (day, value, censoring)."""
    rows = tuple(
        Lab(f"L{k}", output, day, value, day, censoring=censoring)
        for k, (output, day, value, censoring) in enumerate(labs)
    )
    events = (ClinicalEvent("infusion", 50.0, 50.0, "ide_cel"),)
    return PatientRecord("P", labs=rows, events=events, covariates=dict(covariates))


def test_of_a_record_the_last_values_before_lymphodepletion_count():
    days = {"platelets": 20.0, "neutrophils": 44.0, "haemoglobin": 45.0, "crp": 46.0, "ferritin": 10.0}
    labs = [(o, d, BAD[o], "none") for o, d in days.items()] + [("neutrophils", 40.0, 3.0, "none")]
    toxicity, _ = SCORES.scores(patient(labs), 50.0)
    assert toxicity.missing == ("CRP", "ferritin")  # one drawn after day 45, one more than four weeks before it
    assert (toxicity.low, toxicity.high) == (4, 7)


def test_a_value_beyond_a_limit_counts_as_what_it_may_be():
    toxicity, _ = SCORES.scores(patient([("platelets", 40.0, 75.0, "left"), ("ferritin", 40.0, 2000.0, "right")]), 50.0)
    assert (toxicity.low, toxicity.high) == (4, 7)  # 2 and 2, and three points unknown
    toxicity, _ = SCORES.scores(patient([("platelets", 40.0, 100.0, "left")]), 50.0)
    assert toxicity.low == 1


def test_the_table_of_a_patient_with_cells_prints_both_scores_with_what_was_seen():
    labs = [("m_protein", 49.0, 30.0, "none")] + [(o, 44.0, BAD[o], "none") for o in BAD]
    covariates = {"extramedullary": 1.0, "lenalidomide_refractory": 1.0, "high_risk_cytogenetics": 1.0, "sex": "male"}
    text = str(response_table(MYELOMA, patient(labs, covariates)))
    assert "CAR-HEMATOTOX: 7 of 7, high (in 63 low and 50 high: severe infection 5 %" in text
    assert "MyCARe: 4 of 4, high (relapse within 5 months in 53 % of such patients)" in text
    assert "CRS grade (ASTCT): not available" in text


@pytest.mark.parametrize("lesion", ["del17p", "t_4_14"])
@pytest.mark.parametrize("recorded", [{"high_risk_cytogenetics": 0.0}, {}])
def test_a_lesion_of_high_risk_counts_in_mycare_as_it_does_in_r_iss(lesion, recorded):
    others = dict.fromkeys(("extramedullary", "plasma_cell_leukaemia", "lenalidomide_refractory"), 0.0)
    record = patient([("ferritin", 40.0, 100.0, "none")], {**others, **recorded, lesion: 1.0})
    assert str(SCORES.scores(record, 50.0)[1]) == "MyCARe: 1 of 4, low"
    assert model_part(MYELOMA, "stages").stages(record, 50.0)[0].possible == ("II", "III")
    assert SCORES.scores(patient([], {lesion: 0.0}), 50.0)[1].value is None  # one of them absent rules nothing out


def test_a_flag_that_is_no_flag_is_refused():
    with pytest.raises(RecordError, match="patient P, lenalidomide_refractory: .*'yes'.*0, 1 or empty"):
        SCORES.scores(patient([], {"lenalidomide_refractory": "yes"}), 50.0)
