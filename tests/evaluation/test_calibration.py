"""Ranks of the truth: uniform where the twin is right; weights, errors or limits that are wrong are told."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

from censored_model import censored_population
from level_model import as_population, level_draws, write_untreated_level_model

from bayestwin.evaluation.verification import (
    Calibration,
    calibration,
    calibration_rows,
    nuts_rows,
    simulated_with_truth,
)
from bayestwin.evaluation.verification.calibration import pit, population_of_draw, true_twin
from bayestwin.evaluation.verification.calibration_verdict import uniform_p
from bayestwin.evaluation.verification.long_nuts import log_marginal
from bayestwin.evaluation.verification.simulated import Truth
from bayestwin.individual import compile_record, likelihood, residuals
from bayestwin.specification import load_model
from bayestwin.twin import moves, start_twin, target, update
from bayestwin.twin.particles import population_for

SIZES = {"particles": 400, "islands": 8, "population_draws": 50}


def test_a_truth_among_ties_gets_a_random_part_of_their_weight():
    rng = np.random.default_rng(1)
    values, weights = np.array([0.0, 1.0, 1.0, 2.0]), np.array([0.1, 0.2, 0.3, 0.4])
    found = [pit(values, weights, 1.0, rng) for _ in range(2000)]
    assert 0.1 <= min(found) < 0.11 and 0.59 < max(found) <= 0.6 and np.mean(found) == pytest.approx(0.35, abs=0.01)
    assert pit(values, weights, -1.0, rng) == 0.0 and pit(values, weights, 3.0, rng) == pytest.approx(1.0)


def test_uniform_ranks_are_seldom_called_otherwise_and_narrow_or_shifted_ones_are():
    rng = np.random.default_rng(2)
    p = np.array([uniform_p(rng.random(300)) for _ in range(400)])
    assert 0.02 < (p < 0.05).mean() < 0.09 and (p < 0.01).mean() < 0.03
    assert uniform_p(rng.beta(2, 2, 300)) < 1e-3 and uniform_p(rng.random(300) ** 1.5) < 1e-3
    assert uniform_p(rng.beta(0.7, 0.7, 300)) < 0.01


def rows_of(pits, **more):
    line = {"quantity": "ln CL", "kind": "parameter", "verdict": "PASS"} | more
    return pd.DataFrame([line | {"patient": f"SIM-{k:04d}", "pit": u} for k, u in enumerate(pits)])


def test_the_verdict_names_what_is_not_calibrated_and_counts_who_was_left_out():
    rng = np.random.default_rng(3)
    good, bad = rows_of(rng.random(200)), rows_of(rng.random(200) ** 2, quantity="ln V")
    withheld = rows_of(np.zeros(50), verdict="WITHHELD").assign(patient=lambda t: "W" + t["patient"])
    found = Calibration(pd.concat([good, bad, withheld]), {"SIM-0999": "no plausible patient"})
    assert found.miscalibrated == ("ln V",) and "NOT CALIBRATED: ln V" in found.sentence
    assert "200 of 250 simulated patients ranked, 2 quantities. 1 could not be computed." in found.sentence
    fine = Calibration(good)
    assert fine.miscalibrated == () and "All are calibrated" in fine.sentence and fine.knowledge.empty


def test_knowledge_ranges_are_counted_and_those_that_could_not_be_had_too():
    held = pd.DataFrame(
        {"covered_50": [1.0, 0.0, np.nan], "covered_80": [1.0, 1.0, np.nan], "covered_95": [1, 1, np.nan]}
    )
    about = {"quantity": "knowledge of P(T > 6 months)", "kind": "knowledge", "truth": 0.5}
    rows = pd.concat([rows_of([np.nan] * 3, **about), held], axis=1)
    table = Calibration(pd.concat([rows, rows_of([0.5])])).knowledge.set_index("level")
    assert (
        list(table["covered"]) == [0.5, 1.0, 1.0] and (table["patients"] == 2).all() and (table["no_range"] == 1).all()
    )
    assert table.loc[0.8, "low"] == pytest.approx(0.05**0.5) and table.loc[0.8, "high"] == 1.0


def with_knowledge(held, patients=100):
    """Uniform ranks beside a knowledge range that held the truth in this share of patients at each level."""
    name, ranks = "knowledge of P(T > 12 months)", rows_of((np.arange(patients) + 0.5) / patients)
    covered = {f"covered_{level}": np.arange(patients) < share * patients for level, share in held.items()}
    rows = rows_of([np.nan] * patients, quantity=name, kind="knowledge", truth=0.5, low_80=0.4, high_80=0.6)
    rows = rows.assign(**covered)
    return Calibration(pd.concat([ranks, rows]))


def test_ranges_that_are_points_hold_the_truth_at_every_level_and_are_no_coverage():
    """284 of 389 ranges of patients who had progressed were 0 to 0: counted in, 80 % ranges "held" 94 %."""
    about = {"quantity": "knowledge of P(T > 12 months)", "kind": "knowledge"}
    points = rows_of([np.nan] * 300, **about, truth=0.0, low_80=0.0, high_80=0.001).assign(
        **{f"covered_{level}": 1.0 for level in (50, 80, 95)}
    )
    points.loc[:1, "truth"] = 0.2
    ranges = with_knowledge({50: 0.46, 80: 0.83, 95: 0.93}).rows
    found = Calibration(pd.concat([ranges, points.assign(patient=lambda t: "P" + t["patient"])]))
    assert found.miscalibrated == () and list(found.knowledge["covered"]) == [0.46, 0.83, 0.93]
    assert "300 ranges are points; of 2 of them the truth lies 0.5 points or more away." in found.sentence


@pytest.mark.parametrize("held", [{50: 0.0, 80: 0.0, 95: 0.0}, {50: 0.5, 80: 0.6, 95: 0.95}, {50: 0.8, 80: 0.9, 95: 1}])
def test_knowledge_ranges_that_do_not_hold_what_they_say_are_not_calibrated(held):
    """Ranges that held nothing had been printed beside "All are calibrated"."""
    found = with_knowledge(held)
    assert found.miscalibrated == ("knowledge of P(T > 12 months)",)
    assert "NOT CALIBRATED: knowledge of P(T > 12 months)" in found.sentence
    assert f"80 % knowledge ranges held the true chance in {100 * held[80]:.0f} % (" in found.sentence


def test_knowledge_ranges_that_hold_are_said_to_and_those_not_had_are_counted():
    found = with_knowledge({50: 0.46, 80: 0.83, 95: 0.93})
    assert found.miscalibrated == () and "All are calibrated" in found.sentence
    assert found.sentence.endswith("80 % knowledge ranges held the true chance in 83 % (76 to 89) of 100 patients.")
    rows = found.rows.copy()
    rows.loc[(rows["kind"] == "knowledge") & (rows["patient"] < "SIM-0020"), "covered_80"] = np.nan
    assert Calibration(rows).sentence.endswith("of 80 patients. 20 knowledge ranges could not be had.")


@pytest.fixture(scope="module")
def censored(tmp_path_factory):
    """50 made-up draws of the model with censored labs and a hazard; the residual SD is far from its square root."""
    return censored_population(tmp_path_factory.mktemp("models") / "censored", draws=50, sigma=5.0)


def simulate(population, number):
    return simulated_with_truth(population, number, random_seed=2, population_draws=50, visits=4)


def test_a_truth_stands_in_the_twin_as_a_particle_of_the_same_values_does(censored):
    record, _ = simulate(censored, 1)
    assert {lab.censoring for k in range(1, 9) for lab in simulate(censored, k)[0].labs} == {"none", "left"}
    twin = start_twin(censored, record, random_seed=1, **SIZES)
    own = twin.particles
    true = true_twin(twin, Truth(np.asarray(own.psi[7]), int(own.draw[7]), 0)).particles
    for name in ("labs", "alive", "other", "log_class", "state"):
        np.testing.assert_allclose(getattr(true, name)[0], getattr(own, name)[7], rtol=1e-9, err_msg=name)


def test_the_proof_gives_no_rung_other_population_draws_than_the_truth_s(tmp_path, monkeypatch):
    """Twenty of 1,200 draws are too few here: the ladder would take eighty, where the truth's is another."""
    model = load_model(write_untreated_level_model(tmp_path / "level"))
    draws = {k: v for k, v in level_draws(1200, seed=1).items() if k in ("level_pop", "omega_level")}
    many = as_population(model, draws)
    record, truth = simulated_with_truth(many, 6, random_seed=3, population_draws=20, visits=5)
    seen, true = [], calibration.true_twin
    monkeypatch.setattr(calibration, "true_twin", lambda twin, truth: seen.append(twin) or true(twin, truth))
    sizes = {"particles": 800, "islands": 8, "population_draws": 20}
    calibration.calibration_rows(many, record, truth, random_seed=6, **sizes)
    typical = np.asarray(many.hyper_draws(20)[0].typical)
    np.testing.assert_array_equal(np.asarray(seen[0].population.typical), typical)
    assert many.thinned(20).size == 20 and many.thinned(1200) is many


