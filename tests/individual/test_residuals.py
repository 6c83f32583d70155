"""Each error model against scipy, censored and not, to the far tails; an SD is an SD, not a variance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayestwin.individual.residuals import (
    BETWEEN,
    LEFT,
    NONE,
    RIGHT,
    draw_observation,
    location_and_scale,
    log_between,
    log_cdf,
    log_likelihood_of,
    log_pdf,
)

SIGMA = {
    "sigma_add_additive": 0.7,
    "sigma_prop_proportional": 0.2,
    "sigma_add_combined": 0.5,
    "sigma_prop_combined": 0.1,
    "sigma_log_lognormal": 0.3,
    "sigma_add_additive_t": 0.7,
    "sigma_add_combined_t": 0.5,
    "sigma_prop_combined_t": 0.1,
    "sigma_log_lognormal_t": 0.3,
    "sigma_log_lognormal_low": 0.3,
    "sigma_low_lognormal_low": 8.0 / 3.0,
}
PREDICTION, VALUES = 4.0, np.array([0.5, 2.0, 3.9, 4.0, 4.4, 9.0])


def scipy_law(output):
    """The distribution of the observation itself as scipy writes it; SDs from the module text of observations.py."""
    f, sd = PREDICTION, np.hypot(0.5, 0.1 * PREDICTION)
    return {
        "additive": stats.norm(f, 0.7),
        "proportional": stats.norm(f, 0.2 * f),
        "combined": stats.norm(f, sd),
        "lognormal": stats.lognorm(s=0.3, scale=f),
        "lognormal_low": stats.lognorm(s=0.5, scale=f),  # sqrt(0.3^2 + (8/3 / (8/3 + 4))^2)
        "additive_t": stats.t(5, f, 0.7),
        "combined_t": stats.t(3, f, sd),
    }[output]


def ours(model, output, value, censoring, prediction=PREDICTION):
    sigma = jnp.array([SIGMA[name] for name in model.residual_parameters])
    k = model.observation_index[output]
    return log_likelihood_of(model, k, jnp.asarray(prediction), jnp.asarray(value), censoring, sigma)


OUTPUTS = ["additive", "proportional", "combined", "lognormal", "lognormal_low", "additive_t", "combined_t"]


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_measured_value_has_the_density_of_its_error_model(every_error, output):
    np.testing.assert_allclose(ours(every_error, output, VALUES, NONE), scipy_law(output).logpdf(VALUES), rtol=1e-10)


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_value_below_its_limit_has_the_probability_below_it(every_error, output):
    np.testing.assert_allclose(
        ours(every_error, output, VALUES, LEFT), scipy_law(output).logcdf(VALUES), rtol=1e-9, atol=1e-13
    )


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_value_above_its_limit_has_the_probability_above_it(every_error, output):
    np.testing.assert_allclose(
        ours(every_error, output, VALUES, RIGHT), scipy_law(output).logsf(VALUES), rtol=1e-9, atol=1e-13
    )


def test_a_log_normal_t_error_is_a_t_law_of_the_logarithm(every_error):
    law = stats.t(4, np.log(PREDICTION), 0.3)
    density = law.logpdf(np.log(VALUES)) - np.log(VALUES)
    np.testing.assert_allclose(ours(every_error, "lognormal_t", VALUES, NONE), density, rtol=1e-10)
    below = ours(every_error, "lognormal_t", VALUES, LEFT)
    np.testing.assert_allclose(below, law.logcdf(np.log(VALUES)), rtol=1e-9)


@pytest.mark.parametrize("output", [*OUTPUTS, "lognormal_t"])
def test_below_and_above_the_same_limit_are_certain_together(every_error, output):
    total = jnp.logaddexp(ours(every_error, output, VALUES, LEFT), ours(every_error, output, VALUES, RIGHT))
    np.testing.assert_allclose(total, 0.0, atol=1e-12)


@pytest.mark.parametrize("nu", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_the_student_t_log_probability_agrees_with_scipy_in_body_and_tails(nu):
    x = np.concatenate([np.linspace(-60, 60, 241), [-1e5, -1e3, -200.0, 200.0, 1e3]])
    expected = stats.t(nu).logcdf(x)
    got = np.asarray(jax.jit(lambda x: log_cdf(x, float(nu)))(x))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-13)
    np.testing.assert_allclose(log_pdf(jnp.asarray(x), float(nu)), stats.t(nu).logpdf(x), rtol=1e-10)


@pytest.mark.parametrize("nu", [None, 1.0, 4.0, 5.0, 10.0])
@pytest.mark.parametrize("x", [-1e5, -1e3, -30.0, -1.0, 0.0, 1.0])
def test_the_gradient_of_a_log_probability_is_density_over_probability(nu, x):
    slope = float(jax.grad(lambda x: log_cdf(x, nu))(x))
    law = stats.norm if nu is None else stats.t(nu)
    if nu is None and x < -100:
        expected = -x  # Mills' ratio; density and probability are both zero in 64 bits of their logarithm's difference
    else:
        expected = np.exp(law.logpdf(x) - law.logcdf(x))
    assert np.isfinite(slope) and slope > 0
    assert slope == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("output", [*OUTPUTS, "lognormal_t"])
@pytest.mark.parametrize("censoring, prediction", [(LEFT, 1e5), (RIGHT, 1e-3)])
def test_a_prediction_far_beyond_its_limit_keeps_a_gradient_towards_it(every_error, output, censoring, prediction):
    # limit 1.0, prediction 1e5 above it or three decades below a limit of 1e5
    limit = 1.0 if censoring == LEFT else 1e5

    def at(f):
        return ours(every_error, output, limit, censoring, f)

    value, slope = float(at(prediction)), float(jax.grad(at)(prediction))
    assert np.isfinite(value) and np.isfinite(slope)
    if censoring == LEFT and output in ("proportional", "combined", "combined_t"):
        assert abs(slope) >= 0  # the SD grows with the prediction: nearly flat
    else:
        assert slope < 0 if censoring == LEFT else slope > 0


def test_a_left_censored_lab_prefers_the_smaller_prediction(every_error):
    for output in (*OUTPUTS, "lognormal_t"):
        low, high = ours(every_error, output, 1.0, LEFT, 0.5), ours(every_error, output, 1.0, LEFT, 3.0)
        assert low > high
        assert ours(every_error, output, 1.0, RIGHT, 0.5) < ours(every_error, output, 1.0, RIGHT, 3.0)


@pytest.mark.parametrize("output, scale", [("additive", 0.7), ("combined", np.hypot(0.5, 0.4)), ("proportional", 0.8)])
def test_sigma_is_a_standard_deviation_and_not_a_variance(every_error, output, scale):
    sigma = jnp.array([SIGMA[name] for name in every_error.residual_parameters])
    k = every_error.observation_index[output]
    assert float(location_and_scale(every_error, k, jnp.asarray(4.0), sigma)[1]) == pytest.approx(scale, rel=1e-12)
    drawn = draw_observation(every_error, k, np.random.default_rng(1), np.full(100_000, 4.0), sigma)
    assert np.std(drawn) == pytest.approx(scale, rel=0.01)  # Monte Carlo error 0.2 %


@pytest.mark.parametrize("output", [*OUTPUTS, "lognormal_t"])
def test_drawn_observations_follow_the_likelihood_that_will_judge_them(every_error, output):
    sigma = jnp.array([SIGMA[name] for name in every_error.residual_parameters])
    k = every_error.observation_index[output]
    drawn = draw_observation(every_error, k, np.random.default_rng(2), np.full(20_000, PREDICTION), sigma)
    pit = np.exp(np.asarray(ours(every_error, output, drawn, LEFT)))
    assert stats.kstest(pit, "uniform").pvalue > 0.001


def test_a_second_component_makes_the_relative_error_grow_towards_the_limit(every_error):
    sigma = jnp.array([SIGMA[name] for name in every_error.residual_parameters])
    k = every_error.observation_index["lognormal_low"]
    high, low = (float(location_and_scale(every_error, k, jnp.asarray(f), sigma)[1]) for f in (8000.0, 8e-6))
    assert high == pytest.approx(0.3, rel=1e-5) and low == pytest.approx(np.hypot(0.3, 1.0), rel=1e-5)


def interval(model, output, low, high, prediction=PREDICTION, form="either"):
    sigma = jnp.array([SIGMA[name] for name in model.residual_parameters])
    k = model.observation_index[output]
    ends = jnp.asarray(low), jnp.asarray(high)
    code = jnp.full(jnp.shape(ends[0]), BETWEEN)
    return log_likelihood_of(model, k, jnp.asarray(prediction), ends[0], code, sigma, upper=ends[1], form=form)


LOWS, HIGHS = np.array([0.5, 3.9, 3.99, 4.0, 5.0, 8.0]), np.array([9.0, 4.1, 4.0, 4.001, 5.5, 30.0])


@pytest.mark.parametrize("form", ["either", "between"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_value_between_two_limits_has_the_probability_between_them(every_error, output, form):
    law = scipy_law(output)
    expected = np.where(LOWS < PREDICTION, law.cdf(HIGHS) - law.cdf(LOWS), law.sf(LOWS) - law.sf(HIGHS))
    np.testing.assert_allclose(np.exp(interval(every_error, output, LOWS, HIGHS, form=form)), expected, rtol=1e-9)


@pytest.mark.parametrize("output", [*OUTPUTS, "lognormal_t"])
def test_below_between_and_above_two_limits_are_certain_together(every_error, output):
    parts = [ours(every_error, output, LOWS, LEFT), ours(every_error, output, HIGHS, RIGHT)]
    total = jax.nn.logsumexp(jnp.stack([*parts, interval(every_error, output, LOWS, HIGHS)]), axis=0)
    np.testing.assert_allclose(total, 0.0, atol=1e-12)


@pytest.mark.parametrize("output", [*OUTPUTS, "lognormal_t"])
def test_a_narrow_interval_is_the_density_times_its_width(every_error, output):
    width = np.array([1e-3, 1e-6, 1e-9])
    found = interval(every_error, output, 3.0 - width / 2, 3.0 + width / 2) - np.log(width)
    assert (np.abs(found - ours(every_error, output, 3.0, NONE)) < [1e-6, 1e-9, 1e-6]).all()


@pytest.mark.parametrize("nu", [None, 1.0, 4.0, 5.0, 10.0])
def test_an_interval_far_out_keeps_value_and_gradient(nu):
    """In either tail, where both distribution functions are 0 or 1 in 64 bits; widths over seven decades."""
    law = stats.norm if nu is None else stats.t(nu)
    found = jax.jit(jax.vmap(jax.value_and_grad(lambda shift, a, b: log_between(a - shift, b - shift, nu), argnums=0)))
    at = np.array([3.0, 12.0, 40.0, 200.0, 3000.0, 1e5])
    nodes, weights = (a[:, None] for a in np.polynomial.legendre.leggauss(60))
    for width in (1e-5, 0.01, 0.3, 2.0, 100.0):
        # the integral of f(x) / f(at): far out nearly an exponential in x, of Student-t one in s = ln(x / at)
        reach = np.minimum(width, 40.0 / at) if nu is None else np.log1p(width / at)
        s = reach * (nodes + 1) / 2
        log_f = -0.5 * s * (2 * at + s) if nu is None else law.logpdf(at * np.exp(s)) - law.logpdf(at) + np.log(at) + s
        mass = (np.exp(log_f) * weights).sum(axis=0) * reach / 2
        expected = law.logpdf(at) + np.log(mass)
        high = (
            np.exp(-0.5 * width * (2 * at + width)) if nu is None else np.exp(law.logpdf(at + width) - law.logpdf(at))
        )
        slope = (1.0 - high) / mass
        for sign in (1.0, -1.0):
            a, b = (at, at + width) if sign > 0 else (-at - width, -at)
            value, gradient = (np.asarray(part) for part in found(np.zeros(len(at)), a, b))
            np.testing.assert_allclose(value, expected, rtol=1e-9, atol=3e-5)
            np.testing.assert_allclose(gradient, sign * slope, rtol=2e-3)


@pytest.mark.parametrize("output", ["combined", "lognormal_low", "additive_t", "lognormal_t"])
def test_the_gradient_of_an_interval_is_its_finite_difference_and_finite_for_any_prediction(every_error, output):
    slope = jax.jit(jax.grad(lambda f, low, high: interval(every_error, output, low, high, f)))
    for low, high in ((3.0, 5.0), (4.0, 4.01), (8.0, 30.0)):
        numeric = (
            interval(every_error, output, low, high, 4.00001) - interval(every_error, output, low, high, 3.99999)
        ) / 2e-5
        assert float(slope(4.0, low, high)) == pytest.approx(float(numeric), rel=1e-5, abs=1e-8)
    for far in (1e-9, 1e-3, 1e4, 1e9):
        assert np.isfinite(float(slope(far, 3.0, 5.0))) and np.isfinite(
            float(interval(every_error, output, 3.0, 5.0, far))
        )


def test_nobody_takes_the_logarithm_of_a_distribution_function():
    """By their names in the source: what is computed as such is log_ndtr, log_cdf, log_sigmoid, logsf."""
    import re
    from pathlib import Path

    import bayestwin

    taken = re.compile(
        r"\blog(1p|10)?\(\s*-?\s*(1(\.0)?\s*-\s*)?[\w.]*(?<!log_)(?<!log)(ndtr|cdf|gammaincc?|betainc|expit|sigmoid)\("
    )
    sources = Path(bayestwin.__file__).parent.rglob("*.py")
    found = [f"{path.name}: {m.group()}" for path in sources for m in taken.finditer(path.read_text(encoding="utf-8"))]
    assert not found
    assert (
        taken.search("jnp.log(norm.cdf(x))") and taken.search("np.log1p(-ndtr(x))") and taken.search("log(1 - cdf(x))")
    )
    assert not taken.search("log_ndtr(x)") and not taken.search("jnp.exp(norm.logcdf(x))")
