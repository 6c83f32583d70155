"""The move of residual errors and chances of classes without a solve, and where patients begin."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_part import patients as patients_with_every_part
from every_part import write_every_part
from jax.flatten_util import ravel_pytree
from two_modes import two_modes

from bayestwin.dynamics import Accuracy
from bayestwin.evaluation.verification.fit_calibration import simulated_cohort
from bayestwin.population.first_effects import searched_effects
from bayestwin.population.gibbs import PatientwiseHMC
from bayestwin.population.gibbs_density import Density
from bayestwin.population.gibbs_jump import no_mixture
from bayestwin.population.gibbs_observed import observed_move
from bayestwin.population.gibbs_state import Likelihood, Phase, Tuning, restarted, step_sizes
from bayestwin.population.joint import joint_of
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import unconstrained_medians
from bayestwin.population.whitening import blind
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.records.record import ClinicalEvent
from bayestwin.specification import load_model

REDUCED = Path(__file__).parents[1] / "benchmarks" / "reduced_myeloma"
OBSERVING = {"p_nonresponse_pop", "sigma_add_m_protein", "sigma_prop_m_protein", "sigma_log_involved_flc"}


def design(patients: int) -> Cohort:
    """Patients under the drug with four visits."""
    start = ClinicalEvent("line_of_therapy", 1.0, 1.0, "drug")
    visits = [(name, t) for t in (0.0, 28.0, 84.0, 200.0) for name in ("m_protein", "involved_flc")]
    labs = tuple(Lab(f"{name}@{t:g}", name, t, 1.0, t) for name, t in visits)
    return Cohort(tuple(PatientRecord(f"M-{n}", labs=labs, events=(start,)) for n in range(patients)))


@pytest.fixture(scope="module")
def reduced():
    """(joint of four patients of the reduced myeloma model, medians, effects)."""
    model = load_model(REDUCED)
    with jax.enable_x64(True):
        groups, _ = stack_cohort(model, simulated_cohort(model, design(4), 0, random_seed=4)[1])
        start = unconstrained_medians(model, groups, rho=0.0, centred=False)
        h = ravel_pytree({name: value for name, value in start.items() if name != "z"})[0]
        z = jax.random.normal(jax.random.key(1), (4, len(model.individual_names)))
        return joint_of(model, groups, rho=0.0, accuracy=Accuracy()), h, z


@pytest.mark.validate  # test_gibbs.py draws population and data from the prior for this move too
def test_what_is_observed_moves_alone_to_its_conditional_by_quadrature(reduced):
    """The chance of non-response and one residual SD, given psi: mean, SD and correlation of a grid of full solves."""
    joint, h, z = reduced
    with jax.enable_x64(True):
        places = joint.sites(jnp.arange(len(h)))
        at = np.array([int(places["p_nonresponse_pop"]), int(places["sigma_log_involved_flc"])])
        joint = joint._replace(observing=np.isin(np.arange(len(h)), at))
        at, density, h = np.flatnonzero(joint.observing), Density(joint), h / joint.prior_sd
        means, scale = density.individual(h)
        psi = means + z @ scale.T

        @jax.jit
        @jax.vmap
        def solved_at(x):
            moved = h.at[at].set(x)
            return density.log_prior(moved) + joint.likelihood(psi, joint.shared(moved * joint.prior_sd))[0].sum()

        axes = [np.linspace(h[k] - 5.0, h[k] + 12.0, 50) for k in at]  # steps of a third of a prior SD
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        log_p = np.concatenate([np.asarray(solved_at(part)) for part in np.split(grid, 5)])
        weight = np.exp(log_p - log_p.max())
        weight /= weight.sum()
        inside = weight.reshape(50, 50)[1:-1, 1:-1].sum()

        likelihood = Likelihood(*jax.jit(joint.likelihood)(psi, joint.shared(h * joint.prior_sd)))
        metric = jnp.asarray([[1.0, 0.0], [0.3, 1.5]])
        tuning = Tuning(
            blind(4, 10, 2),
            jnp.eye(18),
            jnp.eye(16),
            metric,
            step_sizes(4, 0.9),
            restarted(4, 0.9),
            no_mixture(1, 4, 10),
        )
        phase = Phase(*(jnp.asarray(False),) * 3, jnp.asarray(0.1))

        def step(carry, key):
            now, _, found = observed_move(density, 2, tuning, key, carry[0], z, carry[1], phase)
            return (now, likelihood._replace(value=density.given_solved(now, psi, likelihood.solved))), (now[at], found)

        run = jax.jit(jax.vmap(lambda key: jax.lax.scan(step, (h, likelihood), jax.random.split(key, 1100))[1]))
        x, found = run(jax.random.split(jax.random.key(3), 8))
    x, accepted = np.asarray(x)[:, 100:].reshape(-1, 2), float(np.asarray(found.accept).mean())
    assert inside > 1.0 - 1e-6  # the grid holds the conditional
    assert 0.3 < accepted < 0.97  # else the test could not tell an acceptance that is wrong
    mean = weight @ grid
    sd = np.sqrt(weight @ (grid - mean) ** 2)
    error = 1 / np.sqrt(1500)  # 8000 draws, of which a fifth count for certain
    assert np.abs((x.mean(axis=0) - mean) / sd).max() < 4 * error
    assert np.abs(x.std(axis=0) / sd - 1.0).max() < 4 * error


def given_what_was_solved(joint, h, z):
    """The likelihood at other residual errors and chances of classes, from what was solved and anew."""
    means, scale = joint.individual(h)
    psi, rng = means + z @ scale.T, np.random.default_rng(5)
    other = h + 0.4 * joint.observing * rng.standard_normal(len(h))
    solve = jax.jit(lambda h: joint.likelihood(psi, joint.shared(h))[::3])
    value, solved = solve(h)
    given = jax.jit(lambda h, solved: joint.given_solved(psi, joint.shared(h), solved))
    anew = given(other, solved)
    assert np.abs(np.asarray(anew - value)).min() > 1e-3
    assert np.asarray(anew) == pytest.approx(np.asarray(solve(other)[0]), rel=1e-10, abs=1e-9)
    assert np.asarray(given(h, solved)) == pytest.approx(np.asarray(value))


def test_the_likelihood_of_what_was_solved_is_the_likelihood_anew(tmp_path):
    """Under any residual errors and chances of classes, also where covariates, limits and serial errors act."""
    model = load_model(write_every_part(tmp_path / "every_part"))
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, patients_with_every_part())
        joint = joint_of(model, groups, rho=0.0, accuracy=Accuracy())
        rng = np.random.default_rng(5)
        h = 0.3 * rng.standard_normal(len(joint.acting))
        z = rng.standard_normal((len(order), len(model.individual_names)))
        given_what_was_solved(joint, jnp.asarray(h), jnp.asarray(z))


@pytest.mark.validate
def test_so_it_is_where_equations_are_solved_step_by_step(reduced):
    with jax.enable_x64(True):
        given_what_was_solved(*reduced)


def observing(joint):
    """The sites that the move without a solve moves, of 20 coordinates."""
    return {name for name, at in joint.sites(jnp.arange(20)).items() if joint.observing[int(at)]}


def test_a_chance_that_the_equations_read_is_left_to_the_move_that_solves(tmp_path):
    text = (REDUCED / "model.py").read_text().replace("- p.kS * u.on", "- p.kS * (1.0 - 0.1 * p.p_nonresponse) * u.on")
    (tmp_path / "read").mkdir()
    (tmp_path / "read" / "model.py").write_text(text)
    model = load_model(tmp_path / "read")
    with jax.enable_x64(True):
        groups, _ = stack_cohort(model, design(2))
        joint = joint_of(model, groups, rho=0.0, accuracy=Accuracy())
        at = int(joint.sites(jnp.arange(20))["p_nonresponse_pop"])
        assert observing(joint) == OBSERVING - {"p_nonresponse_pop"}
        assert observing(joint_of(load_model(REDUCED), groups, rho=0.0, accuracy=Accuracy())) == OBSERVING
    assert joint.acting[at] and not joint.observing[at]


def test_patients_begin_in_the_mode_that_is_likeliest():
    heights = jnp.asarray([[0.0, 30.0], [30.0, 0.0]])
    with jax.enable_x64(True):
        joint, chains = two_modes(heights), 8
        start = {"h": jnp.zeros((chains, 1)), "z": 0.1 * jax.random.normal(jax.random.key(0), (chains, 2, 1))}
        z = np.asarray(searched_effects(joint, start, jax.random.key(1))["z"])[..., 0]
        state = PatientwiseHMC(joint).init(jax.random.split(jax.random.key(2), chains), 0, start, (), {})
    assert state.h.shape == (chains, 1)
    assert (np.abs(z[:, 0] - 3.0) < 0.3).all() and (np.abs(z[:, 1] + 1.0) < 0.3).all()
