"""Rivals from elsewhere: BlackJAX's tempered SMC on theophylline, and a myeloma patient followed lab by lab."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual import class_likelihood, compile_record, prior_mean, total_log_likelihood
from bayestwin.population.hyper import hyper_sites
from bayestwin.population.program import distribution
from bayestwin.records import read_records
from bayestwin.specification import load_model
from bayestwin.twin import rebuild_twin, start_twin, update_twin
from bayestwin.twin.target import class_weights

pytestmark = pytest.mark.slow


@pytest.mark.validate
def test_blackjax_finds_the_same_posterior_and_evidence(theophylline, make_population, sizes):
    blackjax = pytest.importorskip("blackjax")
    from blackjax.smc import extend_params
    from blackjax.smc.resampling import systematic

    model, record = theophylline.model, theophylline.patients[1]
    single = {
        k: np.repeat(v.values.reshape(-1, *v.shape[2:])[:1], 2, axis=0)
        for k, v in theophylline.population.posterior.items()
    }
    population = make_population(model, single)
    twin, info = rebuild_twin(population, record, random_seed=1, **sizes)
    with jax.enable_x64(True):
        hyper = jax.tree.map(lambda a: jnp.asarray(a[0]), population.hyper_draws()[0])
        data = compile_record(model, record)
        mean = prior_mean(model, hyper, jnp.asarray(data.terms))
        scale = hyper.omega[:, None] * jnp.linalg.cholesky(hyper.correlation)

        def log_prior(z):
            return -0.5 * (z**2).sum()

        def log_likelihood(z):
            return total_log_likelihood(class_likelihood(model, mean + scale @ z, hyper, data, accuracy=NO_GRADIENT))

        kernel = blackjax.additive_step_random_walk.build_kernel()

        def walk(key, state, logdensity, **_):
            return kernel(key, state, logdensity, blackjax.mcmc.random_walk.normal(0.4 * jnp.ones(3)))

        smc = blackjax.adaptive_tempered_smc(
            log_prior,
            log_likelihood,
            walk,
            blackjax.additive_step_random_walk.init,
            extend_params({}),
            systematic,
            target_ess=0.5,
            num_mcmc_steps=12,
        )
        step, key, evidence = jax.jit(smc.step), jax.random.key(2), 0.0
        state = smc.init(jax.random.normal(key, (2000, 3)))
        while float(state.tempering_param) < 1.0:
            key, own = jax.random.split(key)
            state, step_info = step(own, state)
            evidence += float(step_info.log_likelihood_increment)
        psi = np.asarray(mean + state.particles @ scale.T)
        w = np.asarray(state.weights)
    for d, name in enumerate(model.individual_names):
        ours = float((twin.weights * np.asarray(twin.particles.psi[:, d])).sum())
        theirs = float((w * psi[:, d]).sum())
        sd = float(np.sqrt((w * (psi[:, d] - theirs) ** 2).sum()))
        error = np.hypot(
            info.monte_carlo_error[name], sd / np.sqrt(2000 / 4)
        )  # their walk keeps a quarter of its draws
        assert abs(ours - theirs) < 4.5 * error, name
    assert info.log_evidence == pytest.approx(evidence, abs=0.25)


@pytest.mark.validate
def test_a_myeloma_patient_lab_by_lab_equals_the_oracle(make_population, apart):
    model = load_model("myeloma_car_t")
    with jax.enable_x64(True):
        draws = {
            name: np.asarray(distribution(prior).sample(jax.random.key(k), (100,)))
            for k, (name, prior) in enumerate(hyper_sites(model).items())
        }
    population = make_population(model, draws, rho=0.5)
    folder = Path(__file__).resolve().parents[2] / "data" / "demo_patients"
    tables = {name: folder / f"{name}.csv" for name in ("patients", "labs", "events")}
    record = read_records(model.record_schema(), **tables).cohort.patients[0]
    panels = sorted({lab.known_time for lab in record.labs})[:2]
    sizes = {"particles": 1600, "islands": 8, "population_draws": 100}
    twin = start_twin(population, record.known_at(panels[0]), random_seed=1, **sizes)
    for now in panels[1:]:
        twin, info = update_twin(twin, record.known_at(now), random_seed=2, population=population)
    assert twin.info.verdict == "PASS"
    oracle, _ = rebuild_twin(population, replace(record.known_at(panels[-1]), past=()), random_seed=3, **sizes)
    assert apart(twin, oracle, ("P0", "kP", "FLC0", "g", "FLC_floor")) < 4.5
    d = model.individual_names.index("P0")
    sds = [
        float(
            np.sqrt(
                (
                    t.weights
                    * (np.asarray(t.particles.psi[:, d]) - (t.weights * np.asarray(t.particles.psi[:, d])).sum()) ** 2
                ).sum()
            )
        )
        for t in (twin, oracle)
    ]
    assert sds[0] == pytest.approx(sds[1], rel=0.2)
    assert set(twin.response_probability()) == set(oracle.response_probability()) == {"dara_pd"}
    chances = [nonresponse_by_island(t) for t in (twin, oracle)]
    error = np.hypot(*(c.std(ddof=1) / np.sqrt(len(c)) for c in chances))
    assert abs(chances[0].mean() - chances[1].mean()) < 4.5 * error and error < 0.06


def nonresponse_by_island(twin) -> np.ndarray:
    """P(non-responder) in each island; one treatment was started."""
    w = twin.weights.reshape(twin.islands, -1) * twin.islands
    chance = (class_weights(twin.particles) * twin.class_rows.any(axis=1)).sum(axis=1)
    return (w * chance.reshape(twin.islands, -1)).sum(axis=1)
