"""A patient of the fitted cohort starts from the joint fit, and never learns the same labs twice."""

import json

import numpy as np
import pytest
import xarray as xr

from bayestwin.errors import FitError
from bayestwin.population import PopulationPosterior
from bayestwin.population.posterior import patient_mark
from bayestwin.twin import rebuild_twin, start_twin, update_twin

VALUES = (23.0, 24.5, 22.0, 25.0)


@pytest.fixture(scope="module")
def fitted(level_population, level_record, exact_level):
    return fitted_with(VALUES, level_population, level_record, exact_level)


def fitted_with(values, level_population, level_record, exact_level):
    """The population after a joint fit with patient L-1, by its closed form, and his record.

    Draws reweighted, level given each draw.
    """
    rng = np.random.default_rng(3)
    record = level_record(values)
    weights = exact_level(values)[3]
    picked = rng.choice(100, size=100, p=weights)
    flat = level_population.posterior.stack(sample=("chain", "draw")).isel(sample=picked)
    data = {k: (("chain", "draw"), v.values.reshape(2, 50)) for k, v in flat.data_vars.items()}
    theta, omega = flat["level_pop"].values, flat["omega_level"].values
    precision = 1 / omega**2 + len(values) / 1.5**2
    level = (theta / omega**2 + sum(values) / 1.5**2) / precision + rng.standard_normal(100) / np.sqrt(precision)
    effect = flat["effect_pop"].values + rng.standard_normal(100)
    psi = np.stack([level, effect], axis=-1).reshape(2, 50, 1, 2)
    individuals = xr.Dataset(
        {"psi": (("chain", "draw", "patient", "parameter"), psi)},
        coords={"patient": [record.key], "parameter": ["level", "effect"]},
    )
    groups = {"posterior": xr.Dataset(data), "sample_stats": xr.Dataset(), "individuals": individuals}
    tree = xr.DataTree.from_dict(groups)
    mark = patient_mark(record)
    tree.attrs.update(level_population.tree.attrs, fitted_patients=json.dumps([mark]))
    tree.attrs["fitted_records"] = json.dumps({mark: record.data_hash})
    return PopulationPosterior(level_population.model, tree), record


def mean_of(twin):
    return float((twin.weights * np.asarray(twin.particles.psi[:, 0])).sum())


def test_the_twin_of_a_fitted_patient_holds_each_lab_once(fitted, exact_level, sizes):
    population, record = fitted
    twin = start_twin(population, record, random_seed=1, **sizes)
    mean, sd, _, _ = exact_level(VALUES)
    assert twin.info.path == "joint fit"
    assert mean_of(twin) == pytest.approx(mean, abs=0.25 * sd)  # 100 draws of the joint fit
    level = np.asarray(twin.particles.psi[:, 0])
    found = np.sqrt((twin.weights * (level - mean_of(twin)) ** 2).sum())
    assert found == pytest.approx(sd, rel=0.15)
    assert exact_level((*VALUES, *VALUES))[1] < 0.8 * sd  # what counting twice would give


def test_no_move_makes_the_labs_count_twice_on_the_population_draws(level_population, level_record, exact_level, sizes):
    """A patient far from the typical: moves between draws would carry them to where his labs are likeliest, which the
    fit has told them already. After newer labs each draw weighs what those labs say, once."""
    values = (28.0,)
    population, record = fitted_with(values, level_population, level_record, exact_level)
    theta = population.posterior["level_pop"].values.ravel()
    twin = start_twin(population, record, random_seed=1, **sizes)
    typical = theta[np.asarray(twin.particles.draw)]
    assert twin.from_fit and twin.weights @ typical == pytest.approx(theta.mean(), abs=1e-9)

    newer = level_record((*values, 22.0, 22.5))
    later, info = update_twin(twin, newer, random_seed=2, population=population)
    omega = population.posterior["omega_level"].values.ravel()
    before = 1 / omega**2 + len(values) / 1.5**2
    mean = (theta / omega**2 + sum(values) / 1.5**2) / before
    pairs = [1.5**2 * np.eye(2) + 1 / b for b in before]  # predictive covariance of the two newer labs
    y = np.array([22.0, 22.5])
    log = [-0.5 * ((y - m) @ np.linalg.solve(c, y - m) + np.log(np.linalg.det(c))) for m, c in zip(mean, pairs)]
    share = np.exp(np.array(log) - max(log))
    share /= share.sum()
    assert info.path == "rejuvenate" and later.from_fit
    found = later.weights @ theta[np.asarray(later.particles.draw)]
    spread = np.sqrt(share @ (theta - share @ theta) ** 2)
    assert found == pytest.approx(share @ theta, abs=0.1 * spread)


def test_labs_that_came_after_the_fit_are_learnt(fitted, level_record, exact_level, sizes):
    population, _ = fitted
    newer = (*VALUES, 18.0, 18.5, 19.0)
    twin = start_twin(population, level_record(newer), random_seed=1, **sizes)
    assert twin.record.labs == level_record(newer).labs
    assert len(twin.info.surprise) == 3
    mean, sd, _, _ = exact_level(newer)
    assert abs(mean - exact_level(VALUES)[0]) > 1.5 * sd
    assert mean_of(twin) == pytest.approx(mean, abs=0.5 * sd)


def test_a_record_that_was_never_fitted_is_refused(fitted, level_record, sizes):
    population, _ = fitted
    with pytest.raises(FitError, match="patient L-1: this patient was fitted with another record"):
        start_twin(population, level_record((23.0, 24.5, 22.0, 2.5)), random_seed=1, **sizes)


def test_without_individual_draws_a_fitted_patient_is_refused(fitted, sizes, tmp_path):
    from bayestwin.population import load_population

    population, record = fitted
    lean = load_population(population.save(tmp_path / "lean.nc"), population.model)
    with pytest.raises(FitError, match="holds no individual draws.*keep_individuals.*count the labs twice"):
        start_twin(lean, record, random_seed=1, **sizes)
    kept = load_population(population.save(tmp_path / "kept.nc", keep_individuals=True), population.model)
    assert start_twin(kept, record, random_seed=1, **sizes).info.path == "joint fit"


def test_the_oracle_refuses_a_fitted_patient(fitted, sizes):
    population, record = fitted
    with pytest.raises(FitError, match="in the fitted cohort: from scratch the labs would count twice"):
        rebuild_twin(population, record, random_seed=1, **sizes)


def test_after_a_withheld_update_a_fitted_patient_goes_on_from_where_the_twin_stood(fitted, level_record, sizes):
    """With the population at hand every later update was an error: from scratch the labs would count twice."""
    population, record = fitted
    twin = start_twin(population, record, random_seed=1, **sizes)
    stood, info = update_twin(twin, level_record((*VALUES, 60.0)), random_seed=2, population=population)
    assert info.verdict == "WITHHELD" and stood.record == record
    good = level_record((*VALUES, 23.8))
    later, info = update_twin(stood, good, random_seed=3, population=population)
    assert info.verdict == "PASS" and later.record == good
    assert mean_of(later) == pytest.approx(mean_of(update_twin(twin, good, random_seed=3)[0]), abs=0.2)
