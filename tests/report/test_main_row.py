"""Page 1 speaks of the first row with numbers, in every block of the same one."""

import dataclasses
import re

import pytest
from report_examples import example

from bayestwin.report import make_report
from bayestwin.report import warnings as rules
from bayestwin.report.checks import run_checks
from bayestwin.report.json_export import build_document, prepare
from bayestwin.report.model import Change, Support

PROGRESSED = "progression under this treatment is already in the record"


def refused_first(**changes):
    """The calm example, its current treatment refused; the others are compared with the first that is left."""
    inputs = example()
    main, *rest = inputs.ordered_treatments()
    bare = type(main)(name=main.name, label=main.label, role=main.role, support=Support(False, PROGRESSED))
    pair = dataclasses.replace(inputs.comparisons[0], a="dara_pd", b="teclistamab")
    found = dataclasses.replace(inputs, treatments=(bare, *rest), comparisons=(pair,), change=Change(), **changes)
    assert found.main_treatment().name == "dara_pd"
    return found


def text_of(html, start, end):
    part = html[html.index(start) :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", part[: part.index(end)]))


@pytest.fixture(scope="module")
def refused():
    return make_report(refused_first())


def test_a_refused_current_row_leaves_the_chances_and_ranges_of_the_others_on_page_1(refused):
    assert refused.status == "SHOWN" and refused.document["page_1"]["months"] == ["6", "12", "24"]
    table = text_of(refused.page_1, 'id="table-1"', "</table>")
    row = refused.document["treatments"][2]
    assert row["id"] == "dara_pd"
    for mark in row["landmarks"]:
        assert f"{mark['shown']} ({mark['range_shown']})" in table


def test_lead_doubt_and_pair_sentence_speak_of_the_row_that_has_numbers(refused):
    lead = text_of(refused.page_1, 'class="lead"', "</p>")
    assert f"Ide-cel: not estimated for patients like this: {PROGRESSED}." in lead and "if given Dara-Pd" in lead
    assert refused.document["doubt"] == refused.document["treatments"][2]["landmarks"][1]["doubt"]
    assert "under Dara-Pd" in refused.document["captions"]["fig_7"]
    assert refused.document["page_1"]["against"] == {"teclistamab": 0} and refused.document["page_1"]["pair_sentence"]


def test_the_error_of_the_row_that_page_1_speaks_of_withholds_it():
    inputs = refused_first()
    marks = tuple(dataclasses.replace(m, mcse=0.03) for m in inputs.main_treatment().landmarks)
    rows = tuple(dataclasses.replace(t, landmarks=marks) if t.name == "dara_pd" else t for t in inputs.treatments)
    assert rules.state_of(rules.evaluate(dataclasses.replace(inputs, treatments=rows))) == rules.WITHHELD


def test_where_no_row_has_numbers_page_1_says_why():
    bare = tuple(
        type(t)(name=t.name, label=t.label, role=t.role, support=Support(False, PROGRESSED))
        for t in example().treatments
    )
    report = make_report(example(treatments=bare, comparisons=(), change=Change()))
    assert not report.failures and report.document["page_1"]["main"] is None and "Not computable" in report.page_1


def test_a_chance_printed_without_its_range_is_caught(made):
    report = made("example")
    broken = re.sub(r'<bdi data-path="/treatments/0/landmarks/0/range_shown">[^<]*</bdi>', "", report.html, count=1)
    failed = [name for name, passed, _ in run_checks(report.document, broken) if not passed]
    assert failed == ["every chance has its range"]


def test_the_main_month_stands_on_page_1_whatever_the_landmarks_are():
    inputs = example()
    rows = tuple(
        dataclasses.replace(
            t,
            landmarks=tuple(
                dataclasses.replace(t.landmarks[k], month=m) for k, m in ((0, 3.0), (0, 6.0), (0, 9.0), (1, 12.0))
            ),
        )
        if t.landmarks
        else t
        for t in inputs.treatments
    )
    document = build_document(*prepare(dataclasses.replace(inputs, treatments=rows)))
    assert document["page_1"]["months"] == ["3", "6", "12"]
