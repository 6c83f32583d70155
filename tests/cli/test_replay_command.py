"""`bayestwin replay` as a person would run it: predictions.csv, what is revealed, rivals beside, failures told."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_patient_commands import run, write_population

from bayestwin.evaluation import COLUMNS
from bayestwin.population import PopulationPosterior
from bayestwin.population.posterior import patient_mark
from bayestwin.records import PatientRecord, read_records
from bayestwin.specification import load_model

pytestmark = pytest.mark.slow  # compiles the update once

TIMES = (0.5, 1.0, 2.0, 4.0, 8.0)
FEW = ("--particles", "400", "--seed", "5")


def concentrations(rng):
    ka, clearance, volume = 1.57 * np.exp(0.5 * rng.standard_normal()), 2.72, 31.5
    k, t = clearance / volume, np.array(TIMES)
    mean = 320 / volume * ka / (ka - k) * (np.exp(-k * t) - np.exp(-ka * t))
    return np.maximum(mean + 0.5 * rng.standard_normal(len(TIMES)), 0.1)


def write_tables(folder, keys, seed):
    folder.mkdir()
    rng = np.random.default_rng(seed)
    labs = [f"{key},{t},concentration,{y:.2f},mg/L" for key in keys for t, y in zip(TIMES, concentrations(rng))]
    (folder / "patients.csv").write_text("patient,weight_kg\n" + "".join(f"{key},70\n" for key in keys))
    doses = "".join(f"{key},0,320,mg,oral\n" for key in keys)
    (folder / "doses.csv").write_text("patient,time,amount,unit,route\n" + doses)
    (folder / "labs.csv").write_text("patient,time,output,value,unit\n" + "\n".join(labs) + "\n")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A population that names three training patients, their tables, and the tables of two others."""
    folder = tmp_path_factory.mktemp("replay")
    write_population(folder / "population.nc", seed=1)
    training = write_tables(folder / "training", ("T-1", "T-2", "T-3"), 2)
    write_tables(folder / "others", ("P-1", "P-2"), 3)
    cohort = read_records(
        load_model("theophylline").record_schema(),
        **{name: training / f"{name}.csv" for name in ("patients", "doses", "labs")},
    ).cohort
    tree = xr.open_datatree(folder / "population.nc", engine="h5netcdf").load()
    tree.close()
    return folder, cohort


def replay(folder, out, *more, population="population.nc"):
    files = [
        word for name in ("patients", "doses", "labs") for word in (f"--{name}", folder / "others" / f"{name}.csv")
    ]
    return run("replay", "--population", folder / population, *files, *FEW, "--out", folder / out, *more)


def test_every_lab_of_every_patient_gets_one_row_and_the_file_says_what_it_rests_on(place):
    folder, _ = place
    answer = replay(folder, "one.csv")
    assert answer.exit_code == 0, answer.output
    rows = pd.read_csv(folder / "one.csv")
    assert tuple(rows.columns) == COLUMNS
    assert rows.groupby("patient")["time"].apply(tuple).to_dict() == {"P-1": TIMES, "P-2": TIMES}
    assert rows["n_seen"].tolist() == [0, 1, 2, 3, 4] * 2
    said = json.loads((folder / "one.provenance.json").read_text())
    assert said["random_seed"] == 5 and said["particles"] == 400 and said["failed"] == {}
    assert len(said["population_hash"]) == 64 and said["model"] == "theophylline"
    assert "coverage_80" in answer.output and not list(folder.glob("*.part"))


def test_nothing_after_the_time_revealed_is_learnt(place):
    folder, _ = place
    answer = replay(folder, "until.csv", "--reveal-until", "1", "--patient", "P-2")
    assert answer.exit_code == 0, answer.output
    rows = pd.read_csv(folder / "until.csv")
    assert rows["patient"].unique().tolist() == ["P-2"] and rows["time"].tolist() == [2.0, 4.0, 8.0]
    assert rows["n_seen"].tolist() == [2, 2, 2]
    one = pd.read_csv(folder / "one.csv").query("patient == 'P-2' and time == 2")
    np.testing.assert_allclose(rows["q50"].iloc[0], one["q50"].iloc[0], rtol=0.05)  # both had learnt two labs


