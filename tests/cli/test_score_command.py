"""`bayestwin scores`: tables and figures from predictions.csv, bad files told with place, value and what is allowed."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))

from test_score_tables import made_up

from bayestwin.cli.options import clean_errors
from bayestwin.cli.score_commands import scores
from bayestwin.evaluation import COLUMNS
from bayestwin.evaluation.predictions_file import read_predictions

ALONE = typer.Typer(pretty_exceptions_enable=False)
ALONE.command()(clean_errors(scores))


def run(*words):
    return CliRunner().invoke(ALONE, [str(word) for word in words], terminal_width=200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """predictions.csv with two outputs, 8 patients, two withheld rows; a rival and a file of two rivals."""
    folder = tmp_path_factory.mktemp("scores")
    parts = [made_up(8, 10, seed=k, output=o) for k, o in enumerate(("m_protein", "involved_flc"))]
    frame = pd.concat(parts, ignore_index=True)
    frame["n_seen"] *= 2
    frame.loc[[3, 90], "verdict"] = "WITHHELD"
    frame.loc[frame["time"] == 280.0, "limit_flag"] = "left"
    frame.to_csv(folder / "predictions.csv", index=False)
    worse = frame.assign(crps=frame["crps"] + 0.1, log_score=frame["log_score"] - 0.3)
    worse.iloc[5:].to_csv(folder / "worse.csv", index=False)
    two = [worse.assign(forecaster="prior"), worse.assign(forecaster="last value", crps=frame["crps"] + 0.05)]
    pd.concat(two)[["forecaster", *COLUMNS]].to_csv(folder / "rivals.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def answer(folder):
    rivals = ("--rival", f"worse={folder / 'worse.csv'}", "--rivals", folder / "rivals.csv")
    return run(folder / "predictions.csv", *rivals, "--out", folder / "out")


def test_the_main_tables_are_printed_with_units_and_the_headline(answer):
    assert answer.exit_code == 0, answer.output
    for said in ("Coverage in %", "80 % interval", "CRPS", "error scale", "m_protein", "dara_pd", "labs learnt before"):
        assert said in answer.stdout
    assert "last value, the best of 3 rivals" in answer.stdout and "rival - twin 0.05" in answer.stdout
    assert "The same for all forecasts that have a score, withheld ones too" in answer.stdout
    assert "PIT mean" in answer.stdout
    assert "worse: 155 labs in common, 5 of the twin only, 0 of the rival only" in answer.stderr


def test_tables_and_figures_are_written(answer, folder):
    assert answer.exit_code == 0
    names = {path.name for path in (folder / "out").iterdir()}
    tables = {"scores.csv", "counts.csv", "differences.csv", "comparison_counts.csv"}
    figures = {"coverage.png", "pit.png", "coverage_by_labs_learnt.png", "crps_by_horizon.png", "crps_differences.png"}
    assert tables | figures | {"forecasts_m_protein.png", "forecasts_involved_flc.png"} <= names
    assert "refused.csv" not in names
    counts = pd.read_csv(folder / "out" / "counts.csv").set_index("output")
    assert counts.loc["all", ["labs", "passed", "withheld", "censored"]].tolist() == [160, 158, 2, 16]
    table = pd.read_csv(folder / "out" / "scores.csv")
    assert set(table["rows"]) == {"PASS", "all"} and set(table["output"]) == {"all", "m_protein", "involved_flc"}
    for path in (folder / "out").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_the_same_seed_gives_the_same_tables_and_figures(answer, folder):
    rivals = ("--rival", f"worse={folder / 'worse.csv'}", "--rivals", folder / "rivals.csv")
    again = run(folder / "predictions.csv", *rivals, "--out", folder / "again")
    assert again.stdout.replace("again", "out") == answer.stdout
    for path in (folder / "out").iterdir():
        assert path.read_bytes() == (folder / "again" / path.name).read_bytes(), path.name


def spoiled(folder, target, **cells):
    """predictions.csv with cells of its third row (row 4 of the file) replaced."""
    frame = pd.read_csv(folder / "predictions.csv", dtype=str, keep_default_na=False)
    for column, value in cells.items():
        frame.loc[2, column] = value
    frame.to_csv(target, index=False)
    return target


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"crps": "many"}, "p.csv row 4, crps: this is not a number (found 'many'), expected a finite number"),
        ({"crps": ""}, "row 4, crps: this is not a number, expected"),
        ({"crps": "nan"}, "row 4, crps: this is not a number (found 'nan')"),
        ({"crps": "-0.2"}, "row 4, crps: crps is negative (found '-0.2'), expected 0 or more"),
        ({"pit": "1.2"}, "row 4, pit: a PIT is a probability (found '1.2'), expected 0 to 1"),
        ({"log_score": "inf"}, "row 4, log_score: this is not a number (found 'inf'), expected a finite number"),
        ({"q90": "0.001"}, "row 4, q90: q90 is under q75 (found '0.001')"),
        ({"scale": "log"}, "row 4, scale: scale is not known (found 'log'), expected one of ln, natural"),
        ({"limit_flag": "below"}, "expected one of none, left, right"),
        ({"observed": "0"}, "row 4, observed: no logarithm of this value (found '0'), expected more than 0"),
        ({"n_seen": "1.5"}, "n_seen: this is not a count (found '1.5'), expected a whole number"),
        ({"verdict": ""}, "row 4, verdict: verdict is missing"),
        ({"verdict": "pass"}, "row 4, verdict: verdict is not known (found 'pass'), expected one of PASS, WITHHELD"),
        ({"patient": "P-000", "lab_id": "m_protein-0", "time": "28.0"}, "two different forecasts of one lab"),
    ],
)
def test_a_row_that_cannot_be_scored_is_refused_with_place_value_and_what_is_allowed(folder, tmp_path, cells, said):
    reading = read_predictions(spoiled(folder, tmp_path / "p.csv", **cells))
    assert said in "\n".join(str(refusal) for refusal in reading.refusals)
    rows = [2, 4] if "two different" in said else [4]
    assert [r.row for r in reading.refusals] == rows
    assert {r.patient for r in reading.refusals} == {"P-000"} and all(r.next_step for r in reading.refusals)
    assert len(reading.frame) == 160 - len(rows)


def test_refused_rows_are_listed_and_end_with_code_1(folder, tmp_path):
    answer = run(spoiled(folder, tmp_path / "p.csv", crps="many"), "--out", tmp_path / "out")
    assert answer.exit_code == 1, answer.output
    assert "refused: patient P-000, p.csv row 4, crps: this is not a number (found 'many')" in answer.stderr
    refused = pd.read_csv(tmp_path / "out" / "refused.csv")
    assert refused["row"].tolist() == [4] and refused["column"].tolist() == ["crps"]
    assert pd.read_csv(tmp_path / "out" / "counts.csv").loc[0, "labs"] == 159


def test_the_same_row_again_is_refused_once(folder, tmp_path):
    lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "p.csv").write_text("".join([*lines, lines[5]]), encoding="utf-8")
    (refusal,) = read_predictions(tmp_path / "p.csv").refusals
    assert "row 162, lab_id: the same row again" in str(refusal)


def test_minus_infinity_is_a_log_score(folder, tmp_path):
    reading = read_predictions(spoiled(folder, tmp_path / "p.csv", log_score="-inf"))
    assert not reading.refusals and reading.frame.loc[2, "log_score"] == float("-inf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.csv: the file is empty"),
        (",".join(COLUMNS) + "\n", "p.csv: no usable row"),
        (",".join(c for c in COLUMNS if c != "crps") + "\n", "p.csv row 1: missing column crps"),
        (";".join(COLUMNS) + "\n", "separated by semicolons"),
        (",".join(COLUMNS) + "\n" + ",".join("x" for _ in COLUMNS) + "\n", "The first of 1 refused rows"),
    ],
)
def test_a_file_without_a_usable_row_ends_with_code_3(tmp_path, text, said):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    answer = run(tmp_path / "p.csv")
    assert answer.exit_code == 3, answer.output
    assert said in answer.output and "Traceback" not in answer.output


def test_an_output_on_two_scales_is_refused(folder, tmp_path):
    answer = run(spoiled(folder, tmp_path / "p.csv", scale="natural"))
    assert answer.exit_code == 3
    assert "output m_protein: an output stands on two error scales" in answer.output


def test_the_landmark_is_read_from_the_provenance_beside_the_file(tmp_path):
    frame = made_up(6, 10, seed=1)
    frame[frame["time"] > 100.0].assign(n_seen=3).to_csv(tmp_path / "p.csv", index=False)
    (tmp_path / "p.provenance.json").write_text(json.dumps({"reveal_until": 100.0}), encoding="utf-8")
    answer = run(tmp_path / "p.csv", "--horizon-edges", "50,100")
    assert answer.exit_code == 0, answer.output
    assert "labs up to 100 were revealed" in answer.stderr and "horizon: 50 to 100" in answer.stdout
    answer = run(tmp_path / "p.csv", "--reveal-until", "90")
    assert answer.exit_code == 2 and "says 100" in answer.output
    (tmp_path / "p.provenance.json").unlink()
    assert "was the file made with --reveal-until?" in run(tmp_path / "p.csv").stderr
    answer = run(tmp_path / "p.csv", "--reveal-until", "150")
    assert answer.exit_code == 3 and "expected times after 150 only" in answer.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rival", "worse"), "write NAME=FILE"),
        (("--rival", "worse=no_such_file.csv"), "write NAME=FILE"),
        (("--rival", "twin={worse}"), "two forecasters are called twin"),
        (("--rival", "prior={worse}", "--rivals", "{rivals}"), "two forecasters are called prior"),
        (("--horizon-edges", "30,7"), "must be above 0 and increase"),
        (("--horizon-edges", "soon"), "write numbers with commas"),
        (("--patient", "P-999"), "holds no such patient"),
        (("--reveal-until", "nan"), "nan is no time"),
        (("--out", "none/none"), "there is no folder none"),
    ],
)
def test_a_wrong_command_ends_with_code_2(folder, words, said):
    named = {"worse": folder / "worse.csv", "rivals": folder / "rivals.csv"}
    answer = run(folder / "predictions.csv", *(word.format(**named) for word in words))
    assert answer.exit_code == 2, answer.output
    assert said in " ".join(answer.output.replace("│", " ").split()) and not answer.stdout


def test_a_file_of_rivals_without_their_names_is_refused(folder):
    answer = run(folder / "predictions.csv", "--rivals", folder / "worse.csv")
    assert answer.exit_code == 3 and "missing column forecaster" in answer.output


def test_a_table_never_replaces_a_file_that_was_read(folder, tmp_path):
    target = tmp_path / "scores.csv"
    target.write_bytes((folder / "predictions.csv").read_bytes())
    answer = run(target, "--out", tmp_path)
    assert answer.exit_code == 2 and "name another folder" in answer.output
    assert target.read_bytes() == (folder / "predictions.csv").read_bytes()


def test_one_patient_is_scored_without_intervals(tmp_path):
    made_up(1, 8, seed=1).to_csv(tmp_path / "p.csv", index=False)
    answer = run(tmp_path / "p.csv", "--out", tmp_path / "out")
    assert answer.exit_code == 0, answer.output
    assert "not judged (one patient)" in answer.stdout and (tmp_path / "out" / "pit.png").exists()