def test_who_knows_the_population_draw_rests_on_that_draw_alone(censored):
    whole, _ = censored.hyper_draws(50)
    one, taken = population_of_draw(censored, 31, 50).hyper_draws(2)
    assert len(taken) == 2
    np.testing.assert_allclose(one.typical[0], whole.typical[31])
    np.testing.assert_allclose(one.sigma[1], whole.sigma[31])


def test_what_nuts_moves_on_is_the_mixture_over_population_draws(population, record):
    with jax.enable_x64(True):
        hyper, _ = population.hyper_draws(6)
        data = jax.tree.map(jnp.asarray, compile_record(population.model, record))
        pop = population_for(population.model, hyper, data.terms)
        at = np.array([19.0, 21.5])
        effect = float(pop.mean[0, 1])
        height = jax.jit(lambda psi: log_marginal(population.model, psi, data, hyper, pop, population.rho))
        found = [float(height(jnp.array([x, effect]))) for x in at]
    y = np.array([lab.value for lab in record.labs])
    prior = stats.norm.pdf(at, hyper.typical[:, :1], hyper.omega[:, :1])
    prior *= stats.norm.pdf(effect, hyper.typical[:, 1:2], hyper.omega[:, 1:2])
    expected = np.log(prior.sum(axis=0)) + stats.norm.logpdf(y[:, None], at, 1.5).sum(axis=0)
    assert np.diff(found) == pytest.approx(np.diff(expected), abs=1e-9)


