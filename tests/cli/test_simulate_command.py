"""`bayestwin simulate`: rows in file order, every mistake in the two files said with its place, exit codes."""

import csv
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "individual"))

from dosing_model import concentration, write_dosing_model

from bayestwin.cli import app
from bayestwin.dosing import DoseEvent

VALUES = "parameter,value\nka,1.5\nCL,1.1\nV,20\n"
EVENTS = """id,time,evid,amt,cmt,rate,addl,ii
2,0,1,100,2,0,1,12
2,12,0,0,2,0,0,0
1,0,1,50,2,0,0,0
1,0,0,0,2,0,0,0
2,13,0,0,2,0,0,0
"""


@pytest.fixture
def simulate(tmp_path):
    """Run the command on two texts; gives its answer and the rows of out.csv."""

    def run(values=VALUES, events=EVENTS, *words, model="one_compartment"):
        (tmp_path / "values.csv").write_text(values, encoding="utf-8")
        (tmp_path / "events.csv").write_text(events, encoding="utf-8")
        out = tmp_path / "out.csv"
        files = ("--parameters", tmp_path / "values.csv", "--events", tmp_path / "events.csv", "--out", out)
        answer = CliRunner().invoke(app, ["simulate", "--model", model, *map(str, files), *words], terminal_width=200)
        rows = list(csv.DictReader(out.open(encoding="utf-8"))) if out.exists() else []
        return answer, rows

    return run


def level(t, dose, k=1.1 / 20):
    return dose / 20 * np.exp(-k * t)


def test_the_rows_come_back_in_file_order_with_one_column_per_output(simulate):
    answer, rows = simulate()
    assert answer.exit_code == 0, answer.output
    assert list(rows[0]) == ["ID", "TIME", "concentration"]
    assert [(r["ID"], r["TIME"]) for r in rows] == [("2", "12"), ("1", "0"), ("2", "13")]
    # the additional dose at 12 stands in an earlier row, so the observation at 12 sees it
    expected = [level(12, 100) + 5, 2.5, level(13, 100) + level(1, 100)]
    np.testing.assert_allclose([float(r["concentration"]) for r in rows], expected, rtol=1e-9)


def test_values_of_an_id_go_before_those_of_everybody(simulate):
    answer, rows = simulate("ID,parameter,value\n,ka,1.5\n,CL,1.1\n,V,20\n1,V,40\n")
    assert answer.exit_code == 0, answer.output
    assert float(rows[1]["concentration"]) == pytest.approx(50 / 40)
    assert float(rows[0]["concentration"]) == pytest.approx(level(12, 100) + 5)


def test_values_of_an_id_that_the_table_lacks_are_named(simulate):
    answer, rows = simulate("ID,parameter,value\n,ka,1.5\n,CL,1.1\n,V,20\n01,V,40\n")
    assert answer.exit_code == 1 and len(rows) == 3
    assert "not used: rows of values.csv for ID 01, of whom events.csv has no row" in answer.stderr


