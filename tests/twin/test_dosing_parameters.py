"""A twin whose doses carry individual parameters: lab by lab equals the oracle; forecasts follow the closed form."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "individual"))

from dosing_model import DOSES, concentration, write_dosing_model

from bayestwin.dosing import DoseEvent
from bayestwin.individual import covariate_terms, natural_values
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.simulate import trajectories
from bayestwin.records import Lab, PatientRecord
from bayestwin.twin import rebuild_twin, start_twin, update_twin
from bayestwin.twin.target import hyper_of

pytestmark = pytest.mark.slow  # compiles one model

TRUTH = {"ka": 1.8, "CL": 3.3, "V": 27.0, "lag": 1.4, "F": 0.6, "rate": 35.0, "duration": 2.5}
TIMES = (1.5, 3.5, 6.0, 12.5, 14.0)


@pytest.fixture(scope="module")
def lagged(tmp_path_factory):
    return write_dosing_model(tmp_path_factory.mktemp("models") / "lagged")


@pytest.fixture(scope="module")
def population(lagged, make_population):
    """100 draws around values from which the patient differs."""
    rng, n = np.random.default_rng(3), 100
    medians = {"ka": 1.5, "CL": 3.0, "V": 30.0, "lag": 0.9, "F": 0.7, "rate": 40.0, "duration": 2.0}
    draws = {f"{name}_pop": value * np.exp(0.05 * rng.standard_normal(n)) for name, value in medians.items()}
    draws |= {f"omega_{name}": 0.3 * np.exp(0.1 * rng.standard_normal(n)) for name in medians}
    draws["beta_lag_fed"] = 0.5 + 0.1 * rng.standard_normal(n)
    draws["sigma_add_concentration"] = 0.3 * np.exp(0.05 * rng.standard_normal(n))
    return make_population(lagged, draws)


@pytest.fixture(scope="module")
def record():
    """Five concentrations; tablets and infusions are on their way at several of them."""
    with jax.enable_x64(True):
        values = np.asarray(concentration(TRUTH, TIMES)) + 0.3 * np.random.default_rng(4).standard_normal(len(TIMES))
    labs = tuple(Lab(f"c{t}", "concentration", t, float(v), t) for t, v in zip(TIMES, values))
    return PatientRecord("P-1", labs=labs, doses=DOSES, covariates={"fed": 1.0})


@pytest.fixture(scope="module")
def followed(population, record, sizes):
    """The twin after every lab, each learnt by itself."""
    twin = start_twin(population, record.with_labs(()), random_seed=5, **sizes)
    for n in range(1, len(record.labs) + 1):
        twin, _ = update_twin(twin, record.with_labs(record.labs[:n]), random_seed=5, population=population)
    return twin


def test_lab_by_lab_equals_the_oracle_where_doses_have_individual_lags_and_shares(
    followed, population, record, sizes, apart
):
    oracle, info = rebuild_twin(population, record, random_seed=6, **sizes)
    assert followed.info.verdict == info.verdict == "PASS"
    assert "reweight" in {one.path for one in followed.history}  # from stored states, with doses still to arrive
    assert apart(followed, oracle) < 4.5
    spread = [np.sqrt(np.cov(t.particles.psi, rowvar=False, aweights=t.weights).diagonal()) for t in (followed, oracle)]
    np.testing.assert_allclose(*spread, rtol=0.25)
    lag = np.asarray(followed.particles.psi)[:, lag_at(followed)]
    prior = np.asarray(followed.population.mean)[:, lag_at(followed)]
    assert (followed.weights * lag).sum() < prior.mean() and spread[0][lag_at(followed)] < 0.2  # it was learnt


def lag_at(twin):
    return twin.model.individual_names.index("lag")


def test_a_forecast_follows_the_closed_form_of_every_particle_with_a_tablet_on_its_way(followed):
    """A tablet swallowed just before the data cut, and that of the treatment, arrive in the future."""
    on_its_way = DoseEvent(13.75, 200.0, "oral")
    twin = replace(followed, record=replace(followed.record, doses=(*followed.record.doses, on_its_way)))
    later = twin.time + np.array([0.25, 1.0, 2.0, 5.0, 12.0])
    with jax.enable_x64(True):
        draws = forecast_draws(twin, 0.0, np.random.default_rng(1))
        (plan,) = make_plans(twin.model, twin.record, ["tablet"], twin.time, applied=twin.applied)
        outputs, _, ok = trajectories(twin, draws, plan, later, past=False, rng=np.random.default_rng(0))
        terms = jnp.asarray(covariate_terms(twin.model, twin.record.covariates))

        def expected(psi, draw):
            values = natural_values(twin.model, psi, hyper_of(twin.population, draw), terms)
            return concentration(values, later, plan.record.doses)

        found = jax.jit(jax.vmap(expected))(jnp.asarray(draws.psi), jnp.asarray(draws.draw))
    assert ok.all() and len(plan.record.doses) == len(DOSES) + 2
    lags = np.exp(np.asarray(draws.psi)[:, lag_at(twin)])
    assert (lags > 0.25).mean() > 0.99  # it has not arrived by the data cut
    np.testing.assert_allclose(outputs[:, :, 0], found, rtol=1e-6, atol=1e-8)
