"""ISS, R-ISS and R2-ISS: at their edges, by points, and as the stages that are possible where something is missing."""

from itertools import product

import pytest
from myeloma_records import MYELOMA

from bayestwin.errors import RecordError
from bayestwin.prognosis.response import response_table
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification.load import model_part

STAGES = model_part(MYELOMA, "stages")


@pytest.mark.parametrize(
    ("b2m", "albumin", "possible"),
    [
        (3.4, 35.0, ("I",)),
        (3.4, 34.9, ("II",)),
        (3.5, 40.0, ("II",)),
        (5.4, 20.0, ("II",)),
        (5.5, 40.0, ("III",)),
        (3.4, None, ("I", "II")),
        (6.0, None, ("III",)),
        (None, 30.0, ("II", "III")),
        (None, None, ("I", "II", "III")),
    ],
)
def test_iss_at_its_edges(b2m, albumin, possible):
    assert STAGES.iss(b2m, albumin).possible == possible


@pytest.mark.parametrize(
    ("iss", "risk", "ldh", "stage"),
    [
        (1, 0, 0, "I"),
        (1, 1, 0, "II"),
        (1, 0, 1, "II"),
        (2, 1, 1, "II"),
        (3, 0, 0, "II"),
        (3, 1, 0, "III"),
        (3, 0, 1, "III"),
    ],
)
def test_r_iss_by_its_table(iss, risk, ldh, stage):
    assert STAGES.r_iss(iss, risk, ldh).value == stage


@pytest.mark.parametrize(
    ("flags", "stage"),
    [
        ({"iss": 1}, "I"),
        ({"iss": 1, "gain_1q": 1}, "II"),  # 0.5
        ({"iss": 2}, "II"),  # 1
        ({"iss": 3}, "III"),  # 1.5
        ({"iss": 2, "del17p": 1, "gain_1q": 1}, "III"),  # 2.5
        ({"iss": 1, "del17p": 1, "t_4_14": 1, "ldh_high": 1}, "IV"),  # 3
        ({"iss": 3, "del17p": 1, "t_4_14": 1, "ldh_high": 1, "gain_1q": 1}, "IV"),  # 5
    ],
)
def test_r2_iss_by_its_points(flags, stage):
    none = dict.fromkeys(("del17p", "ldh_high", "t_4_14", "gain_1q"), 0)
    assert STAGES.r2_iss(**none | flags).value == stage


def test_what_is_missing_leaves_the_stages_that_are_possible():
    for iss, risk, ldh in product((1, 2, 3, None), (0, 1, None), (0, 1, None)):
        stage = STAGES.r_iss(iss, risk, ldh)
        filled = {
            STAGES.r_iss(a, b, c).value
            for a in ((1, 2, 3) if iss is None else (iss,))
            for b in ((0, 1) if risk is None else (risk,))
            for c in ((0, 1) if ldh is None else (ldh,))
        }
        assert set(stage.possible) == filled
        assert bool(stage.missing) == (len(filled) > 1)
    assert STAGES.r_iss(2).value == "II"  # whatever the rest is
    assert str(STAGES.r2_iss(2, 0, 0, 0)) == "R2-ISS: II or III; missing: gain 1q"
    assert STAGES.r2_iss((1, 2), 0, 0, 0, 0).possible == ("I", "II")


def record(labs=(), **covariates):
    infusion = ClinicalEvent("infusion", 40.0, 40.0, "ide_cel")
    found = tuple(Lab(f"L{k}", output, day, value, day) for k, (output, day, value) in enumerate(labs))
    return PatientRecord("P-001", labs=found, events=(infusion,), covariates=covariates)


def test_a_record_is_staged_from_its_covariates_and_its_last_labs():
    ldh = [("ldh", 5.0, 180.0), ("ldh", 35.0, 400.0), ("ldh", 41.0, 100.0)]
    first, second = STAGES.stages(record(ldh, iss="3", high_risk_cytogenetics="0"), 40.0)
    assert first.value == "III"  # LDH 400 of day 35: not what came later, nor what was long ago
    assert second.possible == ("III", "IV") and second.missing == ("gain 1q",)
    old = STAGES.stages(record(ldh[:1], iss="3", high_risk_cytogenetics="0"), 40.0)[0]
    assert old.possible == ("II", "III") and old.missing == ("LDH",)
    found = STAGES.stages(record([("b2m", 38.0, 6.0)], del17p="1"), 40.0)[0]
    assert found.value == "III"  # ISS III by the lab, high risk by the deletion
    with pytest.raises(RecordError, match="t_4_14"):
        STAGES.stages(record(t_4_14="yes"), 40.0)


def test_stages_are_said_where_something_is_known_of_them():
    known = record([("ldh", 39.0, 180.0), ("m_protein", 0.0, 20.0)], iss="1", high_risk_cytogenetics="0")
    assert "R-ISS: I" in response_table(MYELOMA, known).features
    assert not [s for s in response_table(MYELOMA, record([("m_protein", 0.0, 20.0)], iss="1")).features if "ISS" in s]
