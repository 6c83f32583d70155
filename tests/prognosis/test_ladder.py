"""The ladder of one chance on hazards alone, whose survival is known."""

from dataclasses import replace

import numpy as np
import pytest

from bayestwin.errors import ModelError
from bayestwin.prognosis import forecast
from bayestwin.prognosis.ladder import chance_ladder, in_100
from bayestwin.records import ClinicalEvent, Lab, PatientRecord

MONTH = 30.4375
SIZES = {"particles": 800, "islands": 4, "population_draws": 100}


@pytest.fixture(scope="module")
def record():
    return PatientRecord(
        "L-1", labs=tuple(Lab(f"m{t:g}", "m_protein", t, 20.0 + t / 100, t) for t in (0.0, 10.0, 90.0))
    )


@pytest.fixture(scope="module")
def ladder(hazards, record):
    moments = {"second": 12.0, "first": 0.0}
    return chance_ladder(hazards, record, moments, treatment="drug", month=12, random_seed=1, **SIZES)


def rates(twin):
    return np.exp(np.asarray(twin.population.typical)[np.asarray(twin.particles.draw)][:, 1:]).sum(1)


def test_every_rung_is_the_forecast_of_its_moment_and_knows_nothing_of_later_ones(ladder):
    assert [r.name for r in ladder.rungs] == ["first", "second"] and [r.labs for r in ladder.rungs] == [
        {"m_protein": 1},
        {"m_protein": 2},
    ]
    for rung in ladder.rungs:
        expected = rung.twin.weights @ np.exp(-rates(rung.twin) * 12 * MONTH)
        assert rung.twin.time == rung.time
        assert rung.chance.value == pytest.approx(expected, abs=1e-4)
    own = forecast(ladder.rung("first").twin, ["drug"], random_seed=1, over_rho=False).chance("drug", 12)
    assert ladder.rung("first").chance.value == pytest.approx(own.value, abs=1e-12)


def test_until_one_day_every_rung_asks_for_the_months_that_are_left(hazards, record, ladder):
    until = 200.0
    found = chance_ladder(hazards, record, {"a": 0.0, "b": 12.0}, treatment="drug", until=until, random_seed=1, **SIZES)
    for rung in found.rungs:
        expected = rung.twin.weights @ np.exp(-rates(rung.twin) * (until - rung.time))
        assert rung.chance.value == pytest.approx(expected, abs=1e-4)
    assert found.rung("b").months == pytest.approx(188.0 / MONTH) and "until day 200" in str(found)


def test_after_a_death_the_ladder_says_so_also_where_it_became_known_later(hazards, record):
    dead = replace(record, labs=record.labs[:2], events=(ClinicalEvent("death", 50.0, 70.0),))
    moments = {"alive": 12.0, "not known yet": 60.0, "known": 90.0}
    found = chance_ladder(hazards, dead, moments, treatment="drug", month=6, random_seed=1, **SIZES)
    assert [rung.chance is None for rung in found.rungs] == [False, False, True]
    assert found.rung("known").reason == "the patient has died"
    assert [e.event for e in found.rung("known").twin.record.events] == ["last_known_alive", "death"]


def test_the_table_says_what_each_chance_rests_on(ladder):
    frame = ladder.to_frame()
    assert list(frame["moment"]) == ["first", "second"] and list(frame["labs"]) == [1, 2]
    assert frame["rests_on"][1].startswith("2 labs (2 m protein)")
    doubt = frame[["doubt_patient", "doubt_knowledge", "doubt_chance"]].sum(axis=1)
    np.testing.assert_allclose(doubt.astype(float), 1.0)
    assert "first (0): " in str(ladder) and " in 100 (" in str(ladder)


def test_nothing_is_printed_as_impossible_or_certain_and_a_noisy_chance_says_so(ladder):
    assert [in_100(x) for x in (0.0, 0.004, 0.5, 0.996, 1.0)] == ["<1", "<1", "50", ">99", ">99"]
    assert not any("Monte Carlo error" in rung.reason for rung in ladder.rungs)
    rung = ladder.rungs[0]
    noisy = replace(ladder, rungs=(replace(rung, reason="Monte Carlo error 3.0 points: take more particles"),))
    assert "Monte Carlo error 3.0 points" in str(noisy)


def test_a_moment_that_cannot_be_asked_is_named(hazards, record, ladder):
    with pytest.raises(ModelError, match="moment late.*outside the horizon.*at most 36"):
        chance_ladder(hazards, record, {"late": 12.0}, treatment="drug", until=12.0, random_seed=1, **SIZES)
    with pytest.raises(ModelError, match="no such moment.*'third'.*first, second"):
        ladder.rung("third")
    with pytest.raises(ModelError, match="and a moment"):
        chance_ladder(hazards, record, {}, treatment="drug", random_seed=1, **SIZES)
    with pytest.raises(ModelError, match="a landmark lies outside the horizon.*'40'.*at most 36"):
        forecast(ladder.rung("first").twin, ["drug"], landmarks_months=(40,), random_seed=1)