def test_a_hidden_dose_is_not_expected(place):
    folder, _ = place
    doses = folder / "others" / "doses.csv"
    text = doses.read_text()
    doses.write_text(text + "P-1,3,320,mg,oral\n")
    known = replay(folder, "known.csv", "--reveal-until", "2", "--patient", "P-1")
    hidden = replay(folder, "hidden.csv", "--reveal-until", "2", "--doses-known-until", "2", "--patient", "P-1")
    doses.write_text(text)
    assert known.exit_code == hidden.exit_code == 0
    q = {name: pd.read_csv(folder / f"{name}.csv").set_index("time")["q50"] for name in ("known", "hidden")}
    assert q["known"][8.0] > 1.5 * q["hidden"][8.0]


def test_a_patient_of_the_fitted_cohort_is_told_and_the_others_go_on(place):
    folder, cohort = place
    tree = xr.open_datatree(folder / "population.nc", engine="h5netcdf").load()
    tree.close()
    record = PatientRecord("P-1")
    tree.attrs["fitted_patients"] = json.dumps([patient_mark(record)])
    PopulationPosterior(load_model("theophylline"), tree).save(folder / "knows.nc")
    answer = replay(folder, "some.csv", population="knows.nc")
    assert answer.exit_code == 1
    assert "patient P-1: this patient was in the fitted cohort" in answer.output
    assert pd.read_csv(folder / "some.csv")["patient"].unique().tolist() == ["P-2"]


def test_rivals_need_the_tables_the_population_was_fitted_from(place):
    folder, _ = place
    answer = replay(folder, "none.csv", "--rivals")
    assert answer.exit_code == 2 and "--training" in answer.output and not (folder / "none.csv").exists()


def test_no_lab_after_the_time_revealed_is_nothing_usable(place):
    folder, _ = place
    answer = replay(folder, "nothing.csv", "--reveal-until", "100")
    assert answer.exit_code == 3 and not (folder / "nothing.csv").exists()


def test_rivals_are_fitted_on_the_fitted_patients_and_scored_on_the_same_labs(place):
    folder, cohort = place
    tree = xr.open_datatree(folder / "population.nc", engine="h5netcdf").load()
    tree.close()
    tree.attrs.update(fitted_patients=json.dumps([patient_mark(record) for record in cohort]), n_patients=3)
    tree.attrs["fitted_records"] = json.dumps({patient_mark(record): record.data_hash for record in cohort})
    PopulationPosterior(load_model("theophylline"), tree).save(folder / "fitted.nc")
    asked = ("--rivals", "--training", folder / "training")
    answer = replay(folder, "beside.csv", *asked, population="fitted.nc")
    assert answer.exit_code == 0, answer.output
    rows, beside = pd.read_csv(folder / "beside.csv"), pd.read_csv(folder / "beside_rivals.csv")
    assert beside.columns[0] == "forecaster" and {"last_value", "gaussian_process"} <= set(beside["forecaster"])
    for _, part in beside.groupby("forecaster"):
        assert part[["patient", "time"]].values.tolist() == rows[["patient", "time"]].values.tolist()
        assert part["observed"].tolist() == rows["observed"].tolist()
    assert "CRPS of the twin" in answer.output and "rival - twin" in answer.output
    table = folder / "training" / "labs.csv"
    text = table.read_text()
    table.write_text(text.rsplit("\n", 2)[0] + "\n")  # the last lab is gone: not the patients that were fitted
    other = replay(folder, "other.csv", *asked, population="fitted.nc")
    table.write_text(text)
    assert other.exit_code == 3 and "not the one that was fitted" in other.output
