"""A twin whose level varies between occasions: lab by lab, at once and on paper; what a forecast takes for granted."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bayestwin.dosing import Regimen
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.policy import _lanes
from bayestwin.prognosis.simulate import trajectories
from bayestwin.records import ClinicalEvent
from bayestwin.twin import load_twin, rebuild_twin, save_twin, start_twin, update_twin

VALUES, SECOND, SIGMA = (23.0, 24.5, 17.0, 18.5, 16.0), 3, 1.5  # the third lab is the first of the second occasion
SIZES = {"particles": 2000, "islands": 4, "population_draws": 100}


@pytest.fixture(scope="module")
def population(occasional_level, make_population):
    """100 draws around a level of 20, SD 2 between patients and 3 between occasions."""
    rng = np.random.default_rng(3)
    draws = {"level_pop": 20.0 + 0.5 * rng.standard_normal(100)}
    draws |= {
        "omega_level": 2.0 * np.exp(0.1 * rng.standard_normal(100)),
        "gamma_level": 3.0 * np.exp(0.1 * rng.standard_normal(100)),
    }
    return make_population(occasional_level, draws)


@pytest.fixture(scope="module")
def record(level_record):
    """record(n) -> the first n labs; the second occasion begins with the third."""

    def make(n):
        events = (ClinicalEvent("covariate", float(SECOND), float(SECOND), "occasion = 2"),) if n >= SECOND else ()
        return replace(level_record(VALUES[:n]), events=events)

    return make


def on_paper(population):
    """Mean (5,) and covariance of level and kappas given all labs: a mixture over the draws, each a normal."""
    hyper, _ = population.hyper_draws(100)
    means, covariances, weights = [], [], []
    occasion = (np.arange(1, 6) >= SECOND).astype(int)
    design = np.column_stack([np.ones(5), np.eye(4)[occasion]])
    for typical, omega in zip(np.asarray(hyper.typical)[:, 0], np.asarray(hyper.omega)):
        prior = np.diag(omega**2)
        seen = design @ prior @ design.T + SIGMA**2 * np.eye(5)
        gain, gap = prior @ design.T @ np.linalg.inv(seen), np.array(VALUES) - typical
        means.append(np.array([typical, 0, 0, 0, 0]) + gain @ gap)
        covariances.append(prior - gain @ design @ prior)
        weights.append(np.exp(-0.5 * (gap @ np.linalg.solve(seen, gap) + np.linalg.slogdet(seen)[1])))
    w = np.array(weights) / np.sum(weights)
    means = np.array(means)
    mean = w @ means
    return mean, np.einsum("m,mde->de", w, np.array(covariances)) + (means - mean).T @ (w[:, None] * (means - mean))


@pytest.fixture(scope="module")
def twins(population, record):
    """The twin lab by lab, and from scratch."""
    twin = start_twin(population, record(0), random_seed=1, **SIZES)
    for n in range(1, 6):
        twin, info = update_twin(twin, record(n), random_seed=2, population=population)
        assert info.verdict == "PASS", info.reasons
    return {"lab by lab": twin, "from scratch": rebuild_twin(population, record(5), random_seed=3, **SIZES)[0]}


@pytest.mark.parametrize("which", ["lab by lab", "from scratch"])
def test_level_and_occasions_are_those_of_the_closed_form_in_any_order(twins, population, which):
    twin, (mean, covariance) = twins[which], on_paper(population)
    x, w = np.asarray(twin.particles.psi), twin.weights
    found, sd = w @ x, np.sqrt(np.diag(covariance))
    error = np.array(list(twin.info.monte_carlo_error.values()))
    assert (np.abs(found - mean) < 4 * np.maximum(error, 0.02 * sd)).all(), (found, mean, error)
    np.testing.assert_allclose(np.sqrt(w @ (x - found) ** 2), sd, rtol=0.12)
    assert mean[1] > 1.0 and mean[2] < -1.0 and abs(mean[3]) < 1e-9  # the third occasion keeps its prior


def future(twin, events=None, *, last=False):
    """Mean and SD of the level over the next days, by particle."""
    seen = twin if events is None else replace(twin, record=replace(twin.record, events=events))
    if last:
        model = replace(seen.model, occasions=replace(seen.model.occasions, future="last"))
        keep = [k for k, name in enumerate(seen.model.individual_names) if name in model.individual_names]
        population = seen.population._replace(
            mean=seen.population.mean[:, keep], scale=seen.population.scale[:, keep][:, :, keep]
        )
        particles = seen.particles._replace(psi=seen.particles.psi[:, keep])
        seen = replace(seen, model=model, particles=particles, population=population)
    with jax.enable_x64(True):
        draws = forecast_draws(seen, 0.0, np.random.default_rng(1))
        (plan,) = make_plans(seen.model, seen.record, {"watch": Regimen.none()}, seen.time, applied=seen.applied)
        times = seen.time + np.array([1.0, 4.0])
        found, _, _ = trajectories(seen, draws, plan, times, past=False, rng=np.random.default_rng(0))
    w, levels = np.exp(draws.log_weights) / seen.islands, found[:, :, 0]
    return w @ levels, np.sqrt(w @ (levels - w @ levels) ** 2)


def test_a_forecast_begins_the_next_occasion_at_the_cut_or_carries_the_last_one_on(twins, population):
    twin, (mean, cov) = twins["from scratch"], on_paper(population)
    means, sds = future(twin)
    assert means == pytest.approx([mean[0]] * 2, abs=0.25)
    assert sds == pytest.approx([np.sqrt(cov[0, 0] + cov[4, 4] + 2 * cov[0, 4])] * 2, rel=0.08)
    means, sds = future(twin, last=True)
    carried = np.sqrt(cov[0, 0] + cov[2, 2] + 2 * cov[0, 2])
    assert means == pytest.approx([mean[0] + mean[2]] * 2, abs=0.1) and sds == pytest.approx([carried] * 2, rel=0.12)


def test_an_occasion_that_the_record_plans_is_what_a_forecast_takes(twins, population):
    twin, (mean, cov) = twins["from scratch"], on_paper(population)
    begins = replace(twin.record.events[0], time=7.0, known_time=5.0, value="occasion = 3")
    means, sds = future(twin, (*twin.record.events, begins))
    assert means == pytest.approx([mean[0] + mean[2], mean[0]], abs=0.25)
    assert sds[1] == pytest.approx(np.sqrt(cov[0, 0] + cov[3, 3] + 2 * cov[0, 3]), rel=0.08)
    assert sds[0] < 0.5 * sds[1]  # until then the occasion in force goes on


def test_a_policy_begins_the_next_occasion_at_the_cut_too(twins):
    twin = twins["from scratch"]
    with jax.enable_x64(True):
        changes = _lanes(twin, forecast_draws(twin, 0.0, np.random.default_rng(1)), 1)["changes"]
    np.testing.assert_array_equal(changes.times, [SECOND, twin.time])
    np.testing.assert_array_equal(changes.terms, np.eye(4)[[1, 3]])


def test_a_saved_twin_knows_its_occasions(twins, occasional_level, tmp_path):
    twin = twins["from scratch"]
    back = load_twin(save_twin(twin, tmp_path / "twin.nc"), occasional_level)
    assert back.record == twin.record and np.array_equal(back.particles.psi, twin.particles.psi)
    np.testing.assert_array_equal(future(back), future(twin))


def test_an_occasion_that_is_said_to_have_begun_earlier_starts_over(twins, population):
    twin = twins["from scratch"]
    moved = replace(twin.record.events[0], time=2.0)
    _, info = update_twin(twin, replace(twin.record, events=(moved,)), random_seed=4, population=population)
    assert info.path == "restart" or any("a covariate up to 5 changed" in why for why in info.reasons), info
