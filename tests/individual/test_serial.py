"""The filter of serially correlated departures against the multivariate normal it stands for."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import ModelError
from bayestwin.individual import Hyper, class_likelihood, compile_record
from bayestwin.individual.residuals import BETWEEN
from bayestwin.individual.serial import Rows, after_last, filtered, smoothed
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import Additive, Fixed, LogNormalError, Observation, SerialCorrelation, load_model

SD, TIME, N = 0.7, 12.0, 9
RNG = np.random.default_rng(3)
TIMES = np.sort(np.append(RNG.uniform(0.0, 40.0, N - 1), 17.0))
TIMES[4] = TIMES[3]  # two labs at one time
SCALE = RNG.uniform(0.2, 0.6, N)
GAP = RNG.normal(0.0, 1.0, N)
LOADING = RNG.uniform(1.0, 3.0, N)
CORRELATION = np.exp(-np.abs(TIMES[:, None] - TIMES) / TIME)
COVARIANCE = SD**2 * CORRELATION
SEEN = LOADING[:, None] * COVARIANCE * LOADING  # of what is added to the labs


def run(gap=GAP, censoring=None, learn=None, count=N, pad=4, above=None):
    """Filter with padded rows; (Filtered, Rows) in float64."""
    with jax.enable_x64(True):
        censoring = np.zeros(N, dtype=int) if censoring is None else np.asarray(censoring)
        learn = np.ones(N) if learn is None else np.asarray(learn, dtype=float)

        def padded(a, fill=0):
            return jnp.asarray(np.concatenate([a, np.full(pad, fill)]).astype(np.asarray(a).dtype))

        rows = Rows(
            padded(TIMES, TIMES[-1]),
            padded(gap),
            padded(SCALE, 1.0),
            padded(LOADING, 1.0),
            padded(censoring),
            padded(learn),
            None if above is None else padded(above, 1.0),
        )
        begin = jnp.zeros(()), jnp.asarray(SD**2), jnp.asarray(SD), jnp.asarray(TIME)
        return jax.tree.map(np.asarray, (filtered(rows, 0.0, *begin, count), rows))


def conditional(known, asked):
    """Mean and covariance of x at rows `asked` given the data of rows `known`."""
    k, cross = (
        SEEN[np.ix_(known, known)] + np.diag(SCALE[known] ** 2),
        COVARIANCE[np.ix_(asked, known)] * LOADING[known],
    )
    gain = np.linalg.solve(k, cross.T).T
    return gain @ GAP[known], COVARIANCE[np.ix_(asked, asked)] - gain @ cross.T


@pytest.mark.parametrize("count", [N, None], ids=["for particles", "for gradients"])
def test_measured_labs_have_the_density_of_the_multivariate_normal(count):
    found, _ = run(count=count)
    exact = stats.multivariate_normal(np.zeros(N), SEEN + np.diag(SCALE**2)).logpdf(GAP)
    assert found.log_p.sum() == pytest.approx(exact, abs=1e-10)
    wrong = stats.multivariate_normal(np.zeros(N), SEEN / SD + np.diag(SCALE)).logpdf(GAP)
    assert abs(wrong - exact) > 1.0  # an SD taken for a variance would be seen


def test_every_row_is_expected_as_all_learnt_rows_say_before_and_after_it():
    learn = np.ones(N)
    learn[[2, 5, 6]] = 0.0
    found, rows = run(learn=learn)
    with jax.enable_x64(True):
        of = np.asarray(smoothed(*jax.tree.map(jnp.asarray, (found, rows)), SD, TIME, N))[:N]
    mean, covariance = conditional(np.flatnonzero(learn), np.arange(N))
    np.testing.assert_allclose(of[:, 0], mean, atol=1e-10)
    np.testing.assert_allclose(of[:, 1], np.diag(covariance), atol=1e-10)
    assert (found.log_p[:N][learn == 0] == 0.0).all()


def test_going_on_from_the_end_of_the_first_rows_equals_the_whole():
    whole, rows = run()
    first = Rows(*(jnp.asarray(np.concatenate([a[:5], a[-4:]])) for a in rows[:6]))
    with jax.enable_x64(True):
        begin = jnp.zeros(()), jnp.asarray(SD**2), jnp.asarray(SD), jnp.asarray(TIME)
        found = filtered(first, 0.0, *begin, 5)
        mean, variance = after_last(found, first, 0.0, 0.0, SD**2, 5, 17.2, SD, TIME)
        rest = Rows(*(jnp.asarray(a[5:]) for a in rows[:6]))
        resumed = filtered(rest, 17.2, mean, variance, SD, TIME, N - 5)
    assert TIMES[4] < 17.2 < TIMES[5]
    np.testing.assert_allclose(np.asarray(resumed.log_p)[: N - 5], whole.log_p[5:N], atol=1e-12)


@pytest.mark.parametrize(("censoring", "sign"), [(1, 1.0), (2, -1.0)], ids=["below", "above"])
def test_a_last_lab_beyond_its_limit_has_the_exact_probability(censoring, sign):
    found, _ = run(censoring=[*[0] * (N - 1), censoring])
    mean, covariance = conditional(np.arange(N - 1), [N - 1])
    sd = np.sqrt(LOADING[-1] ** 2 * covariance[0, 0] + SCALE[-1] ** 2)
    expected = stats.norm.logcdf(sign * (GAP[-1] - LOADING[-1] * mean[0]) / sd)
    assert found.log_p[N - 1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("count", [N, None], ids=["for particles", "for gradients"])
@pytest.mark.parametrize("width", [0.05, 1.0, 30.0])
def test_a_last_lab_between_two_limits_has_the_exact_probability_and_moments(width, count):
    above = np.append(np.zeros(N - 1), GAP[-1] + width)
    found, _ = run(censoring=[*[0] * (N - 1), BETWEEN], above=above, count=count)
    mean, covariance = conditional(np.arange(N - 1), [N - 1])
    x = mean[0] + np.sqrt(covariance[0, 0]) * np.linspace(-9, 9, 20_001)
    ends = ((end - LOADING[-1] * x) / SCALE[-1] for end in (above[-1], GAP[-1]))
    weight = stats.norm.pdf(x, mean[0], np.sqrt(covariance[0, 0])) * np.subtract(*(stats.norm.cdf(end) for end in ends))
    total = weight.sum() * (x[1] - x[0])
    weight /= weight.sum()
    assert found.log_p[N - 1] == pytest.approx(np.log(total), abs=1e-8)
    assert found.mean[N - 1] == pytest.approx((weight * x).sum(), abs=1e-8)
    assert found.variance[N - 1] == pytest.approx((weight * x**2).sum() - (weight * x).sum() ** 2, abs=1e-8)


def test_a_lab_in_a_narrow_interval_teaches_as_a_measured_one():
    censoring, above = np.zeros(N, dtype=int), GAP + 2e-4
    censoring[[1, 4, 7]] = BETWEEN
    whole, _ = run()
    found, _ = run(gap=np.where(censoring > 0, GAP - 2e-4, GAP), censoring=censoring, above=above)
    np.testing.assert_allclose(found.mean[:N], whole.mean[:N], atol=1e-6)
    np.testing.assert_allclose(found.log_p[:N] - np.where(censoring > 0, np.log(4e-4), 0.0), whole.log_p[:N], atol=1e-6)


def test_labs_beyond_their_limit_amid_others_are_right_to_a_few_hundredths():
    """Against the multivariate normal integral, for series that the model itself would give: the filter keeps two
    moments of a truncated normal."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(40):
        n, tau, sd = 10, np.exp(rng.normal(1.0, 1.0)), np.exp(rng.normal(-0.7, 0.5))
        times, scale = np.sort(rng.uniform(0.0, 12.0, n)), np.full(n, np.exp(rng.normal(-1.2, 0.5)))
        joint = sd**2 * np.exp(-np.abs(times[:, None] - times) / tau) + np.diag(scale**2)
        y, limit = np.linalg.cholesky(joint) @ rng.standard_normal(n), sd * rng.normal(-0.3, 0.5)
        low, rest = np.flatnonzero(y < limit), np.flatnonzero(y >= limit)
        if not 1 <= len(low) < n:
            continue
        y[low] = limit
        with jax.enable_x64(True):
            rows = Rows(*(jnp.asarray(a) for a in (times, y, scale, np.ones(n), (y <= limit).astype(int), np.ones(n))))
            found = float(filter_sum(rows, sd, tau))
        gain = np.linalg.solve(joint[np.ix_(rest, rest)], joint[np.ix_(rest, low)]).T
        inner = gain @ y[rest], joint[np.ix_(low, low)] - gain @ joint[np.ix_(rest, low)]
        outer = stats.multivariate_normal(np.zeros(len(rest)), joint[np.ix_(rest, rest)]).logpdf(y[rest])
        exact = np.log(stats.multivariate_normal.cdf(y[low], *inner, maxpts=100_000, abseps=1e-6))
        errors.append(found - outer - exact)
    assert len(errors) > 25
    assert np.sqrt(np.mean(np.square(errors))) < 0.06 and np.median(np.abs(errors)) < 0.02
    assert abs(np.mean(errors)) < 0.03


