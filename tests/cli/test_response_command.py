"""`bayestwin response`: category by visit, best confirmed response, endpoints with reason, exit codes."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayestwin.cli import app
from bayestwin.specification import load_model
from bayestwin.specification.load import model_part

LABS = """patient,time,output,value,unit,comparator
A,0,m_protein,30,g/L,
A,28,m_protein,1.0,g/dL,
A,56,m_protein,0.5,g/L,<
A,56,ife_serum,negative,,
A,56,ife_urine,negative,,
A,56,marrow_plasma_cells,2,%,
A,84,m_protein,0.5,g/L,<
A,84,ife_serum,negative,,
A,84,ife_urine,negative,,
B,0,m_protein,30,g/L,
B,28,m_protein,10,g/L,
"""
EVENTS = "patient,time,event,value\nA,0,line_of_therapy,teclistamab\nA,100,death,infection\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "labs.csv").write_text(LABS, encoding="utf-8")
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    return tmp_path


def run(folder, *words):
    given = ["response", "--labs", folder / "labs.csv", "--events", folder / "events.csv", *words]
    return CliRunner().invoke(app, [str(word) for word in given], terminal_width=200)


def test_categories_best_response_and_endpoints_are_printed_with_their_reason(folder):
    answer = run(folder, "--patient", "A")
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0] == (
        "Observed response of A since teclistamab on day 0, followed by serum M-protein (baseline 30 g/L)"
    )
    assert lines[1].split() == "day 28 PR confirmed serum 10 g/L (-66.7 %)".split()
    assert lines[2].startswith(
        "  day    56  CR   confirmed     serum <0.5 g/L (-98.3 %); immunofixation serum negative"
    )
    assert "best confirmed response: CR on day 56" in lines
    assert "PFS: 100 days, event on day 100: death (infection)" in lines
    assert "TTP: 100 days, censored on day 100: death (infection)" in lines
    assert "death of infection: 100 days, event on day 100: death (infection)" in lines


def test_a_key_that_looks_like_a_person_is_not_repeated(folder):
    for name, text in (("labs", LABS), ("events", EVENTS)):
        text = text.replace("\nA,", "\nJohn Smith,").replace("\nB,", "\nJane Roe,")
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    answer, other = run(folder), run(folder, "--patient", "John Doe")
    assert answer.exit_code == 1 and "not coded: patient (key not shown), events: no treatment" in answer.stderr
    assert "Observed response of (key not shown) since teclistamab" in answer.stdout
    assert "expected one of (key not shown), (key not shown)" in other.stderr
    assert not any(name in answer.output + other.output for name in ("John", "Jane", "Smith"))


def test_a_start_that_nothing_follows_is_refused(folder):
    answer = run(folder, "--patient", "A", "--patient", "B", "--start", "90")
    assert answer.exit_code == 1 and "Observed response of A since day 90" in answer.stdout
    assert "patient B, start: nothing is known after this time (found 90.0), expected up to 28" in answer.stderr
    assert run(folder, "--start", "36000").exit_code == 3
    for text in ("1e9", "-1e9"):
        answer = run(folder, "--start", text)
        assert answer.exit_code == 2 and "more than 100 years from time zero" in answer.stderr


def test_the_page_on_endpoints_prints_what_the_program_prints_and_names_every_lab(folder):
    page = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text(encoding="utf-8")
    assert run(folder, "--patient", "A").stdout.strip() in page
    part = model_part(load_model("myeloma_car_t"), "endpoints")
    assert [name for name in (*part.LABS, *part.COVARIATES) if name not in page] == []


def test_a_patient_without_a_treatment_is_listed_and_ends_with_code_1(folder):
    answer = run(folder)
    assert answer.exit_code == 1
    assert "not coded: patient B, events: no treatment has started" in answer.output
    assert "Observed response of A" in answer.stdout


def test_nothing_but_such_patients_ends_with_code_3(folder):
    answer = run(folder, "--patient", "B")
    assert answer.exit_code == 3 and "Nothing usable" in answer.output


def test_counting_from_a_time_needs_no_treatment(folder):
    answer = run(folder, "--patient", "B", "--start", "0")
    assert answer.exit_code == 0 and "Observed response of B since day 0" in answer.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--start", "aspirin"), "--start is neither a treatment (ide_cel"),
        (("--new-therapy", "maybe"), "new_therapy: this convention is not known (found 'maybe'), expected censor or"),
        (("--criterion", "serum_measurable"), "--criterion wants NAME=NUMBER"),
        (("--visit-every", "0"), "visits cannot be counted like this"),
        (("--visit-every", "-1"), "visits cannot be counted like this"),
        (("--criterion", "serum=5"), "(found 'serum'), expected one of window, baseline_at, serum_measurable"),
        (("--criterion", "nonsense=3"), "no such option of the criteria (found 'nonsense')"),
        (("--criterion", "start=3"), "no such option of the criteria (found 'start')"),
        (("--criterion", "conventions=3"), "no such option of the criteria (found 'conventions')"),
        (("--criterion", "self=3"), "no such option of the criteria (found 'self')"),
        (("--criterion", "=3"), "no such option of the criteria (found '')"),
        (("--criterion", "window=-1"), "window: the criteria cannot use this (found -1.0), expected 0 or more days"),
        (("--criterion", "serum_measurable=-5"), "serum_measurable: the criteria cannot use this (found -5.0)"),
        (("--criterion", "mr_plasmacytoma=25"), "expected a number above 0, at most 1"),
        (("--criterion", "marrow_measurable=300"), "expected a number above 0, at most 100"),
        (("--criterion", "window=1", "--criterion", "window=2"), "--criterion window is given twice"),
        (("--model", "theophylline"), "model theophylline: this model has no response criteria"),
    ],
)
def test_a_wrong_option_ends_with_code_2_and_says_what_is_wrong(folder, words, said):
    answer = run(folder, *words)
    assert answer.exit_code == 2, answer.output
    assert said in answer.output


def test_a_finding_in_other_words_is_refused_and_ends_with_code_1(folder):
    (folder / "labs.csv").write_text(LABS.replace("A,84,ife_serum,negative", "A,84,ife_serum,trace"), encoding="utf-8")
    answer = run(folder, "--patient", "A")
    assert answer.exit_code == 1
    assert "no finding of ife_serum" in answer.output and "CR?" not in answer.output


def test_both_tables_are_written_for_all_patients(folder):
    answer = run(folder, "--start", "0", "--folder", folder / "out")
    assert answer.exit_code == 0, answer.output
    visits, ends = (pd.read_csv(folder / "out" / name) for name in ("response.csv", "endpoints.csv"))
    assert visits[["patient", "time", "category"]].values.tolist() == [
        ["A", 28.0, "PR"],
        ["A", 56.0, "CR"],
        ["A", 84.0, "CR"],
        ["B", 28.0, "PR"],
    ]
    pfs = ends[ends["name"] == "PFS"]
    assert pfs[["patient", "duration", "event"]].values.tolist() == [["A", 100.0, True], ["B", 28.0, False]]


def test_a_result_never_replaces_the_labs_it_was_made_from(folder):
    labs = folder / "response.csv"
    labs.write_text(LABS, encoding="utf-8")
    words = ("response", "--labs", labs, "--events", folder / "events.csv", "--folder", folder)
    answer = CliRunner().invoke(app, [str(word) for word in words], terminal_width=200)
    assert answer.exit_code == 2 and "response.csv is read by this command" in answer.output
    assert labs.read_text(encoding="utf-8") == LABS


@pytest.mark.parametrize("option", [("--start", "nan"), ("--visit-every", "inf"), ("--criterion", "window=nan")])
def test_numbers_without_an_end_are_usage_errors(folder, option):
    answer = run(folder, *option)
    assert answer.exit_code == 2 and option[0] in answer.output
