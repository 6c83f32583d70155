"""Events at every assessment: the twin's chance against the closed form, and beside a rival's on the same landmarks."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "prognosis"))

from hazard_model import hazard_population

from bayestwin.errors import ModelError
from bayestwin.evaluation import event_replay
from bayestwin.evaluation.event_replay import TWIN, landmark_months, twin_event_rows
from bayestwin.evaluation.rivals import compare_events, fit_landmark_cox
from bayestwin.evaluation.rivals.event_scores import brier_parts, censoring_survival
from bayestwin.jobs.replay import replay_cohort, write_replay
from bayestwin.records import ClinicalEvent, Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

MONTH = 365.25 / 12
SIZES = {"particles": 400, "islands": 4, "population_draws": 100}


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    return hazard_population(tmp_path_factory.mktemp("models") / "hazards")


def followed(*events, drug=0.0):
    """On the drug from a day on; assessed on days 28 and 84, the second told 10 days later."""
    seen = [ClinicalEvent("assessed", 28.0, 28.0), ClinicalEvent("assessed", 84.0, 94.0)]
    start = () if drug is None else (ClinicalEvent("line_of_therapy", drug, drug, "drug"),)
    return PatientRecord("E-1", labs=(Lab("a", "m_protein", 0.0, 20.0, 0.0),), events=(*start, *seen, *events))


def test_constant_hazards_give_the_exponential_at_every_assessment(population):
    rows = twin_event_rows(population, followed(ClinicalEvent("death", 300.0, 300.0)), random_seed=1, **SIZES)
    assert [row["landmark"] for row in rows[:: len(rows) // 2]] == [28.0, 94.0]  # when it was told, not when it was
    assert {(row["forecaster"], row["time"], row["event"], row["verdict"]) for row in rows} == {
        (TWIN, 300.0, True, "PASS")
    }
    rates = 0.001 * np.exp(0.3 * np.random.default_rng(2).standard_normal(10_000))
    for row in rows:
        exact = np.mean(np.exp(-1.5 * rates * row["horizon"]))
        assert row["probability"] == pytest.approx(exact, abs=0.04), row


def test_the_twin_counts_from_the_landmark_and_not_from_its_newest_lab(population, monkeypatch):
    cuts = []
    asked = event_replay.forecast
    monkeypatch.setattr(event_replay, "forecast", lambda twin, *a, **k: cuts.append(twin.time) or asked(twin, *a, **k))
    twin_event_rows(population, followed(ClinicalEvent("death", 300.0, 300.0)), random_seed=1, **SIZES)
    assert cuts == [28.0, 94.0]  # the assessment of day 84 was told on day 94


def test_what_came_later_changes_no_earlier_chance(population):
    first = twin_event_rows(population, followed(), random_seed=1, **SIZES)
    later = followed(ClinicalEvent("progression", 120.0, 150.0, "imaging"))
    again = twin_event_rows(population, later, random_seed=1, **SIZES)
    assert [row["probability"] for row in first if row["landmark"] == 28.0] == [
        row["probability"] for row in again if row["landmark"] == 28.0
    ]


def test_a_patient_without_treatment_or_past_the_event_has_no_row(population):
    assert twin_event_rows(population, followed(drug=None), random_seed=1, **SIZES) == []
    early = followed(ClinicalEvent("death", 20.0, 20.0))
    early = replace(early, events=tuple(e for e in early.events if e.event != "assessed"))
    assert twin_event_rows(population, early, random_seed=1, **SIZES) == []


def test_horizons_are_the_landmark_months_of_the_endpoint_and_a_model_without_one_is_refused(population):
    rows = twin_event_rows(population, followed(), random_seed=1, **SIZES)
    assert [row["horizon"] for row in rows if row["landmark"] == 28.0] == [
        month * MONTH for month in landmark_months(population.model)
    ]
    without = SimpleNamespace(model=load_model("theophylline"))
    with pytest.raises(ModelError, match="no endpoint"):
        twin_event_rows(without, followed(), random_seed=1, **SIZES)


def dying(prefix, n=24, seed=3):
    """On the drug, assessed every 28 days, dying at 0.0015 a day or followed to day 400."""
    rng, found = np.random.default_rng(seed), []
    for k in range(n):
        end = rng.exponential(1 / 0.0015)
        seen = [ClinicalEvent("assessed", t, t) for t in np.arange(28.0, min(end, 400.0), 84.0)]
        last = ClinicalEvent("death", end, end) if end < 400 else ClinicalEvent("last_known_alive", 400.0, 400.0)
        start = ClinicalEvent("line_of_therapy", 0.0, 0.0, "drug")
        lab = Lab("a", "m_protein", 0.0, 20.0 + rng.normal(), 0.0)
        found.append(PatientRecord(f"{prefix}-{k}", labs=(lab,), events=(start, *seen, last)))
    return Cohort(tuple(found))


def test_a_replay_writes_both_chances_at_every_landmark(population, tmp_path):
    rival = fit_landmark_cox(population.model, dying("T"), horizon=24 * MONTH)
    others = Cohort(tuple(dying("N", 3, seed=4)))
    found = replay_cohort(population, others, random_seed=1, event_rival=rival, **SIZES)
    assert not found.failed
    written = write_replay(found, tmp_path / "p.csv", {})
    assert [path.name for path in written] == ["p.csv", "p_events.csv", "p.provenance.json"]
    table = pd.read_csv(tmp_path / "p_events.csv")
    own, other = (table[table["forecaster"] == name] for name in (TWIN, "landmark_cox"))
    places = ["patient", "landmark", "horizon"]
    assert own[places].to_numpy().tolist() == other[places].to_numpy().tolist() and len(own) > 6
    assert set(own["patient"]) == set(others.keys)


def rows_of(name, chances, patients):
    return [
        {"patient": p, "landmark": 0.0, "horizon": 100.0, "forecaster": name, "probability": c, "time": t, "event": e}
        for c, (p, t, e) in zip(chances, patients)
    ]


def test_the_paired_difference_is_taken_on_landmarks_of_which_both_have_a_number():
    """By hand: without censoring before the horizon the score is the squared error."""
    patients = [("A", 50.0, True), ("B", 200.0, False), ("C", 80.0, True), ("D", 150.0, False)]
    rows = rows_of(TWIN, (0.2, 0.9, 0.1, np.nan), patients) + rows_of("other", (0.5, 0.5, 0.5, 0.5), patients)
    found = compare_events(rows, twin=TWIN, random_seed=1).iloc[0]
    assert found["twin"] == pytest.approx(np.mean([0.2**2, 0.1**2, 0.1**2]))
    assert found["rival_score"] == pytest.approx(0.25) and found["without_number"] == 1
    assert found["difference"] == pytest.approx(found["rival_score"] - found["twin"])
    assert (found["landmarks"], found["events"], found["patients"]) == (3, 2, 3) and found["low"] > 0
    table = pd.DataFrame(rows_of(TWIN, (0.2, 0.9, 0.1), patients))
    parts = brier_parts(table, censoring_survival(table["time"].to_numpy(), table["event"].to_numpy()))
    assert parts.mean() == pytest.approx(found["twin"])


def test_nothing_in_common_says_so_with_numbers_missing():
    rows = rows_of(TWIN, (np.nan,), [("A", 50.0, True)]) + rows_of("other", (0.5,), [("A", 50.0, True)])
    found = compare_events(rows, twin=TWIN, random_seed=1).iloc[0]
    assert np.isnan(found["twin"]) and found["landmarks"] == 0 and found["without_number"] == 1