@pytest.mark.parametrize(
    "model,extra", [("two_compartment", "Q,3\nV2,60\n"), ("three_compartment", "Q,3\nV2,60\nQ2,1\nV3,90\n")]
)
def test_models_with_more_compartments_are_known_by_name(simulate, model, extra):
    answer, rows = simulate(VALUES + extra, EVENTS, model=model)
    assert answer.exit_code == 0 and float(rows[1]["concentration"]) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("parameter,value\nka,1.5\nCl,1.1\nV,20\n", "row 3, parameter: unknown parameter (found 'Cl')"),
        ("parameter,value\nka,1.5\nCL,one\nV,20\n", "row 3, value: this is not a number (found 'one')"),
        ("parameter,value\nka,1.5\nCL,-1.1\nV,20\n", "CL cannot have this value (found '-1.1'), expected more than 0"),
        ("parameter,value\nka,1.5\nka,1.6\nCL,1\nV,20\n", "row 3, parameter: a parameter is given twice"),
        ("parameter,value\nka,1.5\nCL,1.1\n", "ID 2: missing parameter V"),
        ("name,value\nka,1.5\n", "missing column parameter"),
    ],
)
def test_a_mistake_in_the_values_is_said_with_its_place(simulate, values, said):
    answer, rows = simulate(values)
    assert answer.exit_code == 3 and said in answer.output and not rows


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2,14,1,100,2,-5,0,0", "rate: this rate is not known"),
        ("2,14,1,100,7,0,0,0", "cmt: the compartment is not known (found '7'), expected one of depot, central"),
        ("2,14,1,abc,2,0,0,0", "amt: this is not a number"),
        ("2,14,1,100,2,0,3,0", "ii: additional doses need an interval"),
        ("2,14,9,0,2,0,0,0", "evid: this kind of row is not known"),
        ("2,11,0,0,2,0,0,0", "time: time goes back within an ID"),
        ("2,14,1,-100,2,0,0,0", "amt: a dose must be more than 0"),
        ("2,14,0,0,9,0,0,0", "cmt: the compartment is not known"),
    ],
)
def test_an_id_with_a_wrong_row_is_set_aside_and_the_others_go_on(simulate, row, said):
    answer, rows = simulate(VALUES, EVENTS + row + "\n")
    assert answer.exit_code == 1 and said in answer.output and "row 7" in answer.output, answer.output
    assert [r["ID"] for r in rows] == ["1"] and "not simulated, and not in out.csv: ID 2" in answer.output


def test_a_steady_state_that_does_not_exist_is_a_failure_and_not_a_number(simulate):
    head, first, *others = EVENTS.split()
    events = "\n".join([f"{head},ss", f"{first},1", *(f"{row},0" for row in others)]) + "\n"
    answer, rows = simulate("parameter,value\nka,1.5\nCL,1e-14\nV,20\n", events)
    assert answer.exit_code == 1 and "steady state does not exist" in answer.output
    assert [r["ID"] for r in rows] == ["1"]


def test_lag_and_bioavailability_speak_of_the_compartments_that_are_named(simulate):
    events = "id,time,evid,amt,cmt,bioav\n1,0,1,100,1,0.5\n1,0,1,100,2,0.5\n1,0,0,0,2,\n1,9,0,0,2,\n"
    _, rows = simulate(VALUES, events)
    answer, named = simulate(VALUES, events, "--lag-and-bioavailability-of", "central")
    assert float(rows[0]["concentration"]) == float(named[0]["concentration"]) == pytest.approx(2.5)
    assert float(named[1]["concentration"]) > float(rows[1]["concentration"]) and answer.exit_code == 0
    answer, _ = simulate(VALUES, events, "--lag-and-bioavailability-of", "liver")
    assert answer.exit_code == 2 and "liver is no compartment" in answer.output


def test_unknown_models_and_missing_files_are_usage_errors(simulate, tmp_path):
    answer, _ = simulate(model="four_compartment")
    assert answer.exit_code == 2 and "four_compartment" in answer.output
    words = [
        "simulate",
        "--model",
        "one_compartment",
        "--parameters",
        "none.csv",
        "--events",
        "none.csv",
        "--out",
        "o.csv",
    ]
    assert CliRunner().invoke(app, words).exit_code == 2


OPEN_DOSES = """id,time,evid,amt,cmt,rate,addl,ii
1,0,1,300,1,0,1,12
1,3,1,100,2,-2,0,0
1,7,1,80,2,-1,0,0
"""


