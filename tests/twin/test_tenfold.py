"""Tenfold errors: Bayes factors against the closed form, how many are noticed, how often an alarm is false."""

import numpy as np
import pytest
from scipy import stats

from bayestwin.specification import Additive, Fixed, LogNormalError, Observation
from bayestwin.twin import predict_labs, start_twin, update_twin
from bayestwin.twin.surprise import Surprise
from bayestwin.twin.tenfold import ALARM, VALUES, tenfold

TEN = np.log(10.0)
PROBABILITIES = (np.arange(VALUES) + 0.5) / VALUES


def observation(error, **more):
    return Observation("y", unit="g/L", error=error, plausible=(1e-3, 1e6), **more)


LOG = observation(LogNormalError(sd=Fixed(value=0.1)))
NATURAL = observation(Additive(sd=Fixed(value=1.0)))


def log_normal(value, mean, sd):
    """Under Normal(mean, sd) on the log scale."""
    expected = np.exp(stats.norm.ppf(PROBABILITIES, mean, sd))
    return tenfold(LOG, np.array([mean]), np.array([sd]), np.ones(1), value, expected)


@pytest.mark.parametrize("value", [3.0, 20.0, 33.0, 210.0])
def test_the_factors_are_ratios_of_the_predictive_density(value):
    found, density = log_normal(value, np.log(20.0), 0.3), stats.lognorm(0.3, scale=20.0)
    assert found.high == pytest.approx(density.logpdf(value / 10) - TEN - density.logpdf(value))
    assert found.low == pytest.approx(density.logpdf(value * 10) + TEN - density.logpdf(value))


def test_a_mixture_is_the_sum_of_its_members_by_weight():
    location, scale, weight = np.array([0.0, 2.0, 3.0]), np.array([0.5, 0.2, 1.0]), np.array([2.0, 1.0, 1.0])
    found = tenfold(LOG, location, scale, weight, 9.0, np.full(VALUES, 9.0))
    p = lambda y: (weight / 4.0 * stats.lognorm.pdf(y, scale, scale=np.exp(location))).sum()  # noqa: E731
    assert found.high == pytest.approx(np.log(p(0.9) / 10 / p(9.0)))
    assert found.low == pytest.approx(np.log(p(90.0) * 10 / p(9.0)))


def test_on_the_natural_scale_the_factors_carry_the_change_of_unit():
    found = tenfold(NATURAL, np.array([20.0]), np.array([2.0]), np.ones(1), 18.0, np.full(VALUES, 20.0))
    density = stats.norm(20.0, 2.0)
    assert found.high == pytest.approx(density.logpdf(1.8) - TEN - density.logpdf(18.0))
    assert found.low == pytest.approx(density.logpdf(180.0) + TEN - density.logpdf(18.0))


@pytest.mark.parametrize("sd", [0.1, 0.3, 0.45])
def test_tenfold_errors_are_noticed_and_false_alarms_are_rare_up_to_a_log_sd_of_045(sd):
    right = 20.0 * np.exp(sd * stats.norm.ppf((np.arange(500) + 0.5) / 500))  # evenly through the distribution

    def alarmed(values, way):
        return np.mean([getattr(log_normal(v, np.log(20.0), sd), way) > ALARM for v in values])

    assert alarmed(right, "high") + alarmed(right, "low") < 0.01
    assert alarmed(10 * right, "high") > 0.95 and alarmed(right / 10, "low") > 0.95


@pytest.mark.parametrize("sd", [0.3, 0.6, 1.0, 1.5])
def test_the_power_is_that_of_the_closed_form(sd):
    """An alarm comes where the report lies more than ALARM sd^2 / ln 10 + ln 10 / 2 from the median, in logs."""
    bound = ALARM * sd**2 / TEN + TEN / 2
    assert log_normal(20.0, np.log(20.0), sd).power == pytest.approx(stats.norm.cdf((TEN - bound) / sd), abs=0.04)


def test_a_patient_of_two_kinds_is_not_alarmed_when_the_other_kind_comes_true():
    """Half the mass at 20, half at 2: a report of 2 is no tenth of 20."""
    location, scale = np.log(np.array([20.0, 2.0])), np.array([0.2, 0.2])
    expected = np.exp(np.concatenate([np.full(VALUES // 2, location[0]), np.full(VALUES // 2, location[1])]))
    found = tenfold(LOG, location, scale, np.ones(2), 2.0, expected)
    assert found.low < 1.0 and found.power < 0.6
    alone = tenfold(LOG, location[:1], scale[:1], np.ones(1), 2.0, np.full(VALUES, 20.0))
    assert alone.low > ALARM and alone.power == 1.0


def test_the_alarm_says_which_way_and_stays_away_from_limits():
    def lab(high, low):
        return Surprise("a", "y", 0.0, 0.0, 1.0, "none", "ln", {}, 0.0, 1.0, 0.0, 0.0, 0.5, high, low, 1.0)

    assert lab(ALARM + 0.1, -9.0).alarm == "ten times too high"
    assert lab(-9.0, ALARM + 0.1).alarm == "ten times too low"
    assert lab(ALARM - 0.1, -9.0).alarm == "" and lab(None, None).alarm == ""


def test_a_twin_says_it_and_learns_the_lab_all_the_same(level_population, level_record, sizes):
    before = start_twin(level_population, level_record([20.0, 21.0, 19.0]), random_seed=1, **sizes)
    wrong = level_record([20.0, 21.0, 19.0, 205.0])
    after, info = update_twin(before, wrong, random_seed=1, population=level_population)
    (lab,) = info.surprise
    assert lab.alarm == "ten times too high" and lab.tenfold_low < 0 and lab.tenfold_power > 0.95
    assert [row.value for row in after.record.labs][-1] == 205.0
    (fine,) = predict_labs(before, level_record([20.0, 21.0, 19.0, 20.5]), random_seed=1)
    assert fine.alarm == "" and fine.tenfold_high < 0


def test_whatever_the_forecast_an_alarm_is_false_for_at_most_one_lab_in_a_hundred_each_way():
    """Markov's inequality, on a forecast of the worst kind: a narrow peak and a wide base around a tenth of it."""
    assert np.exp(ALARM) == pytest.approx(100.0)
    location, scale, weight = np.array([0.0, -TEN]), np.array([0.02, 0.02]), np.array([0.985, 0.015])
    expected = np.exp(np.where(np.arange(VALUES) < VALUES // 2, 0.0, -TEN))
    right = np.exp(np.concatenate([location[0] + 0.02 * normal_scores(985), location[1] + 0.02 * normal_scores(15)]))
    alarms = [tenfold(LOG, location, scale, weight, y, expected).low > ALARM for y in right]
    assert np.mean(alarms) <= 0.01


def normal_scores(n):
    """Normal quantiles evenly through the distribution."""
    return stats.norm.ppf((np.arange(n) + 0.5) / n)
