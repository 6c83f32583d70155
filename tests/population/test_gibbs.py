"""HMC within Gibbs: what it targets, that it stays there, and that it arrives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from every_part import patients as patients_with_every_part
from every_part import write_every_part
from jax.flatten_util import ravel_pytree

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError
from bayestwin.population import fit_population
from bayestwin.population.gibbs import PatientwiseHMC
from bayestwin.population.gibbs_jump import Mixture
from bayestwin.population.gibbs_state import Tuning, restarted, step_sizes
from bayestwin.population.joint import Joint, joint_of
from bayestwin.population.program import population_program
from bayestwin.population.sampling import in_blocks
from bayestwin.population.saved_run import SavedRun
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import starts_like, unconstrained_medians
from bayestwin.population.whitening import LONGER, View, noted, reaching, root_of, viewed
from bayestwin.specification import load_model

PATIENTS, LABS, D = 3, 2, 2
CORRELATED = np.array([[1.0, 0.0], [0.6, 0.8]])
ACTING = np.array([False, False, False, False, True, True])
SPREADS = np.array([False, False, True, True, False, False])
PRIOR_SD = np.array([1.0, 2.0, 0.4, 0.3, 0.3, 0.7])


def normal_joint(y):
    """y_ij ~ Normal(psi_i + shift, sigma), psi_i ~ Normal(theta, omega); h: theta, ln omega, ln sigma, shift."""

    def given(predicted, shared, mine):
        return -0.5 * (((mine - predicted) / jnp.exp(shared[0])) ** 2).sum() - LABS * D * shared[0]

    def one(psi, shared, mine):
        return given(psi + shared[1], shared, mine), psi + shared[1]

    def likelihood(psi, shared):
        both = jax.value_and_grad(one, (0, 1), has_aux=True)
        (value, predicted), slopes = jax.vmap(both, (0, None, 0))(psi, shared, y)
        return value, *slopes, predicted

    return Joint(
        log_prior=lambda h: -0.5 * ((h / PRIOR_SD) ** 2).sum(),
        individual=lambda h: (jnp.broadcast_to(h[:2], (PATIENTS, D)), jnp.exp(h[2:4])[:, None] * CORRELATED),
        shared=lambda h: h[4:],
        likelihood=likelihood,
        given_solved=lambda psi, shared, solved: jax.vmap(given, (0, None, 0))(solved, shared, y),
        acting=ACTING,
        observing=np.arange(6) == 4,
        prior_sd=PRIOR_SD,
        sites=lambda h: {"h": h},
        spreads=SPREADS,
        prior_median=np.full(6, 2.0),  # SDs lie where the coordinates are nearly straight (reflection.py)
    )


def wrong_view():
    """A view that no data gave, and metrics to go with it: what steers must not matter."""
    rng = np.random.default_rng(3)
    root = rng.standard_normal((PATIENTS, D, D))
    offset, slope = rng.standard_normal((PATIENTS, D)), 0.5 * rng.standard_normal((PATIENTS, D, 1))
    view = View(jnp.asarray(root @ root.swapaxes(1, 2)), jnp.asarray(offset), jnp.asarray(slope))
    metrics = [jnp.asarray(np.eye(n) + 0.2 * np.tril(rng.standard_normal((n, n)), -1)) for n in (5, 4, 1)]
    lower = jnp.asarray(0.6 * np.eye(D) + 0.3 * np.tril(rng.standard_normal((2, PATIENTS, D, D)), -1))
    mean = jnp.asarray(0.7 + 0.7 * rng.standard_normal(lower.shape[:3]))
    mixture = Mixture(jnp.asarray(True), mean, lower, jnp.linalg.inv(lower))
    return Tuning(view, *metrics, step_sizes(PATIENTS, 0.12), restarted(PATIENTS, 0.12), mixture)


def test_a_population_and_its_data_drawn_from_the_prior_stay_distributed_so_after_sweeps():
    """Exact draws of (h, z, labs), then sweeps given those labs: h and z must have their prior back (Geweke 2004)."""
    sweeps, replicates = 8, 6000

    def one(key):
        keys = jax.random.split(key, 4)
        h, z = jax.random.normal(keys[0], (6,)), jax.random.normal(keys[1], (PATIENTS, D))
        natural = h * PRIOR_SD
        psi = natural[:2] + z @ (jnp.exp(natural[2:4])[:, None] * CORRELATED).T
        noise = jnp.exp(natural[4]) * jax.random.normal(keys[2], (PATIENTS, LABS, D))
        kernel = PatientwiseHMC(normal_joint(psi[:, None] + natural[5] + noise))
        state = kernel.init(keys[3], 0, {"h": natural, "z": z}, (), {})
        # a sweep begins from what is known of the labs there
        likelihood = kernel.density.point(tuning.view, h, kernel.density.v(tuning.view, h, z)).likelihood
        state = state._replace(tuning=tuning, likelihood=likelihood)
        state = jax.lax.fori_loop(0, sweeps, lambda _, s: kernel.sample(s, (), {}), state)
        return jnp.concatenate([state.h, state.z["z"].ravel()]), state.accept_prob

    with jax.enable_x64(True):
        tuning = wrong_view()
        found, accepted = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), replicates))
    found, accepted = np.asarray(found), np.asarray(accepted)
    assert 0.4 < accepted.mean() < 0.99
    error = 1 / np.sqrt(replicates)
    assert np.abs(found.mean(axis=0)).max() < 4.5 * error
    assert np.abs((found**2).mean(axis=0) - 1.0).max() < 4.5 * np.sqrt(2) * error
    crossed = found.T @ found / replicates - np.diag((found**2).mean(axis=0))
    assert np.abs(crossed).max() < 4.8 * error


def test_the_first_state_has_the_types_of_all_later_ones():
    """Else the sweeps of a fit are compiled twice: half a minute for theophylline."""
    with jax.enable_x64(True):
        kernel = PatientwiseHMC(normal_joint(jnp.ones((PATIENTS, LABS, D))))
        start = {"h": jnp.zeros((2, 6)), "z": jnp.zeros((2, PATIENTS, D))}
        first = kernel.init(jax.random.split(jax.random.key(1), 2), 10, start, (), {})
        later = jax.eval_shape(lambda state: kernel.sample(state, (), {}), first)
        first = jax.eval_shape(lambda state: state, first)
    kinds = [[(a.shape, a.dtype, a.weak_type) for a in jax.tree.leaves(state)] for state in (first, later)]
    assert kinds[0] == kinds[1]


@pytest.mark.validate  # the fast tests before and after it are of the same kernel, as a fit runs it
def test_the_kernel_runs_under_numpyros_mcmc_and_finds_the_closed_form():
    """theta and a shift that acts on the labs, everything normal: mean and covariance are known."""
    from numpyro.infer import MCMC

    rng = np.random.default_rng(1)
    y = 1.0 + rng.standard_normal((PATIENTS, LABS, D))
    fixed = normal_joint(jnp.asarray(y))
    joint = fixed._replace(  # omega 1, sigma 1: h = theta (2), shift
        log_prior=lambda h: -0.5 * ((h / PRIOR_SD[[0, 1, 5]]) ** 2).sum(),
        individual=lambda h: (jnp.broadcast_to(h[:2], (PATIENTS, D)), jnp.asarray(CORRELATED)),
        shared=lambda h: jnp.stack([0.0 * h[2], h[2]]),
        acting=np.array([False, False, True]),
        observing=np.zeros(3, dtype=bool),
        prior_sd=PRIOR_SD[[0, 1, 5]],
        spreads=np.zeros(3, dtype=bool),
    )
    with jax.enable_x64(True):
        start = {"h": jnp.zeros((2, 3)), "z": jnp.zeros((2, PATIENTS, D))}
        sampler = MCMC(
            PatientwiseHMC(joint),
            num_warmup=200,
            num_samples=1500,
            num_chains=2,
            chain_method="vectorized",
            progress_bar=False,
        )
        sampler.run(jax.random.key(1), init_params=start, extra_fields=("accept_prob", "energy"))
        found = np.asarray(sampler.get_samples()["h"])
    assert not np.asarray(sampler.get_extra_fields()["diverging"]).any()
    design = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])  # of a patient's mean lab
    noise = np.linalg.inv(CORRELATED @ CORRELATED.T + np.eye(D) / LABS)
    precision = np.diag(1 / PRIOR_SD[[0, 1, 5]] ** 2) + PATIENTS * design.T @ noise @ design
    mean = np.linalg.solve(precision, design.T @ noise @ y.mean(axis=1).sum(axis=0))
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    assert np.abs((found.mean(axis=0) - mean) / sd).max() < 0.1  # 3000 draws, about independent
    assert found.std(axis=0) == pytest.approx(sd, rel=0.1)
    assert np.cov(found.T) == pytest.approx(np.linalg.inv(precision), abs=0.1 * sd.max() ** 2)


@pytest.mark.validate
def test_the_joint_is_the_density_of_the_program_and_only_acting_coordinates_act(tmp_path):
    from numpyro.infer.util import potential_energy

    model = load_model(write_every_part(tmp_path / "every_part"))
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, patients_with_every_part())
        joint = joint_of(model, groups, rho=0.0, accuracy=Accuracy())
        size, shape = len(joint.acting), (len(order), len(model.individual_names))

        @jax.jit
        @jax.vmap
        def both(h, z):
            means, scale = joint.individual(h)
            value, _, by_shared, _ = joint.likelihood(means + z @ scale.T, joint.shared(h))
            _, back = jax.vjp(joint.shared, h)
            normal = -0.5 * (z**2).sum() - 0.5 * z.size * jnp.log(2 * jnp.pi)
            whole = joint.log_prior(h) + normal + value.sum()
            program = lambda: population_program(model, groups, rho=0.0)  # noqa: E731
            return whole, -potential_energy(program, (), {}, joint.sites(h) | {"z": z}), back(by_shared.sum(0))[0]

        rng = np.random.default_rng(5)
        ours, theirs, slopes = both(0.3 * rng.standard_normal((4, size)), rng.standard_normal((4, *shape)))
    assert np.isfinite(ours).all() and np.asarray(ours) == pytest.approx(np.asarray(theirs), abs=1e-9, rel=1e-12)
    assert (np.asarray(slopes)[:, ~joint.acting] == 0).all()
    places = joint.sites(np.arange(size))
    assert joint.acting[int(places["rate_pop"])] and joint.acting[int(places["sigma_log_relative"])]
    assert not joint.acting[int(places["level_pop"])] and not joint.acting[int(places["omega_level"])]


def test_a_view_and_a_metric_of_slopes_that_are_linear_are_exact():
    rng = np.random.default_rng(2)
    scales = np.array([1.0, 1e-2, 50.0])
    root = (np.eye(3) + 0.3 * rng.standard_normal((3, 3))) / scales
    curvature, mode = root.T @ root, rng.standard_normal(3) * scales
    points = rng.standard_normal((40, 3)) * scales
    with jax.enable_x64(True):
        sums = None
        for x, begin in zip(points[1:], points):
            at = [(jnp.asarray(p), jnp.asarray(curvature @ (mode - p))) for p in (x, begin)]
            one = noted(*at[0], at[1], jnp.ones(()))
            sums = one if sums is None else jax.tree.map(jnp.add, sums, one)
        metric = np.asarray(root_of(sums, 1e-12))
        one_patient = jax.tree.map(lambda a: a[None], sums)
        view = jax.tree.map(np.asarray, viewed(one_patient, jax.tree.map(jnp.zeros_like, one_patient), 0))
    assert metric @ metric.T @ curvature == pytest.approx(np.eye(3), abs=1e-5)
    assert np.asarray(view.curvature[0]) == pytest.approx(
        curvature, rel=5e-3, abs=1e-3 / np.outer(scales, scales).max()
    )
    assert np.linalg.solve(np.asarray(view.curvature[0]), np.asarray(view.offset[0])) == pytest.approx(mode, rel=0.02)


def test_axes_of_a_metric_are_longer_where_draws_lie_further_apart_and_never_shorter():
    rng = np.random.default_rng(4)
    root = rng.standard_normal((4, 4))
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    further = np.array([0.01, 1.0, 16.0, 1e6])  # of the variance that the metric has
    covariance = root @ (turn * further) @ turn.T @ root.T
    with jax.enable_x64(True):
        found = np.asarray(reaching(jnp.asarray(root), jnp.asarray(covariance)))
        same = np.asarray(reaching(jnp.asarray(root), jnp.zeros((4, 4))))
    expected = root @ (turn * np.array([1.0, 1.0, 4.0, LONGER**2])) @ turn.T @ root.T
    np.testing.assert_allclose(found @ found.T, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(same @ same.T, root @ root.T, rtol=1e-12)


@pytest.fixture(scope="module")
def fitted_and_again(untreated_level, four_patients, tmp_path_factory):
    """(a fit that keeps its run, the same call once more, what it reported, settings)."""
    work, seen = tmp_path_factory.mktemp("work"), []
    common = {"random_seed": 1, "method": "gibbs", "chains": 2, "warmup": 125, "draws": 700, "work": work}
    fitted = fit_population(untreated_level, four_patients, **common)
    again = fit_population(untreated_level, four_patients, progress=lambda done, *_: seen.append(done), **common)
    return fitted, again, seen, common


def test_it_finds_the_posterior_of_quadrature(fitted_and_again, exact_means):
    fitted = fitted_and_again[0]
    level, omega = exact_means
    assert fitted.attributes["method"] == "gibbs" and fitted.diagnostics.divergences == 0
    assert float(fitted.posterior["level_pop"].mean()) == pytest.approx(level, abs=0.15)
    assert float(fitted.posterior["omega_level"].mean()) == pytest.approx(omega, abs=0.2)
    psi = fitted.tree["individuals"]["psi"].sel(parameter="level").mean(("chain", "draw"))
    assert psi.values == pytest.approx([17.2, 19.1, 20.9, 22.8], abs=0.3)


def test_a_finished_run_is_read_back_and_not_repeated(fitted_and_again):
    fitted, again, seen, _ = fitted_and_again
    assert seen == [0]
    assert np.array_equal(fitted.posterior["level_pop"], again.posterior["level_pop"]) and fitted.hash == again.hash


def test_a_folder_of_another_run_is_refused(fitted_and_again, untreated_level, four_patients):
    common = fitted_and_again[3]
    with pytest.raises(
        FitError, match="folder acceptance-0.8, seed: the folder holds another run.*found 1.*expected 2"
    ):
        fit_population(untreated_level, four_patients, **common | {"random_seed": 2})


def test_a_warm_start_begins_at_draws_of_the_earlier_posterior(fitted_and_again, untreated_level, four_patients):
    fitted = fitted_and_again[0]
    with jax.enable_x64(True):
        groups, order = stack_cohort(untreated_level, four_patients)
        medians = unconstrained_medians(untreated_level, groups, rho=0.0, centred=False)
        cold = jax.tree.map(lambda a: jnp.stack([a, a]), medians)
        warm = starts_like(fitted, untreated_level, order, groups, cold, rho=0.0, centred=False)
        means, scale = jax.vmap(joint_of(untreated_level, groups, rho=0.0, accuracy=Accuracy()).individual)(
            jnp.stack([ravel_pytree(jax.tree.map(lambda a, c=c: a[c], warm | {"z": {}}))[0] for c in range(2)])
        )
        psi = np.asarray(means + warm["z"] @ jnp.swapaxes(scale, -1, -2))
    taken = fitted.posterior.stack(sample=("chain", "draw")).isel(sample=[0, 700])
    assert np.asarray(warm["level_pop"]) == pytest.approx(taken["level_pop"].values)
    assert np.exp(np.asarray(warm["omega_level"])) == pytest.approx(taken["omega_level"].values)
    for i, record in enumerate(order):
        assert psi[:, i] == pytest.approx(fitted.individual_draws(record)[[0, 700]])


class Walk(NamedTuple):
    """State of a random walk that stands for a kernel."""

    z: dict
    diverging: jax.Array
    energy: jax.Array
    num_steps: jax.Array
    accept_prob: jax.Array
    potential_energy: jax.Array
    key: jax.Array

    def stepped(self):
        """One step."""
        keys = jax.random.split(self.key)
        return self._replace(z={"x": self.z["x"] + jax.random.normal(keys[1], (2,))}, key=keys[0])


def test_a_killed_run_goes_on_from_its_last_block_and_ends_in_the_same_draws(tmp_path):
    still = jnp.zeros(2)
    begin = Walk({"x": still}, still, still, still, still, still, jax.random.key(3))

    def program():
        numpyro.sample("x", numpyro.distributions.Normal(0.0, 1.0))

    def sampled(folder, kill_at=None):
        seen = []

        def progress(done, total, message):
            seen.append(done)
            if done == kill_at:
                raise KeyboardInterrupt

        saved = SavedRun(folder, {"seed": 3})
        drawn = in_blocks(
            Walk.stepped, lambda: begin, program, chains=2, warmup=50, draws=100, saved=saved, progress=progress
        )
        return drawn.samples["x"], seen

    whole, _ = sampled(tmp_path / "whole")
    for kill_at in (25, 75, 125):
        with pytest.raises(KeyboardInterrupt):
            sampled(tmp_path / "killed", kill_at)
    resumed, seen = sampled(tmp_path / "killed")
    assert seen == [0, 150] and np.array_equal(whole, resumed) and whole.shape == (2, 100)


def test_settings_of_another_method_and_methods_that_do_not_exist_are_refused(untreated_level, four_patients):
    with pytest.raises(FitError, match="no such method.*'gips'.*nuts or gibbs or approximate"):
        fit_population(untreated_level, four_patients, random_seed=1, method="gips")
    with pytest.raises(FitError, match="method 'gibbs' has no setting 'centred'.*method='nuts'"):
        fit_population(untreated_level, four_patients, random_seed=1, method="gibbs", centred=True)
