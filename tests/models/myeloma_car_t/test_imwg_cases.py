"""IMWG categories, best confirmed response and endpoints against cases worked by hand (imwg_cases.toml)."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from myeloma_records import MODEL, code, record_of, visits_of, wide

CASES = tomllib.loads((Path(__file__).parent / "imwg_cases.toml").read_text(encoding="utf-8"))["case"]
ENDPOINTS = {
    "pfs": "PFS",
    "ttp": "TTP",
    "dor": "DOR",
    "dfs": "DFS",
    "os": "OS",
    "emd": "extramedullary progression",
    "infection": "death of infection",
}


def said(assessment):
    """A category as the table writes it."""
    sure = assessment.confirmed or assessment.category == "NE"
    return assessment.category + ("" if sure else "?")


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_a_case_worked_by_hand(case):
    found = code(case)
    expected = {float(v["day"]): v["is"] for v in case["visits"] if "is" in v}
    assert {a.time: said(a) for a in found.assessments} == expected
    best = f"{found.best} {found.coded.best_at:g}" if found.best else ""
    assert best == case["best"]
    for key, name in ENDPOINTS.items():
        if key in case:
            e = found.endpoint(name)
            assert f"{e.kind or 'censored'} {e.time:g}" == case[key], f"{name}: {e.reason}"


def test_there_are_enough_cases_and_each_says_why():
    assert len(CASES) >= 60 and all(case["why"] and case["best"] is not None for case in CASES)
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_all_cases_at_once_are_coded_as_one_by_one():
    """The criteria for thousands of draws are those for one record: rows of an array of (cases, visits)."""
    from dataclasses import fields

    plain = [c for c in CASES if not {"serum_measurable", "mr_plasmacytoma"} & set(c.get("options", {}))]
    single = [visits_of(case) for case in plain]
    imwg, _ = MODEL
    whole = imwg.code(wide(single))
    for row, visits in enumerate(single):
        alone, count = imwg.code(visits), visits.serum.shape[-1]
        for name in ("depth", "confirmed"):
            assert (getattr(whole, name)[row, :count] == getattr(alone, name)).all(), plain[row]["name"]
        for name in ("best", "best_at", "response_at", "complete_at", "relapse_at"):
            assert getattr(whole, name)[row] == getattr(alone, name), (plain[row]["name"], name)
        for name in ("at", "cause"):
            assert getattr(whole.progressed, name)[row] == getattr(alone.progressed, name), plain[row]["name"]
    assert len(fields(single[0])) == 17 and np.ptp([v.serum.shape[-1] for v in single]) > 3


def test_the_record_of_a_case_is_what_the_table_says():
    record = record_of(CASES[0])
    assert [(lab.output, lab.time, lab.value) for lab in record.labs] == [
        ("m_protein", 0.0, 30.0),
        ("m_protein", 28.0, 14.0),
        ("m_protein", 56.0, 12.0),
    ]
