"""A small live fit against its closed form, and what its file holds."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bayestwin.errors import FitError, StoreError
from bayestwin.population import combine_chains, fit, fit_population, load_population
from bayestwin.population.arrival import long_enough
from bayestwin.records import Cohort

pytestmark = pytest.mark.slow  # compiles NUTS once


@pytest.fixture(scope="module")
def fitted(untreated_level, four_patients):
    return fit_population(untreated_level, four_patients, random_seed=1, chains=2, warmup=250, draws=250)


def test_nuts_finds_the_posterior_of_quadrature(fitted, exact_means):
    level, omega = exact_means
    posterior = fitted.posterior
    assert float(posterior["level_pop"].mean()) == pytest.approx(level, abs=0.25)
    assert float(posterior["omega_level"].mean()) == pytest.approx(omega, abs=0.35)
    psi = fitted.tree["individuals"]["psi"].sel(parameter="level").mean(("chain", "draw"))
    assert psi.values == pytest.approx([17.2, 19.1, 20.9, 22.8], abs=0.5)
    assert fitted.diagnostics.divergences <= 5


def test_the_same_seed_gives_the_same_draws_and_another_does_not(fitted, untreated_level, four_patients):
    again = fit_population(untreated_level, four_patients, random_seed=1, chains=2, warmup=250, draws=250)
    assert np.array_equal(again.posterior["level_pop"], fitted.posterior["level_pop"]) and again.hash == fitted.hash


def test_the_file_holds_provenance_and_no_patient_unless_asked(fitted, four_patients, tmp_path):
    lean = load_population(fitted.save(tmp_path / "lean.nc"), fitted.model)
    attrs = lean.attributes
    assert attrs["model_hash"] == fitted.model.hash and attrs["data_hash"] == four_patients.data_hash
    assert (
        attrs["random_seed"] == 1
        and "jax" in json.loads(attrs["versions"])
        and attrs["verdict"] in ("passed", "failed")
    )
    assert "individuals" not in lean.tree.children and attrs["holds_individuals"] == 0
    assert b"F-1" not in (tmp_path / "lean.nc").read_bytes()
    assert lean.hash == fitted.hash and lean.individual_draws(four_patients["F-1"]) is None
    kept = load_population(fitted.save(tmp_path / "kept.nc", keep_individuals=True), fitted.model)
    assert kept.attributes["holds_individuals"] == 1
    assert kept.individual_draws(four_patients["F-2"]).shape == (500, 1)
    assert "individuals" in fitted.tree.children  # saving took nothing away


def test_a_fitted_patient_is_recognised_and_a_new_one_is_not(fitted, four_patients):
    record = four_patients["F-1"]
    assert fitted.knows(record) and fitted.fitted_as(record)
    assert fitted.knows(record.with_labs(record.labs[:3])) and not fitted.fitted_as(record.with_labs(record.labs[:3]))


def test_another_version_of_the_model_is_refused(fitted, tmp_path):
    path = fitted.save(tmp_path / "population.nc")
    with pytest.raises(StoreError, match="model theophylline, population.nc: .*another model.*found 'level'"):
        load_population(path, "theophylline")
    with pytest.raises(StoreError, match="no such population file.*bayestwin fit"):
        load_population(tmp_path / "absent.nc")


def test_chains_of_one_cohort_stand_side_by_side_and_of_another_are_refused(fitted, tmp_path):
    other = load_population(fitted.save(tmp_path / "population.nc", keep_individuals=True), fitted.model)
    both = combine_chains([fitted, other])
    assert both.posterior.sizes["chain"] == 4 and both.tree["individuals"]["psi"].sizes["chain"] == 4
    other.tree.attrs["data_hash"] = "elsewhere"
    with pytest.raises(StoreError, match="data_hash: these fits do not belong together.*elsewhere"):
        combine_chains([fitted, other])


def test_a_cohort_without_labs_is_refused(untreated_level, four_patients):
    bare = Cohort(tuple(p.with_labs(()) for p in four_patients))
    with pytest.raises(FitError, match="model level: no patient has a lab"):
        fit_population(untreated_level, bare, random_seed=1)


def test_a_run_that_will_be_repeated_with_smaller_steps_is_not_made_longer_before():
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.standard_normal((2, 100)), axis=1)  # R-hat far above its limit
    diverging = np.zeros((2, 100), dtype=bool)
    diverging[0, 0] = True  # 1 of 200: more than 0.1 %, not more than 1 %
    stats = {"energy": rng.standard_normal((2, 100)), "diverging": diverging}
    drawn = SimpleNamespace(samples={"k_pop": walk}, stats=stats)
    assert not long_enough(drawn) and long_enough(drawn, give_up=True)
    smooth = SimpleNamespace(samples={"k_pop": walk}, stats=stats | {"diverging": np.zeros_like(diverging)})
    assert not long_enough(smooth, give_up=True)


def test_a_run_that_is_only_too_short_goes_on_and_keeps_all_its_draws(untreated_level, four_patients, monkeypatch):
    monkeypatch.setattr(fit, "DRAWS", 50)
    monkeypatch.setattr(fit, "MOST_DRAWS", 150)
    seen = []
    common = {"random_seed": 1, "chains": 2, "warmup": 250}
    found = fit_population(untreated_level, four_patients, progress=lambda done, total, _: seen.append(total), **common)
    assert found.posterior.sizes["draw"] == 150 and seen[0] == 300 and seen[-1] == 400
    assert found.diagnostics.too_short and not found.diagnostics.passed
    asked = fit_population(untreated_level, four_patients, draws=50, **common)
    assert asked.posterior.sizes["draw"] == 50  # as many as were asked for, and no more
    name = "level_pop"
    assert np.array_equal(found.posterior[name][:, :50], asked.posterior[name])
