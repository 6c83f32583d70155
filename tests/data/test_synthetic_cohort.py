"""The shipped synthetic data: made by the scripts beside them, in the format of the readers, true to their truth."""

import ast
import csv
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DATA = Path(__file__).resolve().parents[2] / "data"
COHORTS = {"synthetic_myeloma": "SYN-", "demo_patients": "DEMO-"}
TREATMENTS = {"ide_cel", "cilta_cel", "teclistamab", "dara_pd"}
CELL_THERAPIES = {"ide_cel", "cilta_cel"}
TENTHS = {"g/L": 1.0, "g/dL": 10.0, "mg/L": 1.0, "mg/dL": 10.0, "copies/ug": 1.0}
OUTPUT_OF = {
    "g/L": "m_protein",
    "g/dL": "m_protein",
    "mg/L": "involved_flc",
    "mg/dL": "involved_flc",
    "copies/ug": "transgene",
}
EVENTS = {"line_of_therapy", "leukapheresis", "infusion", "assessed", "progression", "death", "last_known_alive"}
M_PROTEIN_CEILING = 120.0  # g/L; above it only the planted unit error


def table(cohort, name):
    return pd.read_csv(DATA / cohort / f"{name}.csv", keep_default_na=False, na_values=[""])


def labs_of(cohort):
    """Labs in g/L, mg/L and copies/ug without the two planted faults."""
    labs = table(cohort, "labs")
    labs["value"] = labs["value"] * labs["unit"].map(TENTHS)
    labs = labs[~((labs["output"] == "m_protein") & (labs["value"] > M_PROTEIN_CEILING))]
    return labs.drop_duplicates().sort_values(["patient", "time"])


@pytest.fixture(params=COHORTS)
def cohort(request):
    return request.param


@pytest.mark.validate
def test_the_same_seed_writes_the_shipped_files_byte_for_byte(tmp_path):
    for script in ("make_synthetic_cohort.py", "make_theophylline.py", "make_psa.py"):
        subprocess.run([sys.executable, DATA / script, "--out", tmp_path], check=True)
    written = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.csv"))
    assert written == sorted(p.relative_to(DATA) for p in DATA.rglob("*.csv"))
    assert [p for p in written if (tmp_path / p).read_bytes() != (DATA / p).read_bytes()] == []


def test_the_simulator_imports_nothing_of_bayestwin():
    for script in DATA.glob("*.py"):
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("bayestwin") for name in names), script.name


def test_every_place_says_that_the_data_are_synthetic(cohort):
    assert set(table(cohort, "patients")["synthetic"]) == {1}
    assert set(table(cohort, "truth")["synthetic"]) == {1}
    for name in ("patients", "labs", "events", "truth", "truth_trajectories"):
        assert table(cohort, name)["patient"].str.startswith(COHORTS[cohort]).all(), name
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert "SYNTHETIC" in readme.splitlines()[0]
    for script in DATA.glob("*.py"):
        opening = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
        assert "SYNTHETIC" in opening or "SIMULATED" in opening, script.name
    theophylline = pd.read_csv(DATA / "theophylline_simulated" / "theophylline_simulated.csv")
    assert set(theophylline["synthetic"]) == {1}


def test_the_data_stay_small():
    assert sum(p.stat().st_size for p in DATA.rglob("*.csv")) < 1_000_000


def test_the_fitting_cohort_is_balanced_over_treatments():
    truth = table("synthetic_myeloma", "truth")
    assert truth["main_treatment"].value_counts().to_dict() == dict.fromkeys(TREATMENTS, 12)
    cells = truth[truth["main_treatment"].isin(CELL_THERAPIES)]
    assert cells["bridging"].sum() == 20
    assert truth["record_stop_day"].max() <= 548


