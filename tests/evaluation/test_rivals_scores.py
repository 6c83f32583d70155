"""Scores of a location-scale forecast against numerical integration, samples and published formulas."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import integrate, stats

sys.path.insert(0, str(Path(__file__).parent))

from rival_models import marker_model

from bayestwin.evaluation.rivals import Forecast, crps, score_lab
from bayestwin.individual.residuals import log_likelihood_of
from bayestwin.records import Lab
from bayestwin.twin.surprise import beyond_limits, sample_crps

SHAPES = (None, 1.0, 2.0, 3.0, 5.0, 10.0)
LIMITS = (-4.0, -0.3, 0.0, 1.7, 6.0)


def shape_of(nu):
    return stats.norm if nu is None else stats.t(nu)


def lab(value, censoring="none", limit=None):
    return Lab("a", "psa", 1.0, value, 1.0, censoring=censoring, limit=limit)


def scored(forecast, value, censoring="none", *, seed=1):
    observation = marker_model().observations[0]
    return score_lab(observation, lab(value, censoring), forecast, np.random.default_rng(seed))


@pytest.mark.parametrize("nu", SHAPES)
def test_the_crps_is_the_integral_of_the_squared_distance_between_distribution_functions(nu):
    cdf = shape_of(nu).cdf
    for z in LIMITS:
        below = integrate.quad(lambda x: cdf(x) ** 2, -np.inf, z, epsabs=1e-11)[0]
        above = integrate.quad(lambda x: cdf(-x) ** 2, z, np.inf, epsabs=1e-11)[0]  # 1 - F(x) = F(-x)
        assert crps(3.0, 2.0, nu, 3.0 + 2.0 * z) == pytest.approx(2.0 * (below + above), abs=1e-7)
        assert crps(3.0, 2.0, nu, 3.0 + 2.0 * z, "left") == pytest.approx(2.0 * above, abs=1e-7)
        assert crps(3.0, 2.0, nu, 3.0 + 2.0 * z, "right") == pytest.approx(2.0 * below, abs=1e-7)


def test_the_normal_crps_is_the_published_formula():
    for z in LIMITS:
        published = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
        assert crps(1.0, 0.5, None, 1.0 + 0.5 * z) == pytest.approx(0.5 * published, abs=1e-14)


@pytest.mark.parametrize("nu", (None, 3.0, 5.0))
def test_the_crps_of_a_censored_lab_is_that_of_the_sample_clipped_at_the_limit(nu):
    sample = shape_of(nu).ppf((np.arange(400_000) + 0.5) / 400_000)
    weights = np.ones(len(sample))
    for z in LIMITS:
        assert crps(0.0, 1.0, nu, z, "left") == pytest.approx(sample_crps(np.maximum(sample, z), weights, z), abs=2e-4)
        assert crps(0.0, 1.0, nu, z, "right") == pytest.approx(sample_crps(np.minimum(sample, z), weights, z), abs=2e-4)
        assert crps(0.0, 1.0, nu, z) == pytest.approx(sample_crps(sample, weights, z), abs=2e-4)
        seen = sample_crps(beyond_limits(sample, (z, z + 0.8), "interval"), weights, z)
        assert crps(0.0, 1.0, nu, z, "interval", z + 0.8) == pytest.approx(seen, abs=2e-4)


@pytest.mark.parametrize("nu", (None, 3.0))
def test_a_lab_between_two_limits_has_the_probability_between_them_and_a_crps_of_what_lies_beyond(nu):
    forecast, law = Forecast(np.log(2.0), 0.4, nu), shape_of(nu)
    found = score_lab(marker_model().observations[0], lab(1.5, "interval", 3.5), forecast, np.random.default_rng(1))
    low, high = ((np.log(end) - np.log(2.0)) / 0.4 for end in (1.5, 3.5))
    assert found.log_score == pytest.approx(np.log(law.cdf(high) - law.cdf(low)), abs=1e-9)
    assert law.cdf(low) < found.pit < law.cdf(high) and found.upper == 3.5
    below = integrate.quad(lambda x: law.cdf(x) ** 2, -np.inf, low)[0]
    above = integrate.quad(lambda x: law.sf(x) ** 2, high, np.inf)[0]
    assert found.crps == pytest.approx(0.4 * (below + above), abs=1e-7)


def test_the_density_of_values_and_the_probability_below_the_limit_make_one():
    forecast = Forecast(np.log(0.3), 1.2, 5.0)
    above = integrate.quad(lambda y: np.exp(scored(forecast, y).log_score), 0.1, 10.0, limit=200)[0]
    above += np.exp(scored(forecast, 10.0, "right").log_score)
    assert above + np.exp(scored(forecast, 0.1, "left").log_score) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(("log_scale", "nu"), ((True, None), (True, 4.0), (False, None), (False, 4.0)))
def test_the_log_score_is_the_likelihood_of_the_model(log_scale, nu):
    model = marker_model(log_scale=log_scale, nu=nu)
    location = np.log(2.0) if log_scale else 2.0
    with jax.enable_x64(True):
        for code, censoring in enumerate(("none", "left", "right")):
            said = float(log_likelihood_of(model, 0, 2.0, 2.3, code, np.array([0.2])))
            mine = score_lab(
                model.observations[0], lab(2.3, censoring), Forecast(location, 0.2, nu), np.random.default_rng(0)
            )
            assert mine.log_score == pytest.approx(said, abs=1e-12)


def test_the_pit_of_each_quantile_is_its_probability():
    for forecast in (Forecast(0.3, 0.7), Forecast(0.3, 0.7, 3.0)):
        for p, value in scored(forecast, 1.0).quantiles.items():
            assert scored(forecast, value).pit == pytest.approx(p, abs=1e-9)


def test_the_pit_of_censored_labs_is_uniform_below_or_above_the_limit_and_repeats_with_the_seed():
    forecast, cdf, rng = Forecast(0.0, 1.0), stats.norm.cdf(np.log(0.5)), np.random.default_rng(1)
    observation = marker_model().observations[0]
    below = [score_lab(observation, lab(0.5, "left"), forecast, rng).pit / cdf for _ in range(500)]
    above = [(score_lab(observation, lab(0.5, "right"), forecast, rng).pit - cdf) / (1 - cdf) for _ in range(500)]
    assert stats.kstest(below, "uniform").pvalue > 0.01 and stats.kstest(above, "uniform").pvalue > 0.01
    assert scored(forecast, 0.5, "left", seed=3) == scored(forecast, 0.5, "left", seed=3)


def test_a_lab_impossibly_far_out_still_has_a_log_score():
    far = np.log(1e-9) / 0.01
    assert scored(Forecast(0.0, 0.01), 1e-9, "left").log_score == pytest.approx(stats.norm.logcdf(far), rel=1e-12)
    said = scored(Forecast(0.0, 1e-4, 3.0), 1e9, "right").log_score
    assert said == pytest.approx(np.log(stats.t(3).sf(np.log(1e9) / 1e-4)), rel=1e-6)


def test_the_standard_deviation_of_student_s_t_is_its_own():
    assert scored(Forecast(0.0, 2.0, 5.0), 1.0).sd == pytest.approx(2.0 * stats.t(5).std())
    assert scored(Forecast(0.0, 2.0, 2.0), 1.0).sd == np.inf