def test_lag_bioavailability_rate_and_duration_come_from_the_values(simulate, tmp_path):
    model = write_dosing_model(tmp_path / "models" / "lagged")
    numbers = {"ka": 1.5, "CL": 3.0, "V": 30.0, "lag": 1.3, "F": 0.6, "rate": 35.0, "duration": 2.5}
    values = "".join(f"{name},{value}\n" for name, value in numbers.items())
    head, *rows = OPEN_DOSES.split()
    times = (1.0, 2.0, 4.0, 5.5, 7.0, 9.0, 13.0, 14.0, 20.0)
    rows = sorted([*rows, *(f"1,{t},0,0,2,0,0,0" for t in times)], key=lambda row: float(row.split(",")[1]))
    events = "\n".join([head, *rows]) + "\n"
    answer, found = simulate("parameter,value\n" + values, events, model=model.folder)
    assert answer.exit_code == 0, answer.output
    doses = (
        DoseEvent(0.0, 300.0, "oral", addl=1, ii=12.0),
        DoseEvent(3.0, 100.0, "iv", modelled="duration"),
        DoseEvent(7.0, 80.0, "iv", modelled="rate"),
    )
    with jax.enable_x64(True):
        expected = concentration(numbers, times, doses)
    np.testing.assert_allclose([float(row["concentration"]) for row in found], expected, rtol=1e-9, atol=1e-12)
    answer, found = simulate("parameter,value\n" + values.replace("lag,1.3\n", ""), events, model=model.folder)
    assert answer.exit_code == 3 and "ID 1: missing parameter lag" in answer.output


def test_a_rate_that_no_parameter_of_the_model_says_is_refused_with_its_row(simulate):
    answer, rows = simulate(VALUES, OPEN_DOSES)
    assert answer.exit_code == 3 and not rows
    assert "row 3, dur2: RATE -2 needs DUR2" in answer.output and "row 4, rat2: RATE -1 needs RAT2" in answer.output
    assert "Dosing(...)" in answer.output


def test_occasions_of_the_event_table_take_their_effects_from_the_values(simulate, tmp_path):
    source = (Path(__file__).parents[2] / "models" / "one_compartment" / "model.py").read_text(encoding="utf-8")
    source = source.replace("    Parameter,\n", "    Occasions,\n    Parameter,\n")
    source = source.replace("    outputs={", '    occasions=Occasions(sd={"CL": ANY}, most=2),\n    outputs={')
    (tmp_path / "occasional").mkdir()
    (tmp_path / "occasional" / "model.py").write_text(source, encoding="utf-8")
    values = VALUES + f"CL_occasion_2,{np.log(2.0)}\n"
    events = "id,time,evid,amt,cmt,occ\n1,0,1,100,2,1\n1,10,0,,,1\n1,10,2,,,2\n1,20,0,,,2\n2,0,1,100,2,3\n"
    answer, rows = simulate(values, events, model=str(tmp_path / "occasional"))
    assert answer.exit_code == 1 and "patient 2, events.csv row 6, occ: there is no such occasion" in answer.output
    expected = [level(10, 100), level(10, 100) * np.exp(-2.2 / 20 * 10)]
    np.testing.assert_allclose([float(r["concentration"]) for r in rows], expected, rtol=1e-9)
    answer, _ = simulate(values, events, model="one_compartment")
    assert answer.exit_code == 3 and "unknown parameter" in answer.output


def test_a_covariate_missing_at_the_first_record_is_refused_and_a_change_is_told(simulate):
    values = "parameter,value\nlag,1\nka,1.5\nCL,0.13\nV,8\n"
    rows = "1,0,1,100,1,70\n1,4,0,.,2,.\n2,0,1,100,1,.\n2,4,0,.,2,80\n3,0,1,100,1,70\n3,4,0,.,2,80\n"
    answer, found = simulate(values, "id,time,evid,amt,cmt,weight_kg\n" + rows, model="warfarin")
    assert answer.exit_code == 1 and [row["ID"] for row in found] == ["1", "3"]
    said = " ".join(answer.output.split())
    assert "patient 2, events.csv row 4, weight_kg: the covariate weight_kg is missing at the ID's first record" in said
    assert "weight_kg changes within ID 3; a simulation keeps the parameters" in said and "ID 2, 3" not in said