def test_the_files_follow_the_table_formats(cohort):
    patients, labs, events = (table(cohort, name) for name in ("patients", "labs", "events"))
    assert patients["patient"].is_unique
    assert set(patients["isotype"]) <= {"IgG", "IgA", "light_chain"}
    for rows in (labs, events):
        assert set(rows["patient"]) == set(patients["patient"])
        assert (rows["known_time"] >= rows["time"]).all()
        assert (rows["time"] >= 0).all()
    assert (labs["unit"].map(OUTPUT_OF) == labs["output"]).all()
    assert set(labs["comparator"].dropna()) == {"<"}
    assert (labs.loc[labs["comparator"] == "<", "value"] == labs.loc[labs["comparator"] == "<", "lloq"]).all()
    assert labs["value"].gt(0).all()
    if cohort == "synthetic_myeloma":
        assert labs["lab_id"].is_unique
    assert set(events["event"]) <= EVENTS
    assert set(events.loc[events["event"] == "line_of_therapy", "value"]) <= TREATMENTS
    assert set(events.loc[events["event"] == "infusion", "value"]) <= CELL_THERAPIES
    assert set(events.loc[events["event"] == "progression", "value"]) <= {"serological", "imaging"}
    light_chain = patients.loc[patients["isotype"] == "light_chain", "patient"]
    assert not ((labs["output"] == "m_protein") & labs["patient"].isin(light_chain)).any()


def test_nothing_is_dated_after_the_end_of_a_record(cohort):
    stop = table(cohort, "truth").set_index("patient")["record_stop_day"]
    for name in ("labs", "events"):
        rows = table(cohort, name)
        assert (rows["time"] <= rows["patient"].map(stop)).all(), name


def test_the_readers_take_every_row_but_the_planted_ones(cohort):
    from bayestwin.records import read_records
    from bayestwin.specification import load_model

    folder = DATA / cohort
    reading = read_records(
        load_model("myeloma_car_t").record_schema(),
        patients=folder / "patients.csv",
        labs=folder / "labs.csv",
        events=folder / "events.csv",
    )
    planted = [] if cohort == "synthetic_myeloma" else ["DEMO-02", "DEMO-03"]
    assert sorted(refusal.patient for refusal in reading.refusals) == planted
    assert len(reading.cohort) == len(table(cohort, "patients"))
    assert sum(len(p.labs) for p in reading.cohort) == len(labs_of(cohort))


def main_start(events):
    """Day and name of the main treatment: the infusion, else the line of therapy; None before an infusion."""
    infusion = events[events["event"] == "infusion"]
    if len(infusion):
        return infusion["time"].iloc[0]
    if (events["event"] == "leukapheresis").any():
        return None
    return events.loc[events["event"] == "line_of_therapy", "time"].iloc[0]


def is_over(value, nadir, light_chain):
    """Whether a value meets the serological rule against a nadir, in exact tenths of g/L or in mg/L."""
    if light_chain:
        return value - nadir > 100 and 4 * value >= 5 * nadir
    value, nadir = round(10 * value), round(10 * nadir)
    return (value - nadir >= 50 and 4 * value >= 5 * nadir) or (nadir >= 500 and value - nadir >= 100)


def recoded_progression(visits, start, light_chain):
    """Day of the first visit of two in a row over the confirmed nadir, coded anew from the labs; None if none."""
    baseline = visits[visits["time"] <= start].iloc[-1:]
    used = pd.concat([baseline, visits[visits["time"] > start]])
    levels, days = used["value"].tolist(), used["time"].tolist()
    for i in range(1, len(levels) - 1):
        confirmed = [max(pair) for pair in itertools.pairwise(levels[:i])]
        nadir = min([levels[0], *confirmed])
        if all(is_over(value, nadir, light_chain) for value in levels[i : i + 2]):
            return days[i]
    return None


def test_progression_coded_anew_from_the_labs_agrees_with_the_events(cohort):
    isotype = table(cohort, "patients").set_index("patient")["isotype"]
    labs, coded = labs_of(cohort), 0
    for patient, events in table(cohort, "events").groupby("patient"):
        start = main_start(events)
        if start is None:
            continue
        light_chain = isotype[patient] == "light_chain"
        marker = "involved_flc" if light_chain else "m_protein"
        visits = labs[(labs["patient"] == patient) & (labs["output"] == marker)]
        found = events[(events["event"] == "progression") & (events["value"] == "serological")]["time"].tolist()
        again = recoded_progression(visits, start, light_chain)
        assert found == ([] if again is None else [again]), patient
        coded += len(found)
        progression = events.loc[events["event"] == "progression", "time"]
        if len(progression):
            assert (events.loc[events["event"] == "assessed", "time"] < progression.iloc[0]).all(), patient
    assert coded >= 2


