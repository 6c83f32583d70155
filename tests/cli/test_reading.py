"""A folder of tables: known by their names, else by their headers, never by a guess between two."""

import pytest
import typer

from bayestwin.cli.reading import add_recognised

EVENT_TABLE, LABS = "ID,TIME,DV,AMT\n1,0,.,320\n", "patient,time,output,value,unit\n"


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")


def recognised(folder):
    files = {}
    add_recognised(files, folder)
    return {table: path.name for table, path in files.items()}


def test_an_event_table_of_any_name_is_found_beside_results(tmp_path, capsys):
    write(tmp_path, theophylline_1=EVENT_TABLE, predictions="patient,lab_id,time,observed\n", truth="parameter,value\n")
    assert recognised(tmp_path) == {"event_table": "theophylline_1.csv"}
    said = capsys.readouterr().err
    assert "not read: predictions.csv (its header fits none" in said and "not read: truth.csv" in said


def test_tidy_files_of_other_names_are_found_and_exact_names_come_first(tmp_path):
    write(tmp_path, patients_2026="patient,weight_kg\n", lab_export=LABS, given="patient,time,amount,unit\n")
    assert recognised(tmp_path) == {"doses": "given.csv", "labs": "lab_export.csv", "patients": "patients_2026.csv"}
    write(tmp_path, labs=LABS)
    assert recognised(tmp_path) == {"labs": "labs.csv"}


def test_every_file_of_a_folder_that_is_not_read_is_said(tmp_path, capsys):
    write(tmp_path, labs=LABS, labs_old=LABS, given="patient,time,amount,unit\n", truth="parameter,value\n")
    write(tmp_path, patients="patient,weight\n")
    for name in ("labs.xlsx", "patients.units.toml", ".hidden.csv"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "older").mkdir()
    assert recognised(tmp_path) == {"labs": "labs.csv", "patients": "patients.csv"}
    assert capsys.readouterr().err.splitlines() == [
        "not read: given.csv (it looks like doses.csv; to have it read, name it doses.csv)",
        "not read: labs.xlsx (its name does not end in .csv)",
        "not read: labs_old.csv (it looks like labs.csv; the table is the file of that name)",
        "not read: older (a folder inside the folder)",
        "not read: truth.csv (its header fits none of patients, labs, doses, events, event_table)",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": EVENT_TABLE, "b": EVENT_TABLE}, "several files could be the table event_table: a.csv, b.csv. Name the"),
        ({"truth": "parameter,value\n"}, "holds none of patients.csv, labs.csv, doses.csv, events.csv, event_table.c"),
        ({}, "no CSV file whose header speaks of one"),
    ],
)
def test_two_candidates_or_none_are_a_usage_error_that_names_them(tmp_path, capsys, files, said):
    write(tmp_path, **files)
    with pytest.raises(typer.Exit) as ended:
        recognised(tmp_path)
    assert ended.value.exit_code == 2 and said in capsys.readouterr().err
