"""`bayestwin crosscheck`: the table, the file and the exit code; what is sampled is tested in tests/evaluation."""

import pandas as pd
import pytest
from test_patient_commands import run, write_population
from test_replay_command import write_tables

from bayestwin.evaluation import crosscheck as room
from bayestwin.population import load_population


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crosscheck")
    for name, seed, stuck in (("fit", 1, False), ("same", 2, False), ("other", 3, True)):
        write_population(folder / f"{name}.nc", seed=seed, stuck=stuck)
    write_tables(folder / "tables", ("T-1", "T-2"), 2)
    return folder


def command(folder, *more):
    files = [w for name in ("patients", "doses", "labs") for w in (f"--{name}", folder / "tables" / f"{name}.csv")]
    return run("crosscheck", "--population", folder / "fit.nc", *files, *more)


@pytest.fixture
def sampled(folder, monkeypatch):
    """The comparison with draws that were made before; what it was asked is kept."""
    asked = {}

    def install(name, shift=1.0):
        drawn = load_population(folder / f"{name}.nc")
        stats = drawn.tree["sample_stats"].to_dataset()

        def compare(model, cohort, population, **options):
            asked.update(options, patients=len(list(cohort)))
            posterior = drawn.posterior.assign(ka_pop=shift * drawn.posterior["ka_pop"])
            return room.Crosscheck(population, posterior, stats, options["sampler"], False)

        monkeypatch.setattr(room, "crosscheck", compare)
        monkeypatch.setattr(room, "refuse_other_fit", lambda *given: None)
        return asked

    return install


def test_a_fit_that_agrees_ends_with_code_0_and_writes_its_table(folder, sampled):
    asked = sampled("same")
    answer = command(folder, "--out", folder / "table.csv", "--draws", "500", "--seed", "7")
    assert answer.exit_code == 0, answer.output
    assert "AGREE within Monte Carlo error" in answer.output and "PyMC program, sampled by pymc" in answer.output
    assert asked["draws"] == 500 and asked["random_seed"] == 7 and asked["patients"] == 2
    table = pd.read_csv(folder / "table.csv").set_index("parameter")
    wanted = {"mean", "mcse_mean", "sd", "mcse_sd", "pymc_mean", "pymc_mcse_mean", "pymc_sd", "pymc_mcse_sd"}
    assert wanted | {"z_mean", "z_sd", "p_adjusted", "smallest_seen", "verdict"} <= set(table.columns)
    assert (table["verdict"] == "agrees").all() and "omega_CL" in table.index


def test_a_fit_that_differs_ends_with_code_4(folder, sampled):
    sampled("same", shift=1.05)
    answer = command(folder)
    assert answer.exit_code == 4 and "DIFFERENT beyond Monte Carlo error: ka_pop." in answer.output


def test_a_sampler_that_did_not_arrive_ends_with_code_4(folder, sampled):
    sampled("other")
    answer = command(folder)
    assert answer.exit_code == 4 and "NOT SHOWN: PyMC: R-hat" in answer.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["crosscheck"], 2, "--population"),
        (["crosscheck", "--model", "theophylline", "--sampler", "stan"], 2, "pymc or nutpie"),
        (["crosscheck", "--model", "theophylline"], 2, "No data given"),
    ],
)
def test_a_wrong_command_is_said(words, code, said):
    answer = run(*words)
    assert answer.exit_code == code and said in answer.output


def test_a_fit_of_other_files_is_not_compared(folder):
    answer = command(folder)
    assert answer.exit_code == 2 and "fitted to other records" in answer.output


def test_a_model_that_pymc_is_not_told_is_refused(folder):
    labs = folder / "myeloma.csv"
    labs.write_text("patient,time,output,value,unit\nM-1,1,m_protein,30,g/L\n", encoding="utf-8")
    answer = run("crosscheck", "--model", "myeloma_car_t", "--labs", labs)
    assert answer.exit_code == 2 and "response classes in PyMC" in answer.output