@jax.jit
def filter_sum(rows, sd, tau):
    return filtered(rows, 0.0, jnp.zeros(()), sd**2, sd, tau).log_p.sum()


def test_gradients_equal_finite_differences_with_and_without_limits():
    censoring = np.zeros(N + 2, dtype=int)
    censoring[[1, 4, 7, 8]] = [1, 2, 1, BETWEEN]
    with jax.enable_x64(True):

        @jax.jit
        def total(x):
            gap = jnp.asarray(np.append(GAP, [0.0, 0.0])) - x[0]
            times = jnp.asarray(np.append(TIMES, [TIMES[-1]] * 2))
            learn = jnp.asarray(np.append(np.ones(N), [0.0, 0.0]))
            rows = Rows(
                times,
                gap,
                jnp.asarray(np.append(SCALE, [1.0, 1.0])) * jnp.exp(x[1]),
                1.0 + 0.1 * x[0] * jnp.ones(N + 2),
                censoring,
                learn,
                gap + 0.8,
            )
            sd, time = jnp.exp(x[2]), jnp.exp(x[3])
            return filtered(rows, 0.0, jnp.zeros(()), sd**2, sd, time).log_p.sum()

        x = jnp.asarray([0.3, 0.1, np.log(SD), np.log(TIME)])
        gradient = jax.jit(jax.grad(total))
        slope = np.asarray(gradient(x))
        for k in range(4):
            step = np.zeros(4)
            step[k] = 1e-5
            numeric = (total(x + step) - total(x - step)) / 2e-5
            assert slope[k] == pytest.approx(float(numeric), rel=1e-6)
        far = np.asarray(gradient(jnp.asarray([80.0, -3.0, -4.0, -3.0])))
    assert np.isfinite(far).all()


