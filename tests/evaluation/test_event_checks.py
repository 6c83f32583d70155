"""Kaplan-Meier VPC of events against constant hazards, whose curves are known."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "prognosis"))

from hazard_model import hazard_population

from bayestwin.cli.check_fit_events import write_events
from bayestwin.errors import FitError
from bayestwin.evaluation.event_checks import event_vpc
from bayestwin.evaluation.event_replicates import _assessed, _follow_up_after_death, event_replicates
from bayestwin.evaluation.observed_events import Course, events_seen, kaplan_meier, observed
from bayestwin.records import ClinicalEvent, Cohort, PatientRecord

END, EVERY, COUNT = 1200.0, 28.0, 200


@pytest.fixture(scope="module")
def hazards(tmp_path_factory):
    return hazard_population(tmp_path_factory.mktemp("models") / "hazards")


def event(name, time, value=""):
    return ClinicalEvent(name, float(time), float(time), value)


def cohort_of(*, times: float = 1.0, patients: int = 60, seed: int = 4) -> Cohort:
    """Patients seen every 28 days until day 1200 or death, with so many times the hazards of the model."""
    rng, records = np.random.default_rng(seed), []
    for n in range(patients):
        died, progressed = rng.exponential(1 / (0.0005 * times)), rng.exponential(1 / (0.001 * times))
        until, events = min(died, END), []
        for visit in np.arange(EVERY, until, EVERY):
            if visit >= progressed:
                events.append(event("progression", visit, "imaging"))
                break
            events.append(event("assessed", visit))
        events.append(event("death", died) if died < END else event("last_known_alive", END))
        records.append(PatientRecord(f"K-{n}", events=tuple(events)))
    return Cohort(tuple(records))


@pytest.fixture(scope="module")
def found(hazards):
    return event_replicates(hazards, cohort_of(), random_seed=1, count=COUNT)


def outside(table, event):
    rows = table[table["event"] == event]
    return ((rows["observed"] < rows["low"]) | (rows["observed"] > rows["high"])).mean()


def test_simulated_deaths_follow_the_mean_of_the_exponential_curves(hazards, found):
    grid = np.linspace(0.0, END * 0.95, 8)
    rates = hazards.posterior["h_death_pop"].values.ravel()
    exact = np.exp(-rates[:, None] * grid).mean(axis=0)
    simulated = np.mean(
        [kaplan_meier(*pair, grid) for pair in zip(found.times["death"], found.happened["death"])], axis=0
    )
    assert simulated == pytest.approx(exact, abs=4 * 0.5 / np.sqrt(60 * COUNT) + 0.01) and exact[-1] < 0.65


def test_progression_is_found_at_visits_and_only_in_the_living(hazards, found):
    seen = found.happened["progression"]
    assert np.allclose(np.mod(found.times["progression"][seen], EVERY), 0.0)
    assert (found.times["progression"][seen] <= found.times["death"][seen]).all()
    grid = EVERY * np.arange(1, 36, 5)
    rates = hazards.posterior["h_other_pop"].values.ravel()
    exact = np.exp(-rates[:, None] * grid).mean(axis=0)  # found at the first visit after it
    curves = [kaplan_meier(*pair, grid) for pair in zip(found.times["progression"], found.happened["progression"])]
    assert np.mean(curves, axis=0) == pytest.approx(exact, abs=0.03)


def test_a_cohort_of_the_model_stays_in_its_bands_and_one_that_dies_faster_does_not(hazards, found):
    table = event_vpc(found)
    assert list(dict.fromkeys(table["event"])) == ["death", "progression"]
    assert outside(table, "death") < 0.15 and outside(table, "progression") < 0.15
    first = table.groupby("event").first()
    assert ((first["events_low"] <= first["events"]) & (first["events"] <= first["events_high"])).all()
    wrong = event_vpc(event_replicates(hazards, cohort_of(times=3.0), random_seed=1, count=COUNT))
    assert outside(wrong, "death") > 0.8 and outside(wrong, "progression") > 0.8


def test_kaplan_meier_is_the_product_by_hand():
    time, happened = [2.0, 3.0, 3.0, 5.0, 8.0, 9.0], [True, True, False, True, False, False]
    by_hand = [1.0, 5 / 6, 5 / 6 * 4 / 5, 5 / 6 * 4 / 5 * 2 / 3, 5 / 6 * 4 / 5 * 2 / 3]
    assert kaplan_meier(time, happened, [1.9, 2.0, 4.0, 5.0, 9.0]) == pytest.approx(by_hand)
    assert kaplan_meier(time, [False] * 6, [4.0]).tolist() == [1.0]


def test_what_is_seen_of_a_patient_is_what_the_likelihood_counts(hazards):
    events = (event("assessed", 28), event("assessed", 56), event("progression", 84, "imaging"), event("death", 100))
    course = events_seen(hazards.model, PatientRecord("K-1", events=events))
    assert (course.died, course.progressed) == (100.0, 84.0) and course.assessed.tolist() == [28.0, 56.0, 84.0]
    serological = events_seen(
        hazards.model, PatientRecord("K-2", events=(events[0], event("progression", 84, "serological")))
    )
    assert np.isnan(serological.progressed) and serological.alive == 84.0
    times, seen = observed((course, serological), "progression")
    assert times.tolist() == [84.0, 28.0] and seen.tolist() == [True, False]
    times, seen = observed((course, serological), "death")
    assert times.tolist() == [100.0, 84.0] and seen.tolist() == [True, False]


def test_who_died_would_have_been_followed_as_long_as_others_were(hazards):
    rng, none = np.random.default_rng(1), np.array([])
    dead = Course(50.0, 40.0, np.nan, none)
    courses = (dead, *(Course(np.nan, t, np.nan, none) for t in (30.0, 100.0, 300.0)))
    until = _follow_up_after_death(courses)(dead, rng, 4000)
    assert set(until) == {100.0, 300.0} and (until == 100.0).mean() == pytest.approx(0.5, abs=0.04)
    assert set(_follow_up_after_death(courses)(courses[1], rng, 5)) == {30.0}
    seen, when = _assessed(
        hazards.model,
        Course(np.nan, 90.0, np.nan, np.array([28.0, 56.0])),
        np.array([40.0, 60.0]),
        np.array([90.0, 90.0]),
    )
    assert seen.tolist() == [True, False] and when.tolist() == [56.0, 56.0]


def test_check_fit_writes_the_curves_and_says_how_many_events_were_expected(hazards, tmp_path):
    words = write_events(tmp_path, hazards, cohort_of(), seed=1, count=COUNT, probability=0.9)
    assert words[0].startswith("death: ") and "Kaplan-Meier" in words[1] and "of 60 patients" in words[0]
    for name in ("death", "progression"):
        assert (tmp_path / f"vpc_event_{name}.csv").is_file() and (tmp_path / f"vpc_event_{name}.png").is_file()
    bare = Cohort((PatientRecord("K-1"),))
    assert write_events(tmp_path, hazards, bare, seed=1, count=COUNT, probability=0.9)[0].startswith(
        "no events were given"
    )
    with pytest.raises(FitError, match="last_known_alive"):
        event_replicates(hazards, bare, random_seed=1)


def test_a_model_without_hazards_has_no_events_to_check(population, tmp_path):
    assert write_events(tmp_path, population, cohort_of(patients=2), seed=1, count=COUNT, probability=0.9) == []
    with pytest.raises(FitError, match="no hazards of death or progression"):
        event_replicates(population, cohort_of(patients=2), random_seed=1)
