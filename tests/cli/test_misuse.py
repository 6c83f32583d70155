"""What a tired person or a broken disk does to the commands: refused with words, nothing lost, nobody mixed up."""

import json

import h5py
import numpy as np
import pytest
import xarray as xr
from test_patient_commands import run, write_population

from bayestwin.cli import options
from bayestwin.store import read_tree, write_tree

pytestmark = pytest.mark.slow  # compiles the update once

LABS = "patient,time,output,value,unit\nP-1,1,concentration,6.1,mg/L\nP-2,1,concentration,8.4,mg/L\n"


def drop(tree, group, name):
    """Leave a variable out."""
    tree[group] = xr.DataTree(tree[group].to_dataset().drop_vars(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twins of two patients and a prognosis of each."""
    folder = tmp_path_factory.mktemp("misuse")
    write_population(folder / "population.nc", seed=1)
    (folder / "patients.csv").write_text("patient,weight_kg\nP-1,70\nP-2,80\n", encoding="utf-8")
    (folder / "doses.csv").write_text(
        "patient,time,amount,unit,route\nP-1,0,320,mg,oral\nP-2,0,320,mg,oral\n", encoding="utf-8"
    )
    bad = "P-1,2,concentration,seven,mg/L\n"
    (folder / "labs.csv").write_text(LABS + bad, encoding="utf-8")
    tables = [w for name in ("patients", "doses", "labs") for w in (f"--{name}", folder / f"{name}.csv")]
    for number in (1, 2):
        few = ("--particles", "400", "--seed", "5", "--patient", f"P-{number}")
        answer = run(
            "start", "--population", folder / "population.nc", *tables, *few, "--out", folder / f"t{number}.nc"
        )
        assert answer.exit_code == 1, answer.output  # one row of P-1 is refused
        answer = run("forecast", folder / f"t{number}.nc", "--out", folder / f"p{number}.nc")
        assert answer.exit_code == 0, answer.output
    return folder


def test_a_prognosis_of_another_patient_is_never_printed_under_this_ones_key(folder):
    answer = run("report", folder / "t1.nc", folder / "p2.nc", "--folder", folder / "mixed")
    assert answer.exit_code == 3
    assert "prognosis is of another patient (found 'P-2'), expected P-1" in answer.output
    assert not (folder / "mixed").exists()


def test_refused_rows_travel_with_the_twin_into_its_report(folder):
    answer = run("report", folder / "t1.nc", folder / "p1.nc", "--folder", folder / "report")
    assert answer.exit_code in (0, 4), answer.output
    page = next((folder / "report").glob("*.html")).read_text(encoding="utf-8")
    assert "No row was refused" not in page
    document = json.loads(next((folder / "report").glob("*.json")).read_text(encoding="utf-8"))
    assert "labs.csv" in json.dumps(document)
    clean = run("report", folder / "t2.nc", folder / "p2.nc", "--folder", folder / "clean")
    assert clean.exit_code in (0, 4)
    assert "No row was refused" in next((folder / "clean").glob("*.html")).read_text(encoding="utf-8")


def test_the_last_report_is_named_by_both_its_files_and_is_this_patients(folder):
    now = ("report", folder / "t1.nc", folder / "p1.nc", "--folder", folder / "second", "--number", "2")
    answer = run(*now, "--previous-twin", folder / "t1.nc")
    assert answer.exit_code == 2 and "both --previous-twin and --previous-prognosis" in answer.output
    answer = run(*now, "--previous-twin", folder / "t2.nc", "--previous-prognosis", folder / "p2.nc")
    assert answer.exit_code == 2 and "another patient than P-1" in answer.output
    answer = run(*now, "--previous-twin", folder / "t1.nc", "--previous-prognosis", folder / "p1.nc")
    assert answer.exit_code in (0, 4), answer.output
    assert [path.name[-8:] for path in (folder / "second").glob("*.html")] == ["_v2.html"]


def test_a_twin_with_one_flipped_bit_makes_no_forecast(folder):
    with h5py.File(folder / "t1.nc") as file:
        place = file["particles/log_weights"].id.get_offset()  # small enough to be stored as it is
    content = bytearray((folder / "t1.nc").read_bytes())
    content[place + 6] ^= 0x10
    (folder / "flipped.nc").write_bytes(content)
    answer = run("forecast", folder / "flipped.nc", "--out", folder / "no.nc")
    assert answer.exit_code == 3 and "flipped.nc: this twin has changed since it was written" in answer.output


def forged(folder, name, kind, change):
    """A file whose checksum fits, as another version of the program might have written it."""
    tree = read_tree(folder / name, kind, made_by="").copy()
    change(tree)
    return write_tree(tree, folder / f"forged_{name}")


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        ("t1.nc", "twin", lambda tree: tree.attrs.pop("history")),
        ("t1.nc", "twin", lambda tree: tree.attrs.update(history='[{"surprise": [], "reasons": [], "new": 1}]')),
        ("p1.nc", "prognosis", lambda tree: tree.attrs.pop("landmarks")),
        ("population.nc", "population", lambda tree: tree.attrs.pop("model")),
        ("population.nc", "population", lambda tree: drop(tree, "posterior", "CL_pop")),
        ("population.nc", "population", lambda tree: drop(tree, "sample_stats", "energy")),
    ],
)
def test_what_another_version_wrote_is_called_that_and_no_fault(folder, name, kind, change):
    path = forged(folder, name, kind, change)
    words = {
        "twin": ("forecast", path, "--out", folder / "no.nc"),
        "prognosis": ("report", folder / "t1.nc", path, "--folder", folder / "none"),
        "population": ("start", "--population", path, "--labs", folder / "labs.csv", "--out", folder / "no.nc"),
    }[kind]
    answer = run(*words)
    assert answer.exit_code == 3, answer.output
    assert f"{path.name}: this {kind} was written by another version of bayestwin" in answer.output
    assert "Make it again with `bayestwin" in answer.output


@pytest.mark.parametrize(
    ("name", "factor", "allowed"),
    [("CL_pop", np.nan, "more than 0"), ("CL_pop", -1, "more than 0"), ("omega_CL", -1, "0 or more, an SD")]
    + [("omega_CL", np.inf, "0 or more, an SD"), ("sigma_add_concentration", -1, "0 or more, an SD")],
)
def test_draws_that_cannot_be_start_no_twin(folder, name, factor, allowed):
    def spoil(tree):
        data = tree["posterior"].to_dataset()
        data[name] = data[name] * factor
        tree["posterior"] = xr.DataTree(data)

    path = forged(folder, "population.nc", "population", spoil)
    answer = run("start", "--population", path, "--labs", folder / "labs.csv", "--out", folder / "no.nc")
    assert answer.exit_code == 3, answer.output
    assert f"forged_population.nc, {name}: this population holds 1200 of 1200 draws that cannot be" in answer.output
    assert f"expected {allowed}" in answer.output


@pytest.mark.parametrize("command", ["forecast", "check", "start"])
def test_a_result_never_replaces_what_it_was_made_from(folder, command):
    twin, labs = (folder / "t2.nc").read_bytes(), (folder / "labs.csv").read_bytes()
    words = {
        "forecast": ("forecast", folder / "t2.nc", "--out", folder / "t2.nc"),
        "check": ("check", "--model", "theophylline", folder, "--out", folder / "labs.csv"),
        "start": ("start", "--model", "theophylline", "--labs", folder / "labs.csv", "--out", folder / "labs.csv"),
    }[command]
    answer = run(*words)
    assert answer.exit_code == 2 and "name another file for --out" in answer.output
    assert (folder / "t2.nc").read_bytes() == twin and (folder / "labs.csv").read_bytes() == labs


def test_the_table_of_courses_replaces_neither_twin_nor_prognosis(folder):
    before = (folder / "t1.nc").read_bytes()
    for path, said in (("t1.nc", "t1.nc is read by this command"), ("new.nc", "new.nc is named for two results")):
        answer = run("forecast", folder / "t1.nc", "--out", folder / "new.nc", "--courses", folder / path)
        assert answer.exit_code == 2 and said in answer.output and "name another file" in answer.output
    assert (folder / "t1.nc").read_bytes() == before and not (folder / "new.nc").exists()


def test_an_update_from_files_of_other_patients_only_says_so(folder):
    (folder / "others.csv").write_text(
        "patient,time,output,value,unit\nP-1,9,concentration,5.2,mg/L\n", encoding="utf-8"
    )
    answer = run("update", folder / "t2.nc", "--labs", folder / "others.csv", "--out", folder / "no.nc")
    assert answer.exit_code == 3
    assert "rows of 1 other patients" in answer.output and "no newer row of P-2" in answer.output
    assert not (folder / "no.nc").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (("--seed", "99999999999999999999"), "--seed"),
        (("--seed", "-1"), "--seed"),
        (("--particles", "401"), "take 400"),
        (("--particles", "8" + 20 * "0"), "1000000"),
        (("--as-of", "yesterday"), "--as-of"),
        (("--time-unit", "fortnight"), "no unit of time"),
        (("--patient", " "), "name a study key"),
    ],
)
def test_options_out_of_range_are_usage_errors_said_at_once(folder, words, said):
    given = ("start", "--population", folder / "population.nc", "--labs", folder / "labs.csv", "--out", folder / "x.nc")
    answer = run(*given, *words)
    assert answer.exit_code == 2, answer.output
    assert said in answer.output


@pytest.mark.parametrize("option", ["--wait", "--drop-out", "--visit-every", "--months", "--draws", "--patients"])
def test_an_arm_without_end_is_a_usage_error(option, tmp_path):
    number = "1e12" if option in ("--draws", "--patients") else "inf"
    answer = run("virtual-trial", "--treatment", "teclistamab", "--out", tmp_path / "arm", option, number)
    assert answer.exit_code == 2 and option in answer.output


def test_no_treatment_is_not_every_treatment_and_a_folder_is_no_twin(folder):
    answer = run("forecast", folder / "t1.nc", "--treatments", "", "--out", folder / "no.nc")
    assert answer.exit_code == 2 and "no treatment was asked for" in answer.output
    now = ("report", folder / "t1.nc", folder / "p1.nc", "--folder", folder / "third")
    answer = run(*now, "--previous-twin", folder, "--previous-prognosis", folder / "p1.nc")
    assert answer.exit_code == 2 and "is a directory" in answer.output


def test_a_fault_of_the_program_is_no_traceback_and_no_success(folder, monkeypatch):
    def broken(*_, **__):
        raise ValueError("value 6.1 of P-1")

    monkeypatch.setattr("bayestwin.twin.load_twin", broken)
    answer = run("forecast", folder / "t1.nc", "--out", folder / "no.nc")
    assert answer.exit_code == options.DIAGNOSTICS_FAILED
    assert "A fault in bayestwin (ValueError" in answer.output and "6.1" not in answer.output
    assert np.all(["Traceback" not in line for line in answer.output.splitlines()])
