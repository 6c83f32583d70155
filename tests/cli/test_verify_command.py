"""`bayestwin verify-updates` as a person would run it, on a model that compiles in a second."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_patient_commands import run

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))

from level_model import as_population, level_draws, write_level_model

from bayestwin.evaluation.verification.follow import saved_and_loaded
from bayestwin.population import PopulationPosterior
from bayestwin.specification import load_model
from bayestwin.twin import update

# Sizes, and labs below, as in tests/evaluation, whose compiled programs serve here too.
SMALL = ("--particles", "400", "--population-draws", "100", "--seed", "3")
SIMULATED = ("--particles", "400", "--population-draws", "50", "--seed", "3")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The level model, a population around a level of 2 and the labs of two patients."""
    folder = tmp_path_factory.mktemp("verify")
    model, draws = load_model(write_level_model(folder / "level")), level_draws()
    tree = as_population(model, draws | {"level_pop": draws["level_pop"] - 18.0}).tree
    tree.attrs.update(method="variational", method_note="made up", versions="{}")
    PopulationPosterior(model, tree).save(folder / "population.nc")
    values = {"P-1": (0.5, 6.0, 3.0, 0.8), "P-2": (1.0, 2.0)}
    rows = [f"{key},{t},m_protein,{v},g/L" for key, own in values.items() for t, v in enumerate(own, 1)]
    (folder / "labs.csv").write_text("patient,time,output,value,unit\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """No process is killed here; tests/jobs does that."""
    monkeypatch.setattr("bayestwin.jobs.killed.killed_and_resumed", saved_and_loaded)


def verify(place, *more):
    given = ("--population", place / "population.nc", "--model", place / "level", "--labs", place / "labs.csv")
    return run("verify-updates", *given, *SMALL, *more)


def test_one_patient_is_verified_and_the_table_says_so(place):
    answer = verify(place, "--patient", "P-1", "--parameters", "level", "--out", place / "table.csv")
    assert answer.exit_code == 0, answer.output
    assert "All rows are EQUAL to the batch row" in answer.stdout
    assert "bit for bit the particles of 'lab by lab'" in answer.stdout
    table = pd.read_csv(place / "table.csv")
    assert table["row"].tolist() == [
        *("batch", "lab by lab", "shuffled arrival", "tenfold error, corrected", "retracted", "killed and resumed")
    ]
    assert {"level mean", "level sd error", "m_protein at 5 mean", "ess", "kilobytes", "largest_t"} <= set(table)
    assert len(pd.read_csv(place / "table_comparisons.csv")) == 20
    said = json.loads((place / "table.provenance.json").read_text())
    assert said["equal"] is True and said["random_seed"] == 3 and len(said["population_hash"]) == 64


@pytest.mark.validate
def test_a_tampered_update_ends_with_code_4(place, monkeypatch):
    whole = update._forward

    def shifted(*asked):
        twin, info = whole(*asked)
        weights = np.asarray(twin.particles.log_weights) + 0.7 * np.asarray(twin.particles.psi[:, 0])
        return replace(twin, particles=twin.particles._replace(log_weights=update.normalised(weights, 8))), info

    monkeypatch.setattr("bayestwin.twin.update._forward", shifted)
    monkeypatch.setattr("bayestwin.twin.rungs.by_long_chains", lambda twin, info, **_: (twin, info))  # half a minute
    answer = verify(place, "--patient", "P-1", "--labs-at-most", "3")
    assert answer.exit_code == 4, answer.output
    assert "NOT EQUAL within Monte Carlo error: lab by lab" in answer.stdout
    many = ("--model", place / "level", "--patients-simulated", "2", "--visits", "3", "--reference-particles", "800")
    answer = run("verify-updates", *many, *SIMULATED)
    assert answer.exit_code == 4, answer.output
    assert "NOT PROVED" in answer.stdout and "MISSED" in answer.stdout


def test_simulated_patients_need_no_files(place):
    many = ("--model", place / "level", "--patients-simulated", "2", "--visits", "3", "--reference-particles", "3200")
    answer = run("verify-updates", *many, *SIMULATED, "--out", place / "proof")
    assert answer.exit_code == 0, answer.output
    assert "draws of the model's own priors" in answer.stderr
    assert "mean square of z, means" in answer.stdout and "No target is missed" in answer.stdout
    assert (place / "proof" / "summary.csv").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--patients-simulated", "2", "--labs", "labs.csv"), "leave out --labs"),
        (("--patients-simulated", "2", "--until", "4"), "leave out --until"),
        (("--particles", "400", "--islands", "7"), "not a multiple of --islands 7"),
        (("--labs", "labs.csv"), "Name a population posterior"),
        (("--patients-simulated", "2"), "needs --model"),
        (("--model", "theophylline"), "population.nc"),
    ],
)
def test_a_wrong_command_is_told_at_once(place, monkeypatch, words, said):
    monkeypatch.chdir(place)
    answer = run("verify-updates", *words)
    assert answer.exit_code in (2, 3) and said in answer.output, answer.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--forecast-at", "nan"), "nan is no time"),
        (("--forecast-at", "1e12"), "--forecast-at 1e+12 lies more than 100 years from time zero"),
        (("--until", "nan"), "nan is no time"),
        (("--parameters", "level,foo"), "--parameters foo: level has level, "),
        (("--output", "foo"), "--output foo: level has m_protein"),
        (("--population-draws", "101"), "--population-draws 101: this posterior holds 100 draws"),
    ],
)
def test_an_option_that_this_model_and_this_posterior_cannot_meet_is_told_at_once(place, words, said):
    given = ("--population", place / "population.nc", "--model", place / "level", "--labs", place / "labs.csv")
    answer = run("verify-updates", *given, "--patient", "P-1", *words)
    assert answer.exit_code == 2 and said in " ".join(answer.output.replace("│", " ").split()), answer.output


def test_files_and_folders_are_not_taken_for_each_other(place, tmp_path):
    answer = verify(place, "--patient", "P-1", "--out", tmp_path)
    assert answer.exit_code == 2 and "name a CSV file" in answer.output
    (tmp_path / "file.csv").write_text("")
    answer = run(
        "verify-updates", "--model", place / "level", "--patients-simulated", "1", "--out", tmp_path / "file.csv"
    )
    assert answer.exit_code == 2 and "name a folder" in answer.output


def test_too_few_labs_is_nothing_usable(place):
    answer = verify(place, "--patient", "P-2", "--until", "1")
    assert answer.exit_code == 3 and "patient P-2: too few measured values" in answer.output


def test_a_model_without_labs_is_refused_once(tmp_path):
    asked = ("--model", "lenalidomide", "--patients-simulated", "20", "--population-draws", "50")
    answer = run("verify-updates", *asked, "--out", tmp_path / "proof")
    assert answer.exit_code == 2, answer.output
    assert answer.stderr.count("model lenalidomide: the model measures nothing") == 1
    assert not (tmp_path / "proof").exists()