@pytest.fixture(scope="module")
def simulated(censored):
    """Forty patients, simulated before anything is tampered with."""
    return [simulate(censored, k) for k in range(1, 41)]


def ranked(censored, simulated):
    rows = [
        row
        for k, (record, truth) in enumerate(simulated)
        for row in calibration_rows(censored, record, truth, random_seed=k, chances=False, **SIZES)
    ]
    return Calibration(pd.DataFrame(rows))


def anew():
    """Forget compiled likelihoods, so that one that was tampered with is traced."""
    target.evaluator.cache_clear()
    moves.sweep.cache_clear()


def weights_tampered_with(monkeypatch):
    whole = update._forward

    def shifted(*asked):
        twin, info = whole(*asked)
        weights = np.asarray(twin.particles.log_weights) + 0.5 * np.asarray(twin.particles.psi[:, 0])
        particles = twin.particles._replace(log_weights=jnp.asarray(update.normalised(weights, twin.islands)))
        return update.replace(twin, particles=particles), info

    monkeypatch.setattr(update, "_forward", shifted)


def sigma_taken_as_variance(monkeypatch):
    def wrong(model, k, prediction, value, censoring, sigma, **how):
        return residuals.log_likelihood_of(model, k, prediction, value, censoring, jnp.sqrt(sigma), **how)

    monkeypatch.setattr(likelihood, "log_likelihood_of", wrong)


def censoring_sign_turned(monkeypatch):
    def wrong(model, k, prediction, value, censoring, sigma, **how):
        turned = jnp.where(censoring == residuals.LEFT, residuals.RIGHT, censoring)
        return residuals.log_likelihood_of(model, k, prediction, value, turned, sigma, **how)

    monkeypatch.setattr(likelihood, "log_likelihood_of", wrong)


@pytest.mark.validate
def test_the_updates_of_a_sound_twin_are_calibrated(censored, simulated):
    found = ranked(censored, simulated)
    assert found.miscalibrated == (), found.summary
    assert set(found.summary["quantity"]) == {"level", "ln rate", "sigma_add_m_protein", "log-likelihood"}


@pytest.mark.validate
@pytest.mark.parametrize("sabotage", [weights_tampered_with, sigma_taken_as_variance, censoring_sign_turned])
def test_ranks_tell_of(sabotage, censored, simulated, monkeypatch):
    with monkeypatch.context() as patched:
        sabotage(patched)
        anew()
        found = ranked(censored, simulated)
    anew()
    assert found.miscalibrated, found.summary
    assert "NOT CALIBRATED" in found.sentence


@pytest.mark.validate
def test_long_nuts_agrees_with_the_from_scratch_reference(censored):
    for number in (1, 2):
        record, _ = simulate(censored, number)
        sizes = {"population_draws": 8, "reference_particles": 8000, "draws": 1000}
        rows = pd.DataFrame(nuts_rows(censored, record, random_seed=number, **sizes))
        assert (rows["verdict"] == "PASS").all() and (rows["rhat"] < 1.02).all() and (rows["nuts_ess"] > 400).all()
        assert (rows["z"].abs() < 4.5).all(), rows
