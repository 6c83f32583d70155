"""The commands of one patient, run as a person would: start a twin, update it, and the refusals on the way.

The population is not fitted here: independent draws around the published theophylline values, which pass every
diagnostic by construction, stand in its place.
"""

import shutil

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayestwin.twin
from bayestwin.cli import app
from bayestwin.population import PopulationPosterior
from bayestwin.specification import load_model

pytestmark = pytest.mark.slow  # compiles the update once

FEW = ("--particles", "400", "--seed", "5")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def write_population(path, *, seed, stuck=False):
    """A theophylline population of 4 x 300 independent draws; `stuck` shifts one chain, which R-hat must see."""
    model, rng = load_model("theophylline"), np.random.default_rng(seed)
    medians = {"ka_pop": 1.57, "CL_pop": 2.72, "V_pop": 31.5, "omega_ka": 0.6, "omega_CL": 0.25, "omega_V": 0.12}
    draws = {name: value * np.exp(0.1 * rng.standard_normal((4, 300))) for name, value in medians.items()}
    draws["sigma_add_concentration"] = 0.7 * np.exp(0.05 * rng.standard_normal((4, 300)))
    draws["beta_CL_weight_kg"] = 0.75 + 0.2 * rng.standard_normal((4, 300))
    draws["beta_V_weight_kg"] = 1.0 + 0.2 * rng.standard_normal((4, 300))
    draws["ka_pop"][0] *= 1.5 if stuck else 1.0
    posterior = {name: (("chain", "draw"), values) for name, values in draws.items()}
    nearly = np.array(np.broadcast_to(np.eye(3), (4, 300, 3, 3)))  # what never moves fails a fit
    for row, column in ((1, 0), (2, 0), (2, 1)):
        nearly[..., row, column] = nearly[..., column, row] = 0.01 * np.random.default_rng(row + column).random(
            (4, 300)
        )
    posterior["correlation_cholesky"] = (("chain", "draw", "parameter_a", "parameter_b"), np.linalg.cholesky(nearly))
    stats = {"diverging": np.zeros((4, 300), bool), "energy": rng.standard_normal((4, 300))}
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(posterior),
            "sample_stats": xr.Dataset({name: (("chain", "draw"), values) for name, values in stats.items()}),
        }
    )
    tree.attrs.update(kind="population", model=model.name, model_hash=model.hash, rho=0.0)
    PopulationPosterior(model, tree).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Population and the files of one patient, P-1, with a twin that has learnt the first lab."""
    folder = tmp_path_factory.mktemp("patient")
    write_population(folder / "population.nc", seed=1)
    files = {
        "patients": "patient,weight_kg\nP-1,70\n",
        "doses": "patient,time,amount,unit,route\nP-1,0,320,mg,oral\n",
        "first": "patient,time,output,value,unit\nP-1,1,concentration,6.1,mg/L\n",
        "newer": "patient,time,output,value,unit\nP-1,9,concentration,5.2,mg/L\n",
    }
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def start(folder, population="population.nc", out="twin.nc", **other):
    files = {"patients": "patients.csv", "doses": "doses.csv", "labs": "first.csv", **other}
    given = [word for name, file in files.items() for word in (f"--{name}", folder / file)]
    return run("start", "--population", folder / population, *given, *FEW, "--out", folder / out)


def update(folder, population, out):
    given = ("--population", folder / population, "--labs", folder / "newer.csv")
    return run("update", folder / "twin.nc", *given, "--out", folder / out)


@pytest.fixture(scope="module")
def started(folder):
    answer = start(folder)
    assert answer.exit_code == 0, answer.output
    return answer


def test_start_prints_the_numerical_check_and_writes_the_twin(started, folder):
    assert "numerical check: PASS" in started.stdout and "Pareto k" in started.stdout
    assert (folder / "twin.nc").is_file()


def test_update_says_what_was_expected_of_the_lab_and_how_exact_the_move_was(started, folder):
    answer = update(folder, "population.nc", out="newer.nc")
    assert answer.exit_code == 0, answer.output
    assert "concentration at hour 9: 5.2 mg/L, expected " in answer.stdout and " mg/L (95 %)" in answer.stdout
    assert "hour 9 is the data cut: the time of the newest lab or event known; forecasts begin there" in answer.stdout
    assert "numerical check: PASS" in answer.stdout


def test_update_with_a_lab_that_is_known_already_says_that_nothing_is_new(started, folder):
    answer = run("update", folder / "twin.nc", "--labs", folder / "first.csv", "--out", folder / "same.nc")
    assert answer.exit_code in (0, 1), answer.output
    assert "nothing new" in answer.stdout and "expected" not in answer.stdout


def test_an_update_from_a_header_alone_has_nothing_usable_and_writes_nothing(started, folder):
    (folder / "header.csv").write_text("patient,time,output,value,unit\n", encoding="utf-8")
    answer = run("update", folder / "twin.nc", "--labs", folder / "header.csv", "--out", folder / "none.nc")
    assert answer.exit_code == 3 and not (folder / "none.nc").exists(), answer.output
    assert (
        "header.csv: a header without rows" in answer.stderr
        and "Nothing usable: the files hold no row" in answer.stderr
    )


def test_two_updates_of_one_twin_at_once_lose_no_lab(started, folder, monkeypatch):
    twin = folder / "shared.nc"
    shutil.copy(folder / "twin.nc", twin)
    moved = bayestwin.twin.update_twin

    def overtaken(*given, **named):
        found = moved(*given, **named)
        twin.write_bytes(b"what another run has written")
        return found

    monkeypatch.setattr(bayestwin.twin, "update_twin", overtaken)
    answer = run("update", twin, "--labs", folder / "first.csv", "--out", twin)
    assert answer.exit_code == 3 and twin.read_bytes() == b"what another run has written"
    assert "shared.nc was replaced by another run while this one worked: nothing written. Run the" in answer.output
    assert not list(folder.glob("*.part"))


def test_a_change_of_the_past_without_the_population_is_told_before_the_work(started, folder):
    gone = "patient,time,output,value,unit,status\nP-1,1,concentration,6.1,mg/L,retracted\n"
    (folder / "gone.csv").write_text(gone, encoding="utf-8")
    answer = run("update", folder / "twin.nc", "--labs", folder / "gone.csv", "--out", folder / "no.nc")
    assert answer.exit_code == 2 and "(concentration at 1 retracted): name --population" in answer.output
    answer = run("report", folder / "twin.nc", folder / "twin.nc", "--folder", folder / "r", "--as-of", "soon")
    assert answer.exit_code == 2 and "this is not a date" in " ".join(answer.output.split())


def test_a_snapshot_older_than_the_twin_is_refused_unless_asked_for(started, folder):
    assert update(folder, "population.nc", out="latest.nc").exit_code == 0
    twin = folder / "latest.nc"
    before, labs = twin.read_bytes(), ("--population", folder / "population.nc", "--snapshot", "--labs")
    answer = run("update", twin, *labs, folder / "first.csv", "--out", twin)
    said = " ".join(answer.output.split())
    assert answer.exit_code == 3 and twin.read_bytes() == before
    assert (
        "the record is older than the twin; the snapshot's newest row became known at 1, the earlier record's at 9"
        in said
    )
    assert "patient P-1" in said and "--allow-older" in said
    withdrawn = (
        "patient,time,output,value,unit,status\nP-1,1,concentration,6.1,mg/L,\nP-1,9,concentration,,mg/L,retracted\n"
    )
    (folder / "withdrawn.csv").write_text(withdrawn, encoding="utf-8")
    for given in ((folder / "withdrawn.csv",), (folder / "first.csv", "--allow-older")):
        answer = run("update", twin, *labs, *given, "--out", folder / "back.nc")
        assert answer.exit_code == 0 and "restart from scratch: concentration at 9 retracted" in answer.output, (
            answer.output
        )


def test_update_with_another_population_than_the_twins_own_is_refused(started, folder):
    write_population(folder / "other.nc", seed=2)
    answer = update(folder, "other.nc", out="no.nc")
    assert answer.exit_code == 3
    assert "patient P-1, other.nc: the twin rests on another population posterior" in answer.output
    assert not (folder / "no.nc").exists()


def test_no_twin_is_started_from_a_population_that_failed_its_diagnostics(folder):
    write_population(folder / "failed.nc", seed=1, stuck=True)
    answer = start(folder, population="failed.nc", out="no.nc")
    assert answer.exit_code == 4
    assert "R-hat" in answer.output and "of ka_pop" in answer.output
    assert not (folder / "no.nc").exists()
    given = ("--patients", folder / "patients.csv", "--labs", folder / "first.csv", "--doses", folder / "doses.csv")
    told = ("--population", folder / "failed.nc", *given, *FEW, "--accept-failed-fit")
    answer = run("start", *told, "--out", folder / "accepted.nc")
    assert "it is taken as you say" in answer.output and (folder / "accepted.nc").exists(), answer.output


def test_files_of_two_patients_need_a_study_key(folder):
    (folder / "two.csv").write_text("patient,weight_kg\nP-1,70\nP-2,80\n", encoding="utf-8")
    answer = start(folder, patients="two.csv", out="no.nc")
    assert answer.exit_code == 2
    assert "2 patients: choose one with --patient" in answer.output


def test_a_folder_that_does_not_exist_is_found_before_the_work_is_done(folder):
    answer = start(folder, out="missing/twin.nc")
    assert answer.exit_code == 2
    assert "there is no folder" in answer.output and "numerical check" not in answer.output
