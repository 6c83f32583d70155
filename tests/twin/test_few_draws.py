"""Population draws that are too few for a patient: what they do to a chance, and that the check sees it."""

import numpy as np
import pytest
from level_model import as_population, level_draws
from scipy import stats

from bayestwin.twin import rebuild_twin, start_twin, update_twin
from bayestwin.twin.few_draws import draws_error
from bayestwin.twin.particles import island_means
from bayestwin.twin.target import class_weights

BEFORE, AFTER = (26.0, 25.5), (21.3, 21.8)  # far above the population, and between the two response classes
ALL, TAKEN = 400, 100
KEYS = ("level_pop", "effect_pop", "no_effect_pop", "p_none_pop", "omega_level")


def far_draws(n, seed=1):
    """Draws that know little of the level and of the chance of response."""
    rng = np.random.default_rng(seed)
    return level_draws(n) | {
        "level_pop": 20.0 + 2.5 * rng.standard_normal(n),
        "effect_pop": 8.0 + 1.5 * rng.standard_normal(n),
        "p_none_pop": 1.0 / (1.0 + np.exp(0.8 - 1.5 * rng.standard_normal(n))),
        "omega_level": 0.6 * np.exp(0.2 * rng.standard_normal(n)),
    }


def exact_by_draw(draws, before=BEFORE, after=AFTER):
    """Evidence of each draw and class, (M, 2), responders first: normal given both."""
    y, late = np.array([*before, *after]), np.r_[np.zeros(len(before)), np.ones(len(after))]
    found = []
    for level, effect, none, p, omega in zip(*(draws[k] for k in KEYS)):
        own = 1.5**2 * np.eye(len(y)) + omega**2
        responds = stats.multivariate_normal.pdf(y, level - effect * late, own + np.outer(late, late))
        found.append(((1.0 - p) * responds, p * stats.multivariate_normal.pdf(y, level - none * late, own)))
    return np.array(found)


def p_none(evidence):
    return evidence[:, 1].sum() / evidence.sum()


@pytest.fixture(scope="module")
def far():
    draws = far_draws(ALL)
    return draws, exact_by_draw(draws)


@pytest.fixture(scope="module")
def far_population(level_model, far):
    return as_population(level_model, far[0])


@pytest.fixture(scope="module")
def record(level_record):
    return level_record((*BEFORE, *AFTER), drug_at=2.0)


def test_the_error_says_what_other_draws_would_have_given():
    """400 times other draws of the same population, 2,000 exact particles each: islands could not tell."""
    rng, evidence = np.random.default_rng(3), exact_by_draw(far_draws(4000, seed=5), (23.0, 22.5), (18.3, 18.0))
    truth, even, found = p_none(evidence), np.full(2000, 1 / 2000), []
    for _ in range(400):
        own = evidence[rng.choice(4000, TAKEN, replace=False)]
        draw, none = np.divmod(rng.choice(own.size, 2000, p=(own / own.sum()).ravel()), 2)
        found.append((none.mean() - truth, float(draws_error(none, even, draw)), none.std() / np.sqrt(2000)))
    gap, error, islands = np.abs(np.array(found)).T
    assert 0.88 < np.mean(gap < 2 * np.hypot(error, islands)) < 0.99
    assert np.mean(gap < 2 * islands) < 0.6


def test_what_does_not_differ_between_draws_has_no_error_of_theirs():
    rng = np.random.default_rng(1)
    values, draw, even = rng.standard_normal((4000, 50)), rng.integers(100, size=4000), np.full(4000, 1 / 4000)
    error = draws_error(values, even, draw)
    assert error.shape == (50,) and np.sqrt((error**2).mean()) < 0.5 / np.sqrt(4000)
    assert draws_error(values[:, 0], even, np.zeros(4000, dtype=int)) == 0.0  # one draw: nothing to tell by
    apart = draws_error(np.where(draw < 50, 1.0, -1.0), even, draw)  # means of 1 and -1 over 100 draws
    assert apart == pytest.approx(0.1, abs=0.01)


@pytest.fixture(scope="module")
def first(far_population, record, sizes):
    """The first try, with the draws that islands share."""
    return rebuild_twin(far_population, record, random_seed=1, **sizes)


def test_islands_that_agree_on_the_wrong_chance_are_seen_by_the_draws_they_share(first, far, far_population):
    twin, info = first
    _, taken = far_population.hyper_draws(TAKEN)
    shares = island_means(class_weights(twin.particles)[:, 1], twin.particles.log_weights, twin.islands)
    error, found = shares.std(ddof=1) / np.sqrt(twin.islands), twin.response_probability()["drug"]
    assert found == pytest.approx(p_none(far[1][taken]), abs=0.06)  # right for its draws,
    assert abs(found - p_none(far[1])) > 4 * error  # wrong for the population, and no island says so
    assert info.few_draws and info.nothing_else and info.verdict == "WITHHELD"
    (said,) = (why for why in info.reasons if "population draws is left" in why)
    assert "of 100 population draws" in said and "the population holds 400" in said


def test_a_twin_that_rests_on_few_draws_is_made_again_with_more(far, far_population, record, sizes):
    twin = start_twin(far_population, record, random_seed=1, **sizes)
    assert twin.population.draws == ALL and twin.asked_size == sizes["particles"]
    assert "again with more population draws, because the weight of" in twin.info.reasons[0]
    assert len(twin.particles.draw) == sizes["particles"]  # nothing else was too few
    assert twin.response_probability()["drug"] == pytest.approx(p_none(far[1]), abs=0.05)
    assert twin.info.verdict == "PASS" and not twin.info.few_draws  # on all there are, and says so:
    assert any("of 400 population draws is left" in why for why in twin.info.reasons) or twin.info.draws_error < 0.15


@pytest.mark.validate
def test_an_update_that_leaves_few_draws_takes_more_of_them(far, far_population, level_record, sizes):
    start = start_twin(far_population, level_record(()), random_seed=1, **sizes)
    assert start.info.verdict == "PASS" and start.population.draws == TAKEN
    moved, info = update_twin(
        start, level_record((*BEFORE, *AFTER), drug_at=2.0), random_seed=2, population=far_population
    )
    assert info.path == "oracle" and moved.population.draws == ALL
    assert "from scratch with more population draws" in info.reasons[0]
    assert moved.response_probability()["drug"] == pytest.approx(p_none(far[1]), abs=0.05)
