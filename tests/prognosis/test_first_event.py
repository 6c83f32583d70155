"""Each way to end progression-free survival on a line of its own; overall survival; mortality of the population."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bayestwin.errors import ModelError
from bayestwin.prognosis.endpoint import Noise, event_times, event_times_of_paths
from bayestwin.prognosis.first_event import check_hazards, first_events, ways_out
from bayestwin.prognosis.life_table import TABLES, background_integral, life_table, life_table_of, not_below
from bayestwin.specification import Progression, SerologicalRule, load_model

GERMANY = TABLES["germany_2020_2022"]
RULE = SerologicalRule("m_protein", relative=0.25, absolute=5.0)
ENDPOINT = Progression(
    rules=(RULE,),
    visit_every=28.0,
    progression_hazards=("extramedullary", "imaging"),
    death_hazard="death",
    other_death_hazards=("infection",),
)
HAZARDS = ("death", "extramedullary", "imaging", "infection")
MODEL = SimpleNamespace(name="four ways", hazard_names=HAZARDS)
TIMES = np.arange(28.0, 1100.0, 28.0)
RATES = {"death": 3e-4, "extramedullary": 5e-4, "imaging": 1e-4, "infection": 2e-4}


def integrals(draws=3, **rates):
    return np.stack([{**RATES, **rates}[name] * TIMES for name in HAZARDS], axis=-1)[None].repeat(draws, axis=0)


# ways out ------------------------------------------------------------------------------------------------------------


def test_constant_hazards_share_what_happens_by_their_rates():
    other, death = ways_out(MODEL, ENDPOINT, integrals())
    never = np.full((4, 3), np.inf)
    found = first_events(np.concatenate([other, death], axis=-1), TIMES, never, [182.0, 365.25])
    total = sum(RATES.values())
    rates = [0.0, *(RATES[name] for name in ("extramedullary", "imaging", "death", "infection"))]
    for k, h in enumerate((182.0, 365.25)):
        expected = np.array(rates) / total * (1 - np.exp(-total * h))
        assert found[:, :, k] == pytest.approx(np.broadcast_to(expected, (4, 3, 5)), rel=1e-12)


def test_the_ways_and_what_is_left_sum_to_one():
    rng = np.random.default_rng(7)
    hazards = np.cumsum(rng.gamma(0.5, 0.01, (60, len(TIMES), 4)), axis=1)
    hazards[:20, 5:9] = hazards[:20, 4:5]  # some stand still for a while
    visits = rng.choice([*TIMES, np.inf], (8, 60))
    marks = [100.0, 365.0, 1064.0]
    found = first_events(hazards, TIMES, visits, marks)
    for k, mark in enumerate(marks):
        grid = np.array([0.0, *TIMES])
        left = np.array([np.exp(-np.interp(mark, grid, [0.0, *h.sum(-1)])) for h in hazards])
        assert found[:, :, k].sum(axis=-1) + (visits > mark) * left == pytest.approx(np.ones((8, 60)), abs=1e-12)


@pytest.fixture
def marker(monkeypatch):
    """Assay errors off: a lab is what the model says."""
    monkeypatch.setattr("bayestwin.prognosis.endpoint.observed_with", lambda m, k, value, s, z: value + 0.0 * z)
    observations = (SimpleNamespace(lower_limit=None),)
    return SimpleNamespace(**vars(MODEL), observation_index={"m_protein": 0}, observations=observations)


def coded(model, level, hazards, **more):
    outputs = np.broadcast_to(np.asarray(level, float)[None, :, None], (len(hazards), len(TIMES), 1))
    luck = np.random.default_rng(3).standard_exponential((2, len(hazards)))
    how = {"history": [20.0], "start": 0.0, "landmarks": (182.0, 365.25)}
    how["noise"] = Noise(np.zeros((8, len(hazards), len(TIMES))), luck)
    sigma = np.zeros((len(hazards), 1))
    return event_times(model, RULE, ENDPOINT, outputs, hazards, sigma, TIMES, **{**how, **more})


def test_event_times_hold_the_same_lines_as_simulated_events(marker):
    level = np.where(TIMES < 250.0, 20.0, 40.0)  # a rise seen on day 252
    found = coded(marker, level, integrals(20_000))
    first, (_, year) = found.first[0], (182.0, 365.25)
    assert first[1].sum() + found.survival[0, 1] == pytest.approx(1.0, abs=1e-12)
    assert first[0, 0] == 0.0 and first[1, 0] == pytest.approx(np.exp(-sum(RATES.values()) * 252.0))
    died = (found.died & (found.event <= year)).mean()
    assert died == pytest.approx(first[1, 3] + first[1, 4], abs=0.01)
    assert ((found.event == 252.0) & (found.event <= year)).mean() == pytest.approx(first[1, 0], abs=0.01)


def test_overall_survival_counts_every_death_and_nothing_else(marker):
    found = coded(marker, np.full(len(TIMES), 40.0), integrals(20_000))  # progressed at once
    for k, h in enumerate((182.0, 365.25)):
        assert found.alive[:, k] == pytest.approx(np.exp(-5e-4 * h))
        assert (found.death > h).mean() == pytest.approx(np.exp(-5e-4 * h), abs=0.01)
    assert found.alive_squared == pytest.approx(found.alive**2)


def test_paths_of_one_policy_give_the_lines_of_the_plain_forecast(marker):
    level, hazards = np.where(TIMES < 250.0, 20.0, 40.0), integrals(5)
    plain = coded(marker, level, hazards)
    seen = np.broadcast_to(level, (4, 5, len(TIMES)))
    how = {"history": [20.0], "episode": None, "landmarks": (182.0, 365.25), "rng": np.random.default_rng(3)}
    paths = event_times_of_paths(
        marker, RULE, ENDPOINT, seen, np.broadcast_to(hazards, (4, *hazards.shape)), TIMES, TIMES, **how
    )
    for name in ("first", "alive", "alive_squared", "survival", "free"):
        assert getattr(paths, name) == pytest.approx(getattr(plain, name), abs=1e-12), name


def test_a_further_way_to_die_must_be_a_hazard_of_the_model():
    check_hazards(MODEL, ENDPOINT)
    with pytest.raises(ModelError, match="four ways, other_death_hazards: .*'sepsis'.*death, extramedullary"):
        check_hazards(MODEL, replace(ENDPOINT, other_death_hazards=("sepsis",)))
    with pytest.raises(ModelError, match="beside a death_hazard"):
        check_hazards(MODEL, replace(ENDPOINT, death_hazard=None))


# the population ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "sex", "expected"), [(65, "male", 17.63), (65, "female", 20.90), (80, "male", 7.97), (80, "female", 9.49)]
)
def test_the_life_table_gives_the_published_life_expectancy(age, sex, expected):
    days = np.arange(0.0, 80 * 365.25, 10.0)
    survival = np.exp(-GERMANY.hazard_integral(age, sex, days))
    assert np.trapezoid(survival, days) / 365.25 == pytest.approx(expected, abs=0.03)


def test_the_integral_over_a_year_of_age_is_that_of_the_table():
    assert GERMANY.hazard_integral(65, "male", 365.25) == pytest.approx(-np.log(1 - 0.01595), rel=1e-12)
    assert GERMANY.hazard_integral(65.5, "male", 365.25) == pytest.approx(
        0.5 * (-np.log(1 - 0.01595) - np.log(1 - 0.01744)), rel=1e-12
    )
    assert GERMANY.hazard_integral(103.0, "male", 365.25) == pytest.approx(-np.log(1 - 0.41781), rel=1e-12)


def test_without_a_sex_the_lower_hazard_counts_and_without_an_age_there_is_no_floor():
    days = np.arange(0.0, 3000.0, 100.0)
    both = [GERMANY.hazard_integral(70, sex, days) for sex in ("male", "female", None)]
    assert (both[2] <= np.minimum(*both[:2]) + 1e-15).all()
    assert background_integral(GERMANY, {"sex": "male"}, 0.0, days) is None
    assert background_integral(None, {"age_years": 70.0}, 0.0, days) is None
    later = background_integral(GERMANY, {"age_years": 69.0, "sex": "male"}, 365.25, days)
    assert later == pytest.approx(both[0])


def test_no_step_of_a_hazard_falls_below_the_population_and_none_that_is_above_is_touched():
    rng = np.random.default_rng(2)
    own, least = np.cumsum(rng.gamma(1.0, 1e-3, (50, 40)), axis=1), np.cumsum(np.full(40, 1e-3))
    raised = not_below(own, least)
    steps, before = np.diff(raised, prepend=0.0), np.diff(own, prepend=0.0)
    assert (steps >= 1e-3 - 1e-15).all()
    assert steps[before >= 1e-3] == pytest.approx(before[before >= 1e-3]) and not_below(own, None) is own


def test_the_hazard_of_a_cohort_is_never_below_the_life_table(marker):
    """A cured patient of 80 dies as the population does; one with a hazard of disease dies earlier."""
    cured, sick = integrals(2, death=1e-9, infection=0.0), integrals(2, death=1e-3, infection=0.0)
    background = background_integral(GERMANY, {"age_years": 80.0, "sex": "male"}, 0.0, TIMES)
    flat = np.full(len(TIMES), 20.0)
    least = np.exp(-np.interp([182.0, 365.25], TIMES, background))
    assert coded(marker, flat, cured, background=background).alive[0] == pytest.approx(least)
    assert (coded(marker, flat, sick, background=background).alive[0] < least).all()
    assert (coded(marker, flat, cured).alive[0] > least).all()
    lines = coded(marker, flat, cured, background=background)
    assert lines.first[0, 1].sum() + lines.survival[0, 1] == pytest.approx(1.0, abs=1e-12)
    assert lines.first[0, 1, 4] == 0.0  # what is missing is not put on infection


def test_the_myeloma_model_names_its_life_table_and_agrees_with_it_at_the_ages_of_its_patients():
    myeloma = load_model("myeloma_car_t")
    assert life_table_of(myeloma) is GERMANY and life_table_of(load_model("theophylline")) is None
    line = next(p for p in myeloma.parameters if p.name == "h_background")
    slope, shift = line.covariates[0].slope.value, line.covariates[1].shift.value
    for age in range(55, 81):
        for sex, step in (("male", 0.0), ("female", shift)):
            yearly = 365.25 * line.typical.value * np.exp(slope * (age - 65.0) + step)
            assert yearly == pytest.approx(float(GERMANY.hazard_integral(age, sex, 365.25)), rel=0.1), (age, sex)


def test_an_unknown_life_table_names_those_there_are():
    with pytest.raises(ModelError, match="no such life table.*'atlantis'.*germany_2020_2022"):
        life_table("atlantis")
