"""The estimators of report_spec 1.2 on hierarchies whose answer is known."""

import numpy as np
import pytest

from bayestwin.prognosis.compare import _difference
from bayestwin.prognosis.quantities import chance_of, knowledge_spread
from bayestwin.twin.monte_carlo import island_error
from bayestwin.twin.surprise import weighted_quantiles

M = 400


def hierarchy(per_draw, seed=1):
    """Bernoulli outcomes of `per_draw` patients under each of 400 chances from Beta(7, 6).

    Returns (p_m, values, weights, draw).
    """
    rng = np.random.default_rng(seed)
    p = np.random.default_rng(0).beta(7, 6, M)
    draw = np.repeat(np.arange(M), per_draw)
    return p, (rng.uniform(size=len(draw)) < p[draw]).astype(float), np.full(len(draw), 1 / len(draw)), draw


def range80(values, share):
    return np.array(weighted_quantiles(values, share, (0.1, 0.9)))


@pytest.mark.parametrize("per_draw", [200, 20, 4])
def test_the_knowledge_range_does_not_widen_with_few_patients_per_draw(per_draw):
    found, ranges = [], []
    for seed in range(25):
        p, values, weights, draw = hierarchy(per_draw, seed)
        spread = knowledge_spread(values, weights, draw)
        assert spread.per_draw == pytest.approx(per_draw) and spread.draws == pytest.approx(M)
        assert spread.reason == ""
        found.append(spread.corrected)
        ranges.append(range80(spread.shrunk, spread.share))
    truth = np.quantile(p, (0.1, 0.9))
    assert np.mean(found) == pytest.approx(p.var(), rel={200: 0.03, 20: 0.11, 4: 0.25}[per_draw])  # 4 standard errors
    assert np.mean(ranges, axis=0) == pytest.approx(truth, abs={200: 0.02, 20: 0.03, 4: 0.06}[per_draw])


def test_a_chance_says_how_far_other_population_draws_would_move_it():
    p, values, weights, draw = hierarchy(20)
    found = chance_of(values, values**2, weights, draw, np.zeros(len(draw)), islands=8)
    assert found.draws_error == pytest.approx(p.std() / np.sqrt(M), rel=0.1) and found.draws_error > 0.005
    first = draw < 20  # the weight of 20 draws is left
    few = chance_of(values, values**2, first / first.sum(), draw, np.where(first, 0.0, -30.0), islands=8)
    assert few.draws_error == pytest.approx(p[:20].std(ddof=1) / np.sqrt(20), rel=0.35) and few.draws_error > 0.02


def test_the_naive_range_would():
    p, values, _, draw = hierarchy(4)
    naive = np.quantile(np.bincount(draw, values) / 4, (0.1, 0.9))
    assert np.ptp(naive) > np.ptp(np.quantile(p, (0.1, 0.9))) + 0.1


def test_without_differences_between_draws_nothing_is_left():
    rng = np.random.default_rng(2)
    draw = np.repeat(np.arange(M), 20)
    values = (rng.uniform(size=len(draw)) < 0.5).astype(float)
    spread = knowledge_spread(values, np.full(len(draw), 1 / len(draw)), draw)
    assert spread.corrected < 0.1 * (0.25 / 20)


def test_a_range_that_is_only_noise_is_not_available_instead_of_a_point():
    reasons = []
    for seed in range(40):
        rng, draw = np.random.default_rng(seed), np.repeat(np.arange(M), 20)
        values = (rng.uniform(size=len(draw)) < 0.5).astype(float)
        found = chance(values, values**2, draw)
        reasons.append(found.reason)
        assert found.knowledge is None or np.ptp(found.knowledge[0.8]) > 0.01
    assert sum("Monte Carlo noise" in r for r in reasons) > 25  # one SE: five in six
    sure = np.ones(len(draw))
    sure[:2] = 0.0  # two futures in 8,000
    found = chance(sure, sure**2, draw)
    assert found.knowledge[0.8] == pytest.approx((1.0, 1.0), abs=0.005)


def chance(survival, squared, draw, islands=4):
    weights = np.full(len(draw), 1 / len(draw))
    return chance_of(survival, squared, weights, draw, np.full(len(draw), -np.log(len(draw) / islands)), islands)


def test_shares_of_doubt_sum_to_p_times_one_minus_p_and_find_their_sources():
    rng = np.random.default_rng(3)
    p_m, draw = rng.beta(7, 6, M), np.tile(np.arange(M), 20)
    survival = rng.beta(8 * p_m[draw], 8 * (1 - p_m[draw]))  # S of a patient given everything
    found = chance(survival, survival**2, draw)
    p = found.value
    assert sum(found.doubt) == pytest.approx(p * (1 - p), rel=1e-12)
    patient, knowledge, luck = found.doubt
    assert knowledge == pytest.approx(p_m.var(), rel=0.15)
    assert patient == pytest.approx((p_m * (1 - p_m)).mean() / 9, rel=0.15)
    assert luck == pytest.approx((survival * (1 - survival)).mean(), rel=1e-9)


def test_patients_who_are_sure_either_way_leave_no_doubt_to_chance():
    _, values, _, draw = hierarchy(20)
    order = np.argsort(np.tile(np.arange(20), M), kind="stable")
    found = chance(values[order], values[order] ** 2, draw[order])
    assert found.doubt[2] == pytest.approx(0.0, abs=1e-12)
    low, high = found.knowledge[0.8]
    assert high - low < 0.6  # a draw-wise interval would be 0 to 1


def test_the_range_is_refused_where_too_few_draws_stand_behind_it():
    rng = np.random.default_rng(4)
    few = chance(rng.uniform(size=100), rng.uniform(size=100) ** 2, np.repeat(np.arange(10), 10))
    assert few.knowledge is None and few.reason == "only 10 effective population draws"
    single = chance(rng.uniform(size=400), rng.uniform(size=400) ** 2, np.arange(400))
    assert single.knowledge is None and "patient draws per population draw" in single.reason
    some = chance(rng.uniform(size=2000), rng.uniform(size=2000) ** 2, np.repeat(np.arange(200), 10))
    assert some.knowledge is not None and some.approximate


def test_the_range_of_a_difference_that_is_only_noise_stays_wide():
    rng, draw = np.random.default_rng(7), np.repeat(np.arange(M), 20)
    first, second = (rng.uniform(size=(2, len(draw))) < 0.5).astype(float)
    mean, low, high, share = _difference(first, second, np.full(len(draw), 1 / len(draw)), draw)
    assert low < mean < high and high - low > 0.2  # sqrt(0.5 / 20) is the SD of that noise
    assert 0.3 < share < 0.7


def test_the_monte_carlo_error_is_the_spread_between_seeds():
    """Of islands of independent draws: the SD of many repetitions; of what is the same in every draw, nothing."""
    rng = np.random.default_rng(4)
    size, islands = 400, 8
    values = rng.exponential(1.0, (2000, size))
    weights = np.full(size, np.log(islands / size))
    squared = np.mean([island_error(one, weights, islands) ** 2 for one in values])
    assert np.sqrt(squared) == pytest.approx(values.mean(axis=1).std(), rel=0.05)
    assert island_error(np.ones(size), weights, islands) == pytest.approx(0.0, abs=1e-12)
