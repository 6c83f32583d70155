"""A twin whose covariates are missing: its posterior is the one on paper, and a value that comes later changes it as if
it had been known at once."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from level_model import as_population
from scipy.stats import multivariate_normal

sys.path.insert(0, str(Path(__file__).parents[1] / "individual"))
from missing_model import SHARES, SITES, write_missing_model

from bayestwin.prognosis import forecast
from bayestwin.prognosis.particles import silent_parameters
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import CategoryCovariate, Regimen, load_model
from bayestwin.twin import start_twin, update_twin
from bayestwin.twin.save import load_twin

pytestmark = pytest.mark.slow  # compiles a small model once

SIZES = {"particles": 2000, "islands": 8, "population_draws": 4}
TIMES, VALUES = np.array([0.0, 1.0, 2.0, 3.0]), np.array([24.0, 28.5, 27.5, 30.5])
SAID = {"weight_kg": 70.0}


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    """Four equal draws of the population."""
    model = load_model(write_missing_model(tmp_path_factory.mktemp("models") / "missing_level"))
    draws = {name: np.full(4, value) for name, value in SITES.items()}
    lower = np.tile(np.array([[1.0, 0.0], [0.6, 0.8]]), (4, 1, 1))
    return as_population(model, draws | {"correlation_cholesky": lower})


def patient(labs=4, *events, **covariates):
    rows = tuple(Lab(f"m@{t}", "m_protein", t, v, t) for t, v in zip(TIMES[:labs], VALUES[:labs]))
    return PatientRecord("P-1", labs=rows, events=events, covariates=SAID | covariates)


def on_paper(labs=4, **known):
    """Posterior mean and SD of level and rate: a sum over the groups that are possible of normal posteriors."""
    h, y = SITES, VALUES[:labs] - 2.0
    design = np.stack([np.ones(labs), TIMES[:labs]], axis=1)
    sd = np.array([h["omega_level"], h["omega_rate"]])
    omega = np.outer(sd, sd) * np.array([[1.0, 0.6], [0.6, 1.0]])
    slope = np.array([h["beta_level_age_years"], h["beta_rate_age_years"]])
    age = known.get("age_years")
    if age is None:
        omega, age = omega + h["sd_age_years"] ** 2 * np.outer(slope, slope), h["mean_age_years"]
    shifts = {
        "a": (0.0, 0.0),
        "b": (h["beta_level_group_b"], h["beta_rate_group_b"]),
        "c": (0.0, h["beta_rate_group_c"]),
    }
    weights, means, covs = [], [], []
    for group in [known["group"]] if "group" in known else SHARES:
        mean = np.array([20.0, 1.0]) + slope * (age - np.array([60.0, 50.0])) + np.array(shifts[group])
        spread = design @ omega @ design.T + 1.5**2 * np.eye(labs)
        gain = omega @ design.T @ np.linalg.inv(spread)
        weights.append(SHARES[group] * multivariate_normal(design @ mean, spread).pdf(y))
        means.append(mean + gain @ (y - design @ mean))
        covs.append(omega - gain @ design @ omega)
    w, means = np.array(weights) / np.sum(weights), np.array(means)
    middle = w @ means
    cov = sum(p * (c + np.outer(m - middle, m - middle)) for p, c, m in zip(w, covs, means))
    return middle, np.sqrt(np.diag(cov))


def assert_as_on_paper(twin, info, **known):
    assert info.verdict == "PASS", info
    mean, sd = on_paper(len(twin.record.labs), **known)
    psi, w = np.asarray(twin.particles.psi)[:, :2], twin.weights
    error = np.array([info.monte_carlo_error[name] for name in ("level", "rate")])
    assert np.abs(w @ psi - mean).max() < np.maximum(5 * error, 0.1 * sd).max()
    assert np.abs(w @ psi - mean) / sd == pytest.approx(0.0, abs=0.15)
    assert np.sqrt(w @ (psi - w @ psi) ** 2) / sd == pytest.approx(1.0, abs=0.12)


def test_the_posterior_sums_over_what_is_missing_and_later_labs_update_it(population):
    twin = start_twin(population, patient(2), random_seed=1, **SIZES)
    assert twin.population.draws == 4 and len(twin.population.log_det) == 12
    assert_as_on_paper(twin, twin.info)
    twin, info = update_twin(twin, patient(4), random_seed=2, population=population)
    assert_as_on_paper(twin, info)
    assert info.ess_population_draws <= 4.0 + 1e-9
    wrong, _ = on_paper(4, age_years=60.0, group="a")  # at the reference, as without distributions
    right, sd = on_paper(4)
    assert np.abs((wrong - right) / sd).max() > 0.5


def test_a_value_that_arrives_later_gives_the_posterior_of_having_known_it_at_once(population, tmp_path):
    twin = start_twin(population, patient(4), random_seed=1, **SIZES)
    twin.save(tmp_path / "twin.nc")
    again = load_twin(tmp_path / "twin.nc", population.model)
    assert np.array_equal(np.asarray(again.population.which), np.asarray(twin.population.which))
    said = tuple(ClinicalEvent("covariate", 3.0, 30.0, text) for text in ("age_years = 75.0", "group = c"))
    twin, info = update_twin(again, patient(4, *said), random_seed=3, population=population)
    assert "covariate age_years became known" in str(info) and twin.population.which is None
    assert_as_on_paper(twin, info, age_years=75.0, group="c")
    assert not np.allclose(on_paper(4)[0], on_paper(4, age_years=75.0, group="c")[0], atol=0.1)
    back, _ = update_twin(twin, replace(twin.record, events=()), random_seed=4, population=population)
    assert_as_on_paper(back, back.info)  # withdrawn, it is missing again


def test_a_category_as_normal_is_learnt_with_the_labs_as_one_more_normal_number(population):
    """Level and rate, group included, of a linear and normal model: on paper."""
    age, _, weight = population.model.covariate_distributions
    group = CategoryCovariate("group", levels=("a", "b", "c"), shares=tuple(SHARES.values()), as_normal=True)
    normal = replace(population.model, covariate_distributions=(age, group, weight), source_hash="")
    draws = {name: np.full(4, value) for name, value in SITES.items()}
    lower = np.tile(np.array([[1.0, 0.0], [0.6, 0.8]]), (4, 1, 1))
    fitted = as_population(normal, draws | {"correlation_cholesky": lower})
    twin = start_twin(fitted, patient(2, age_years=70.0), random_seed=1, **SIZES)
    twin, info = update_twin(twin, patient(4, age_years=70.0), random_seed=2, population=fitted)
    assert info.verdict == "PASS", info
    assert twin.population.which is None and len(twin.population.log_det) == 4  # no components

    p, shifts = np.array([0.3, 0.2]), np.array([[4.0, 0.5], [0.0, -0.5]])
    sd, design = np.array([1.5, 0.4]), np.stack([np.ones(4), TIMES], axis=1)
    omega = np.outer(sd, sd) * np.array([[1.0, 0.6], [0.6, 1.0]]) + shifts.T @ (np.diag(p) - np.outer(p, p)) @ shifts
    mean = np.array([20.0 + 0.1 * 10.0, 1.0 - 0.02 * 20.0]) + p @ shifts
    gain = omega @ design.T @ np.linalg.inv(design @ omega @ design.T + 1.5**2 * np.eye(4))
    expected, cov = mean + gain @ (VALUES - 2.0 - design @ mean), omega - gain @ design @ omega

    names, w = list(normal.individual_names), twin.weights
    psi = np.asarray(twin.particles.psi)
    u = psi[:, [names.index("group_b_if_missing"), names.index("group_c_if_missing")]]
    group = p + u @ np.linalg.cholesky(np.diag(p) - np.outer(p, p)).T
    both = psi[:, :2] + group @ shifts
    assert w @ both == pytest.approx(expected, abs=0.15 * np.sqrt(np.diag(cov)).min())
    assert np.sqrt(w @ (both - w @ both) ** 2) == pytest.approx(np.sqrt(np.diag(cov)), rel=0.12)
    table = {row["parameter"]: row["mean"] for row in twin.parameter_table()}
    assert [table["level"], table["rate"]] == pytest.approx(w @ both, rel=1e-6)  # with what the group adds
    silent = dict(zip(names, silent_parameters(normal, twin.record, twin.time)))
    assert not (silent["group_b_if_missing"] or silent["group_c_if_missing"]) and silent["weight_kg_if_missing"]
    known, _ = update_twin(twin, patient(4, age_years=70.0, group="b"), random_seed=3, population=fitted)
    silent = dict(zip(names, silent_parameters(normal, known.record, known.time)))
    assert silent["group_b_if_missing"] and silent["group_c_if_missing"]
    mean, sd = on_paper(4, age_years=70.0, group="b")
    assert (known.weights @ np.asarray(known.particles.psi)[:, :2] - mean) / sd == pytest.approx(0.0, abs=0.15)


def test_an_acquired_category_that_is_said_later_is_learnt_from_before_and_known_after(population):
    """Group b from day 2.5 on: on paper a normal group before it; without restart where it is said of later."""
    age, _, weight = population.model.covariate_distributions
    group = CategoryCovariate(
        "group", levels=("a", "b", "c"), shares=tuple(SHARES.values()), as_normal=True, acquired=True
    )
    normal = replace(population.model, covariate_distributions=(age, group, weight), source_hash="")
    lower = np.tile(np.array([[1.0, 0.0], [0.6, 0.8]]), (4, 1, 1))
    draws = {name: np.full(4, value) for name, value in SITES.items()} | {"correlation_cholesky": lower}
    fitted = as_population(normal, draws)
    twin = start_twin(fitted, patient(3, age_years=70.0), random_seed=1, **SIZES)
    said = ClinicalEvent("covariate", 2.5, 2.5, "group = b")
    twin, info = update_twin(twin, patient(4, said, age_years=70.0), random_seed=2)  # nothing is taken away
    assert info.verdict == "PASS", info

    p, shifts = np.array([0.3, 0.2]), np.array([[4.0, 0.5], [0.0, -0.5]])
    sd, design = np.array([1.5, 0.4]), np.stack([np.ones(4), TIMES], axis=1)
    cov = np.zeros((4, 4))  # of level and rate without the group, and its indicators
    cov[:2, :2], cov[2:, 2:] = np.outer(sd, sd) * np.array([[1.0, 0.6], [0.6, 1.0]]), np.diag(p) - np.outer(p, p)
    mean = np.array([21.0, 0.6, *p])
    by_group = design @ shifts.T
    by_group[3] = 0.0
    whole = np.hstack([design, by_group])
    known = np.array([0.0, 0.0, 0.0, design[3] @ shifts[0]])
    gain = cov @ whole.T @ np.linalg.inv(whole @ cov @ whole.T + 1.5**2 * np.eye(4))
    expected, left = mean + gain @ (VALUES - 2.0 - known - whole @ mean), cov - gain @ whole @ cov
    w, psi = twin.weights, np.asarray(twin.particles.psi)[:, :2]
    assert (w @ psi - expected[:2]) / np.sqrt(np.diag(left))[:2] == pytest.approx(0.0, abs=0.15)
    assert np.sqrt(w @ (psi - w @ psi) ** 2) == pytest.approx(np.sqrt(np.diag(left))[:2], rel=0.12)


def test_a_forecast_without_labs_spreads_as_the_population_with_that_covariate_missing(population):
    twin = start_twin(population, patient(0), random_seed=1, **SIZES)
    psi = np.asarray(twin.particles.psi)
    shares = np.bincount(np.asarray(twin.particles.draw) // 4, minlength=3) / len(psi)
    assert shares == pytest.approx(list(SHARES.values()), abs=0.05)
    ahead = forecast(twin, {"no dose": Regimen.none()}, horizon_months=1, random_seed=2)
    assert set(np.unique(ahead.draw)) <= set(range(4))
