"""Weights of a pool of courses against closed forms, on a pool of a few courses made by hand."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))

import course_pool
import exact_posteriors
from relapsing_model import relapsing_population

from bayestwin.evaluation import visit_mechanisms
from bayestwin.records import ClinicalEvent, Lab, PatientRecord

STEP = 7.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return relapsing_population(tmp_path_factory.mktemp("models") / "relapsing").model


def pool_of_levels(model, levels, *, hazard=0.001, floor=0.0, mean=None, sd=1.0):
    """Courses that stay at a level each, with the same hazard of every kind."""
    count, times = len(levels), np.arange(20) * STEP
    outputs = {"m_protein": np.tile(np.asarray(levels, float), (len(times), 1))}
    hazards = np.broadcast_to(hazard * times[:, None, None], (len(times), len(model.hazards), count)).copy()
    sigma = np.full((count, len(model.residual_parameters)), 0.2)
    of_levels = {}
    if mean is not None:
        own = np.asarray(levels, float) - floor
        of_levels["m_protein"] = course_pool.Level(own, np.full(count, floor), np.full(count, mean), np.full(count, sd))
    return course_pool.Pool(model, STEP, outputs, hazards, sigma, sigma, np.median(sigma, axis=0), of_levels)


def labs_of(values, every=STEP):
    return tuple(Lab(f"m@{i}", "m_protein", i * every, v, i * every) for i, v in enumerate(values))


def density(value, predicted):
    """The density of a lab with the errors of `pool_of_levels`, additive and proportional, by scipy."""
    predicted = np.asarray(predicted)
    return stats.norm.pdf(value, predicted, np.hypot(0.2, 0.2 * predicted))


def test_weights_are_the_likelihood_of_labs_and_of_the_time_without_event(model):
    pool = pool_of_levels(model, [8.0, 10.0, 13.0])
    pool.hazards[:, :, 2] *= 30.0  # the third course is in danger
    record = PatientRecord("S", labs=labs_of([9.0, 11.0]), events=(ClinicalEvent("assessed", 7.0, 7.0),))
    found = course_pool.Patient(pool, record, np.random.default_rng(0)).posterior(
        record, 24.5, np.random.default_rng(0)
    )
    rate = np.array([0.001, 0.001, 0.03])
    endpoint = model.progression
    danger = rate * (24.5 * len(endpoint.death_hazards) + 7.0 * len(endpoint.progression_hazards))
    exact = density(9.0, [8, 10, 13]) * density(11.0, [8, 10, 13]) * np.exp(-danger)
    np.testing.assert_allclose(found.weights, exact / exact.sum(), rtol=1e-6)
    assert found.ess == pytest.approx(exact.sum() ** 2 / (exact**2).sum(), rel=1e-6)


def test_a_level_drawn_anew_leaves_the_posterior_that_quadrature_finds(model):
    """ln level normal in the population, one lab: mean and SD of ln level, and what they cost with and without."""
    rng = np.random.default_rng(1)
    pool = pool_of_levels(model, np.exp(rng.normal(2.0, 1.0, 40_000)), mean=2.0)
    record = PatientRecord("S", labs=labs_of([20.0]))
    patient = course_pool.Patient(pool, record, np.random.default_rng(2))
    found = patient.posterior(record, 0.0, np.random.default_rng(3), most=10**6)
    level, grid = np.log(patient.predicted("m_protein", 0.0, found.at)), np.linspace(-3.0, 7.0, 4001)
    exact = stats.norm.pdf(grid, 2.0, 1.0) * density(20.0, np.exp(grid))
    mean = (exact * grid).sum() / exact.sum()
    sd = np.sqrt((exact * (grid - mean) ** 2).sum() / exact.sum())
    assert found.weights @ level == pytest.approx(mean, abs=4 * sd / np.sqrt(found.ess))
    assert np.sqrt(found.weights @ (level - mean) ** 2) == pytest.approx(sd, rel=0.03)
    plain = course_pool.Patient(pool._replace(levels={}), record, rng).posterior(record, 0.0, rng, most=10**6)
    assert found.ess > 2 * plain.ess


def test_a_floor_is_no_part_of_the_level(model):
    pool = pool_of_levels(model, [6.0, 9.0, 12.0], floor=4.0, mean=1.0)
    record = PatientRecord("S", labs=labs_of([30.0]))
    patient = course_pool.Patient(pool, record, np.random.default_rng(0))
    exact = 4.0 + np.array([2.0, 5.0, 8.0]) * patient.ratio["m_protein"]
    np.testing.assert_allclose(patient.predicted("m_protein", 0.0), exact)


def test_thinning_keeps_heavy_courses_and_every_mean():
    weights = course_pool.normalised(np.random.default_rng(0).normal(0.0, 3.0, 5000))
    values, rng = np.arange(5000) % 7, np.random.default_rng(1)
    found = [course_pool.thinned(weights, rng, 300) for _ in range(200)]
    means = np.array([w @ values[at] for at, w in found])
    assert means.mean() == pytest.approx(weights @ values, abs=4 * means.std() / np.sqrt(200))
    assert max(len(at) for at, _ in found) < 600
    assert all(set(np.flatnonzero(weights > 1 / 300)) <= set(at) for at, _ in found)


def test_the_visit_process_of_the_link_as_simulated_is_the_one_that_was_simulated(model):
    """One marker three times the other: rates of a half and one and a half times the mean."""
    times = np.arange(11) * STEP
    outputs = np.zeros((2, 11, len(model.observations)))
    outputs[:, :, model.observation_index["m_protein"]] = np.array([[2.0], [6.0]])
    courses = visit_mechanisms.Courses(times, outputs, np.zeros((2, 11, 2)), None, (), {}, "drug", model)
    middle = exact_posteriors.Middle(courses, 1.0)
    marker = outputs[:, :, model.observation_index["m_protein"]]
    np.testing.assert_allclose(middle.relative(marker), visit_mechanisms._relative_rate(courses, marker, 1.0))
    visited = np.isin(np.arange(11), [0, 2, 5])
    chance = np.array([0.5, 1.5]) * STEP / 28.0  # rates 1 to 3, their mean one
    exact = 2 * np.log(chance) + 8 * np.log1p(-chance)
    np.testing.assert_allclose(middle.log_likelihood(marker, visited, STEP, 28.0), exact)


def test_a_link_weighs_courses_by_when_the_visits_came_and_the_wrong_sign_the_other_way(model):
    pool = pool_of_levels(model, [10.0, 10.0])
    pool.outputs["m_protein"][:, 1] = 10.0 * np.exp(0.02 * np.arange(20) * STEP)  # one that rises
    record = PatientRecord("S", labs=labs_of([10.0, 11.0, 12.0], every=28.0))
    patient = course_pool.Patient(pool, record, np.random.default_rng(0))
    middle = SimpleNamespace(log_likelihood=lambda marker, visited, step, every: np.zeros(len(marker)))
    gains = exact_posteriors.link_gains(patient, np.array([0, 1]), record, 70.0, middle)
    for b in (1.0, -1.0):  # visits at 0, 28 and 56 of 70 days, in closed form
        total = (np.exp(b * 0.02 * 70.0) - 1.0) / (b * 0.02)
        exact = b * 0.02 * 84.0 - 3 * np.log(total / 70.0)
        assert gains[b][1] - gains[b][0] == pytest.approx(exact, abs=0.01)
    assert gains[0.0][1] == gains[0.0][0] == 0.0
