"""`bayestwin check`: what is usable, what was refused and why, with the exit codes that a nightly job reads."""

import csv
import errno

import pytest
from typer.testing import CliRunner

from bayestwin.cli import app

LABS = "patient,time,output,value,unit\nA,0,concentration,0.7,mg/L\nA,2,concentration,9.6,mg/L\n"
DOSES = "patient,time,amount,unit,route\nA,0,320,mg,oral\n"
PATIENTS = "patient,weight_kg\nA,79.6\n"


def run(*words):
    return CliRunner().invoke(app, ["check", "--model", "theophylline", *map(str, words)])


@pytest.fixture
def folder(tmp_path):
    for name, text in (("labs", LABS), ("doses", DOSES), ("patients", PATIENTS)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_name_too_long_for_the_system_is_a_usage_error_without_a_traceback(folder):
    for out in (folder / ("x" * 300), folder / ("x" * 300) / "r.csv"):
        answer = run("--labs", folder / "labs.csv", "--out", out)
        assert answer.exit_code == 2 and isinstance(answer.exception, SystemExit), answer.exception
        assert "name too long" in " ".join(answer.output.lower().split())


def test_a_full_disk_is_said_with_the_file_and_what_to_do(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bayestwin.records.write_refusals", full)
    answer = run("--labs", folder / "labs.csv", "--out", folder / "r.csv")
    assert answer.exit_code == 2
    assert "No space left on device: r.csv. Free some space there and run the command again." in answer.stderr


def test_clean_files_are_counted_and_end_with_code_0(folder):
    answer = run("--labs", folder / "labs.csv", "--doses", folder / "doses.csv", "--patients", folder / "patients.csv")
    assert answer.exit_code == 0, answer.output
    assert "2 labs concentration (mg/L)" in answer.stdout
    assert "1 patient: 2 labs, 1 doses" in answer.stdout


def test_a_folder_and_files_known_by_their_headers_give_what_the_options_give(folder):
    by_option = run(
        "--labs", folder / "labs.csv", "--doses", folder / "doses.csv", "--patients", folder / "patients.csv"
    )
    by_folder = run(folder)
    by_header = run(folder / "doses.csv", folder / "labs.csv", folder / "patients.csv")
    assert by_option.stdout == by_folder.stdout == by_header.stdout


def test_a_further_file_of_a_folder_is_said_and_not_read(folder):
    before = run(folder).stdout
    (folder / "research_labs.csv").write_text(LABS, encoding="utf-8")
    answer = run(folder)
    assert "not read: research_labs.csv (it looks like labs.csv" in answer.stderr
    assert answer.stdout == before


def test_a_refused_row_is_listed_written_and_ends_with_code_1(folder):
    (folder / "labs.csv").write_text(LABS + "A,4,concentration,9600,mg/L\n", encoding="utf-8")
    answer = run(folder, "--out", folder / "refused.csv")
    assert answer.exit_code == 1, answer.output
    assert "labs.csv row 4" in answer.stdout and "9600" in answer.stdout
    with open(folder / "refused.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["patient"], row["file"], row["row"], row["column"]) == ("A", "labs.csv", "4", "value")
    assert row["allowed"] and row["next_step"]


def test_a_file_without_one_usable_row_ends_with_code_3(folder):
    (folder / "labs.csv").write_text("patient,time,output,value,unit\nA,0,concentration,9600,mg/L\n", encoding="utf-8")
    answer = run("--labs", folder / "labs.csv")
    assert answer.exit_code == 3
    assert "Nothing usable" in answer.output


def test_a_table_that_lacks_a_column_is_one_message_with_code_3_and_no_traceback(folder):
    (folder / "labs.csv").write_text("patient,output,value\nA,concentration,9.6\n", encoding="utf-8")
    answer = run("--labs", folder / "labs.csv")
    assert answer.exit_code == 3
    assert "Error" not in answer.output and "labs.csv" in answer.output and "time" in answer.output
    assert "Traceback" not in answer.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LABS.replace(",", ";").encode(), "the columns are separated by semicolons"),
        (LABS.encode("utf-16"), "the file is not UTF-8 text (UTF-16 or binary)"),
        (b"", "the file is empty"),
        (LABS.partition("\n")[2].encode(), "missing columns patient, time, output, value"),
    ],
)
@pytest.mark.parametrize("name", ["labs.csv", "labs_monday.csv", "x_labs.csv"])
def test_what_is_wrong_with_a_file_known_by_its_name_is_said_and_ends_with_code_3(tmp_path, content, said, name):
    (tmp_path / name).write_bytes(content)
    answer = run(tmp_path / name)
    assert answer.exit_code == 3 and f"{name}" in answer.output and said in answer.output
    if name == "labs.csv":
        assert run(tmp_path).output == answer.output


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "fits none of patients, labs"), (LABS, "a second file for labs")],
)
def test_a_file_that_no_header_explains_or_that_comes_twice_ends_with_code_2(folder, text, said):
    (folder / "more.csv").write_text(text, encoding="utf-8")
    answer = run(folder, folder / "more.csv")
    assert answer.exit_code == 2
    assert "more.csv" in answer.output and said in answer.output


@pytest.mark.parametrize(("shipped", "code"), [("synthetic_myeloma", 0), ("demo_patients", 1)])
def test_the_shipped_synthetic_patients_are_read_but_for_the_mistakes_put_into_the_demo(demo_data, shipped, code):
    answer = CliRunner().invoke(app, ["check", "--model", "myeloma_car_t", str(demo_data / shipped)])
    assert answer.exit_code == code, answer.output
    assert "transgene (copies/ug)" in answer.stdout
    assert ("Refused:" in answer.stdout) == bool(code)
