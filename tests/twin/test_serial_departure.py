"""A level seen with a serially correlated departure: every posterior, predictive and evidence is a multivariate normal,
mixed over the population draws."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from level_model import LEVEL, level_draws
from scipy import stats

from bayestwin.prognosis.departures import future_departures, past_departures
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.specification import load_model
from bayestwin.twin import load_twin, predict_labs, rebuild_twin, start_twin, update_twin

NOISE, SD, TIME = 0.8, 2.0, 10.0
TIMES = np.array([1.0, 4.0, 6.0, 13.0, 20.0])
VALUES = np.array([23.0, 24.5, 24.0, 18.0, 21.0])


@pytest.fixture(scope="module")
def population(tmp_path_factory, make_population):
    folder = tmp_path_factory.mktemp("models") / "wander"
    folder.mkdir()
    error = (
        f"Additive(sd=Fixed(value={NOISE}), serial=SerialCorrelation(sd=Fixed(value={SD}), time=Fixed(value={TIME})))"
    )
    source = LEVEL.replace("Additive(sd=Fixed(value=1.5))", f"{error}, assay_scale={{'far': Fixed(value=50.0)}}")
    (folder / "model.py").write_text(source, encoding="utf-8")
    assert error in source
    return make_population(load_model(folder), level_draws())


@pytest.fixture(scope="module")
def exact(population, sizes):
    """exact(known, asked) -> mean and SD of the level, mean and SD of the labs at `asked`, ln evidence of `known`."""
    hyper, _ = population.hyper_draws(sizes["population_draws"])
    theta, omega = np.asarray(hyper.typical[:, 0]), np.asarray(hyper.omega[:, 0])

    def wander(a, b):
        return SD**2 * np.exp(-np.abs(np.subtract.outer(a, b)) / TIME)

    def of(known, asked=(), values=VALUES):
        known = np.asarray(known, dtype=int)
        t, y = TIMES[known], values[known]
        found, log_w = [], []
        for mu, sd in zip(theta, omega):
            v = wander(t, t) + NOISE**2 * np.eye(len(t)) + sd**2
            log_w.append(stats.multivariate_normal(np.full(len(t), mu), v).logpdf(y) if len(t) else 0.0)
            gain = np.linalg.solve(v, np.ones(len(t)) * sd**2) if len(t) else np.zeros(0)
            row = [mu + gain @ (y - mu), sd**2 * (1.0 - gain.sum())]
            for a in asked:
                cross = wander(np.array([a]), t)[0] + sd**2
                g = np.linalg.solve(v, cross) if len(t) else np.zeros(0)
                row += [mu + g @ (y - mu), SD**2 + sd**2 + NOISE**2 - g @ cross]
            found.append(row)
        w = np.exp(np.array(log_w) - max(log_w))
        found, mixed = np.array(found), []
        for k in range(0, found.shape[1], 2):
            mean = (w * found[:, k]).sum() / w.sum()
            mixed += [mean, np.sqrt((w * (found[:, k + 1] + (found[:, k] - mean) ** 2)).sum() / w.sum())]
        return *mixed, max(log_w) + np.log(w.mean())

    return of


def record_of(level_record, which, values=VALUES):
    return level_record([values[k] for k in which], times=[TIMES[k] for k in which])


def moments(twin):
    x, w = np.asarray(twin.particles.psi[:, 0]), twin.weights
    return float((w * x).sum()), float(np.sqrt((w * (x - (w * x).sum()) ** 2).sum()))


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 1, 3, 0, 2)], ids=["in order of time", "late labs"])
def test_any_order_of_arrival_gives_the_closed_form_and_expects_each_lab_as_it_says(
    population, exact, level_record, sizes, order
):
    twin = start_twin(population, level_record(()), random_seed=1, **sizes)
    evidence = error = 0.0
    for n in range(len(order)):
        record = record_of(level_record, sorted(order[: n + 1]))
        twin, info = update_twin(twin, record, random_seed=2, population=population)
        evidence, error = evidence + info.log_evidence, error + info.log_evidence_error**2
        _, _, mean, sd, _ = exact(sorted(order[:n]), [TIMES[order[n]]])
        (surprise,) = info.surprise
        assert surprise.mean == pytest.approx(mean, abs=0.25 * sd), n
        assert surprise.sd == pytest.approx(sd, rel=0.15), n
        assert surprise.log_score == pytest.approx(stats.norm.logpdf(VALUES[order[n]], mean, sd), abs=0.2), n
        assert surprise.pit == pytest.approx(stats.norm.cdf(VALUES[order[n]], mean, sd), abs=0.06), n
    mean, sd, whole = exact(range(5))
    assert abs(moments(twin)[0] - mean) < 4 * max(twin.info.monte_carlo_error["level"], 0.03 * sd)
    assert moments(twin)[1] == pytest.approx(sd, rel=0.15)
    assert abs(evidence - whole) < 4 * max(np.sqrt(error), 0.03)


def test_the_oracle_and_a_corrected_lab_give_the_closed_form(population, exact, level_record, sizes):
    oracle, _ = rebuild_twin(population, record_of(level_record, range(5)), random_seed=3, **sizes)
    mean, sd, whole = exact(range(5))
    assert abs(moments(oracle)[0] - mean) < 4 * max(oracle.info.monte_carlo_error["level"], 0.03 * sd)
    assert abs(oracle.info.log_evidence - whole) < 4 * max(oracle.info.log_evidence_error, 0.03)
    wrong = VALUES * np.array([1, 1, 1, 1.5, 1])
    twin = start_twin(population, record_of(level_record, range(5), wrong), random_seed=4, **sizes)
    assert abs(moments(twin)[0] - mean) > 0.5 * sd
    twin, _ = update_twin(twin, record_of(level_record, range(5)), random_seed=5, population=population)
    assert abs(moments(twin)[0] - mean) < 4 * max(twin.info.monte_carlo_error["level"], 0.03 * sd)


def test_a_lab_soon_after_the_last_is_expected_near_it_and_a_late_one_near_the_level(
    population, exact, level_record, sizes, tmp_path
):
    twin = start_twin(population, record_of(level_record, range(4)), random_seed=6, **sizes)
    twin = load_twin(twin.save(tmp_path / "twin.nc"), twin.model)  # the stored state holds the departure
    asked = [14.0, 80.0]
    record = level_record([*VALUES[:4], 20.0, 20.0], times=[*TIMES[:4], *asked])
    _, _, *expected, _ = exact(range(4), asked)
    for surprise, mean, sd in zip(predict_labs(twin, record, random_seed=7), expected[::2], expected[1::2]):
        assert surprise.mean == pytest.approx(mean, abs=0.2 * sd) and surprise.sd == pytest.approx(sd, rel=0.12)
    assert expected[0] < 19.5 and expected[2] > 20.5  # else the two would not be told apart


@jax.enable_x64(True)
def test_paths_of_a_forecast_have_the_moments_of_the_closed_form(population, exact, level_record, sizes):
    twin = start_twin(population, record_of(level_record, range(4)), random_seed=8, **sizes)
    rng = np.random.default_rng(9)
    draws = forecast_draws(twin, 0.0, rng)
    level, w = np.asarray(draws.psi[:, 0]), twin.weights
    paths = future_departures(twin, draws, [14.0, 16.0, 80.0], rng)[:, :, 0] + level[:, None]
    _, _, *expected, _ = exact(range(4), [14.0, 16.0, 80.0])
    for k, (mean, sd) in enumerate(zip(expected[::2], expected[1::2])):
        spread = np.sqrt(sd**2 - NOISE**2)
        assert (w * paths[:, k]).sum() == pytest.approx(mean, abs=0.25 * sd)
        assert np.sqrt((w * (paths[:, k] - (w * paths[:, k]).sum()) ** 2).sum()) == pytest.approx(spread, rel=0.15)
    steps = np.diff(paths[:, :2], axis=1)[:, 0]
    assert np.std(steps) < 0.9 * np.std(paths[:, 1])  # independent noise would give 1.4 times that
    times = np.unique([*TIMES[:4], 2.0, 10.0])
    outputs = np.repeat(level[:, None, None], len(times), axis=1)
    past = past_departures(twin, draws, times, outputs, rng)[:, :, 0] + level[:, None]
    _, _, *expected, _ = exact(range(4), times)
    for k, (mean, sd) in enumerate(zip(expected[::2], expected[1::2])):
        assert (w * past[:, k]).sum() == pytest.approx(mean, abs=0.25 * sd), times[k]
    narrow = [
        replace(lab, value=lab.value - 1e-5, censoring="interval", limit=lab.value + 1e-5) for lab in twin.record.labs
    ]
    blurred = replace(twin, record=twin.record.with_labs(narrow))
    paths = [past_departures(one, draws, times, outputs, np.random.default_rng(5)) for one in (twin, blurred)]
    np.testing.assert_allclose(*paths, atol=1e-3)
    useless = twin.record.with_labs(replace(lab, laboratory="far") for lab in twin.record.labs)
    unknown = past_departures(replace(twin, record=useless), draws, times, outputs, np.random.default_rng(5))
    assert paths[0].std(axis=0).mean() < 0.8 * SD and unknown.std(axis=0) == pytest.approx(SD, rel=0.12)