def test_observed_labs_scatter_around_the_truth_as_the_assay_says(cohort):
    truth = table(cohort, "truth_trajectories").melt(["patient", "time"], var_name="output", value_name="exact")
    both = labs_of(cohort).merge(truth, on=["patient", "time", "output"], how="left", validate="many_to_one")
    assert both["exact"].notna().all()
    seen = both[both["comparator"].isna()]
    for output, sd in (("m_protein", None), ("involved_flc", 0.18), ("transgene", 0.45)):
        rows = seen[seen["output"] == output]
        if sd is None:
            rows = rows[rows["exact"] > 2.0]  # clear of the limit, where values below are cut off
            z = (rows["value"] - rows["exact"]) / np.hypot(0.06 * rows["exact"], 0.3)
        else:
            rows = rows[rows["exact"] > (200.0 if output == "transgene" else 0.0)]
            z = np.log(rows["value"] / rows["exact"]) / sd
        assert abs(z.mean()) < 4 / np.sqrt(len(z)), output
        assert abs(z.std() - 1) < 4 / np.sqrt(2 * len(z)), output
        assert z.abs().max() < 5, output
    low = both[both["comparator"] == "<"]
    highest = low["output"].map({"m_protein": 0.5 + 5 * 0.32, "transgene": 50 * np.exp(5 * 0.45)})
    assert (low["exact"] < highest).all()


def test_true_progression_is_the_first_of_its_causes_and_records_follow_it(cohort):
    truth = table(cohort, "truth")
    causes = truth[["true_serological_day", "true_imaging_day", "true_death_day"]]
    np.testing.assert_array_equal(truth["true_pfs_day"], causes.min(axis=1))
    died = truth[truth["record_outcome"] == "death"]
    assert (died["record_stop_day"] == died["true_death_day"]).all()
    assert (truth["true_death_day"].fillna(9999) >= truth["record_stop_day"]).all()
    seen = truth[truth["record_outcome"] == "serological"]
    delay = seen["record_coded_day"] - seen["true_serological_day"]
    assert delay.between(-30, 60).all(), delay.tolist()
    imaging = truth[truth["record_outcome"] == "imaging"]
    assert (imaging["record_coded_day"] - imaging["true_imaging_day"]).between(0, 70).all()


def test_the_first_demo_patient_fails_bridging_and_then_responds_to_ide_cel():
    events = table("demo_patients", "events").query("patient == 'DEMO-01'")
    infusion = events.loc[events["event"] == "infusion"]
    assert infusion["value"].tolist() == ["ide_cel"]
    assert 42 <= infusion["time"].iloc[0] <= 56
    assert events.loc[events["event"] == "line_of_therapy", "value"].tolist() == ["dara_pd"]
    m = labs_of("demo_patients").query("patient == 'DEMO-01' and output == 'm_protein'")
    before, after = m[m["time"] <= infusion["time"].iloc[0]], m[m["time"] > infusion["time"].iloc[0]]
    assert 0.85 <= before["value"].iloc[-1] / before["value"].iloc[0] <= 1.15
    assert after["value"].min() <= 0.1 * before["value"].iloc[-1]


def test_the_demo_patients_have_a_truth_under_each_of_the_four_treatments():
    truth = table("demo_patients", "truth_counterfactual")
    assert truth.groupby("patient")["treatment"].apply(set).tolist() == [TREATMENTS] * 6
    causes = truth[["true_serological_day", "true_imaging_day", "true_death_day"]]
    np.testing.assert_array_equal(truth["true_pfs_day"], causes.min(axis=1))


def test_simulated_theophylline_follows_its_true_parameters():
    folder = DATA / "theophylline_simulated"
    rows, truth = pd.read_csv(folder / "theophylline_simulated.csv"), pd.read_csv(folder / "truth.csv").set_index("ID")
    assert rows.groupby("ID")["EVID"].sum().eq(1).all()
    samples = rows[rows["EVID"] == 0].join(truth[["ka", "CL", "V", "dose_mg"]], on="ID")
    assert samples.groupby("ID").size().tolist() == [11] * 12
    k = samples["CL"] / samples["V"]
    shape = np.exp(-k * samples["TIME"]) - np.exp(-samples["ka"] * samples["TIME"])
    exact = samples["dose_mg"] * samples["ka"] / (samples["V"] * (samples["ka"] - k)) * shape
    error = samples["DV"] - exact
    assert abs(error.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * len(error))


def test_the_csv_files_hold_no_comment_lines():
    for path in DATA.rglob("*.csv"):
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert all(len(row) == len(rows[0]) for row in rows), path.name
        assert not rows[0][0].startswith("#"), path.name