def test_heavy_tails_beside_a_departure_are_refused_by_name():
    with pytest.raises(ModelError) as refused:
        Observation(
            "psa",
            unit="ng/mL",
            error=LogNormalError(
                sd=Fixed(value=0.1), nu=4.0, serial=SerialCorrelation(sd=Fixed(value=1.0), time=Fixed(value=9.0))
            ),
            plausible=(0.01, 100.0),
        )
    assert "observation psa" in str(refused.value) and "nu=4 with serial" in str(refused.value)
    named = Observation(
        "x",
        unit="",
        error=Additive(sd=Fixed(value=1.0), serial=SerialCorrelation(sd=Fixed(value=2.0), time=Fixed(value=3.0))),
        plausible=(0, 1),
    )
    assert list(named.residual_parameters) == ["sigma_add_x", "serial_sd_x", "serial_time_x"]


WANDER = """
from bayestwin.specification import *
model = Model(
    name="wander", time_unit="day", states=("a",), initial_state=lambda p: {{"a": p.level}},
    vector_field=lambda t, y, p, u: {{"a": 0.0 * y.a}}, steps=Steps(first=50.0, growth=1.0, largest=50.0),
    parameters=(
        Parameter("level", unit="mm", scale="log", typical=LogNormal(median=20, sd_log=1), between=HalfNormal(sd=0.5)),
        Parameter("activity", unit="", scale="log", typical=Fixed(value=1.0), between=HalfNormal(sd=1.0)),
    ),
    outputs={{"size": lambda t, y, p, u: y.a}},
    observations=(Observation("size", unit="mm", plausible=(0.1, 500.0), error=LogNormalError(sd=Fixed(value=0.1),
        serial=SerialCorrelation(sd=Fixed(value={sd}), time=Fixed(value=30.0), {more}))),),
)
"""


def wander(folder, sd, more):
    folder.mkdir()
    (folder / "model.py").write_text(WANDER.format(sd=sd, more=more), encoding="utf-8")
    return load_model(folder)


@partial(jax.jit, static_argnums=(1, 4))
def rows_of(psi, model, hyper, data, accuracy):
    return class_likelihood(model, psi, hyper, data, accuracy=accuracy).rows


def test_a_patient_s_own_scale_multiplies_the_departure(tmp_path):
    times, values = (0.0, 10.0, 25.0, 60.0), (20.0, 26.0, 23.0, 15.0)
    labs = tuple(Lab(f"s{t}", "size", t, v, t) for t, v in zip(times, values))
    found = []
    for name, sd, more in (("scaled", 0.2, 'scaled_by="activity"'), ("plain", 0.2 * 1.7, "")):
        model = wander(tmp_path / name, sd, more)
        with jax.enable_x64(True):
            sigma = jnp.asarray([0.1, sd, 30.0])
            hyper = Hyper(jnp.asarray([np.log(20.0), 0.0]), jnp.zeros(0), jnp.ones(2), jnp.eye(2), sigma)
            psi = jnp.asarray([np.log(20.0), np.log(1.7)])
            data = compile_record(model, PatientRecord("P-1", labs=labs), sizes=(4, 8))
            found.append(float(rows_of(psi, model, hyper, data, Accuracy()).sum()))
    narrow = [replace(lab, value=v * 0.9999, censoring="interval", limit=v * 1.0001) for lab, v in zip(labs, values)]
    with jax.enable_x64(True):
        data = compile_record(model, PatientRecord("P-1", labs=tuple(narrow)), sizes=(4, 8))
        for a in (Accuracy(), NO_GRADIENT):
            rows = float(rows_of(psi, model, hyper, data, a).sum())
            assert rows - np.log(2e-4 * np.array(values)).sum() == pytest.approx(found[1], abs=1e-6)
    assert found[0] == pytest.approx(found[1], abs=1e-10)
    log_y, t = np.log(np.array(values)), np.array(times)
    v = (0.2 * 1.7) ** 2 * np.exp(-np.abs(t[:, None] - t) / 30.0) + 0.1**2 * np.eye(4)
    exact = stats.multivariate_normal(np.full(4, np.log(20.0)), v).logpdf(log_y) - log_y.sum()
    assert found[0] == pytest.approx(exact, abs=1e-9)


def test_a_scale_that_is_no_log_scaled_parameter_is_refused_by_name(tmp_path):
    with pytest.raises(ModelError) as refused:
        wander(tmp_path / "wrong", 0.2, 'scaled_by="acitvity"')
    assert "serial scaled_by" in str(refused.value) and "activity, level" in str(refused.value)


@pytest.mark.parametrize("wrong", [{"sd": Fixed(value=-1.0)}, {"time": Fixed(value=0.0)}, {"sd": 0.3}], ids=str)
def test_a_departure_without_positive_priors_is_refused_when_the_model_is_made(wrong):
    parts = {"sd": Fixed(value=1.0), "time": Fixed(value=9.0)} | wrong
    with pytest.raises(ModelError) as refused:
        Observation(
            "x", unit="", error=Additive(sd=Fixed(value=1.0), serial=SerialCorrelation(**parts)), plausible=(0, 1)
        )
    assert "observation x" in str(refused.value) and "all above 0" in str(refused.value)
