"""HMC within Gibbs: what it targets, that it stays there, and that it arrives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_part import patients as patients_with_every_part
from every_part import write_every_part

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError
from bayestwin.population import fit_population
from bayestwin.population.fit import stack_cohort
from bayestwin.population.gibbs import PatientwiseHMC, Tuning, restarted, step_sizes
from bayestwin.population.joint import Joint, joint_of
from bayestwin.population.program import population_program
from bayestwin.population.whitening import View, noted, placed, root_of, viewed
from bayestwin.specification import load_model

PATIENTS, LABS, D = 3, 2, 2
CORRELATED = np.array([[1.0, 0.0], [0.6, 0.8]])
ACTING = np.array([False, False, False, False, True, True])
PRIOR_SD = np.array([1.0, 2.0, 0.4, 0.3, 0.3, 0.7])


def normal_joint(y):
    """y_ij ~ Normal(psi_i + shift, sigma), psi_i ~ Normal(theta, omega); h: theta, ln omega, ln sigma, shift."""

    def one(psi, shared, mine):
        return -0.5 * (((mine - psi - shared[1]) / jnp.exp(shared[0])) ** 2).sum() - LABS * D * shared[0]

    def likelihood(psi, shared):
        value, slopes = jax.vmap(jax.value_and_grad(one, (0, 1)), (0, None, 0))(psi, shared, y)
        return value, *slopes

    return Joint(
        log_prior=lambda h: -0.5 * ((h / PRIOR_SD) ** 2).sum(),
        individual=lambda h: (jnp.broadcast_to(h[:2], (PATIENTS, D)), jnp.exp(h[2:4])[:, None] * CORRELATED),
        shared=lambda h: h[4:],
        likelihood=likelihood,
        acting=ACTING,
        prior_sd=PRIOR_SD,
        sites=lambda h: {"h": h},
    )


def wrong_view():
    """A view that no data gave, and metrics to go with it: what steers must not matter."""
    rng = np.random.default_rng(3)
    root = rng.standard_normal((PATIENTS, D, D))
    offset, slope = rng.standard_normal((PATIENTS, D)), 0.5 * rng.standard_normal((PATIENTS, D, 2))
    view = View(jnp.asarray(root @ root.swapaxes(1, 2)), jnp.asarray(offset), jnp.asarray(slope))
    population, centred = (np.eye(n) + 0.2 * np.tril(rng.standard_normal((n, n)), -1) for n in (6, 4))
    return Tuning(
        view, jnp.asarray(population), jnp.asarray(centred), step_sizes(PATIENTS, 0.12), restarted(PATIENTS, 0.12)
    )


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
        likelihood = kernel._point(
            tuning.view, h, placed(tuning.view, *kernel.joint.individual(natural), h[4:]).v(z)
        ).likelihood
        state = state._replace(tuning=tuning, likelihood=likelihood)
        state = jax.lax.fori_loop(0, sweeps, lambda _, s: kernel.sample(s, (), {}), state)
        return jnp.concatenate([state.h, state.z["z"].ravel()]), state.accept_prob

    with jax.enable_x64(True):
        tuning = wrong_view()
        found, accepted = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), replicates))
    found = np.asarray(found)
    assert 0.4 < accepted.mean() < 0.99
    error = 1 / np.sqrt(replicates)
    assert np.abs(found.mean(axis=0)).max() < 4.5 * error
    assert np.abs((found**2).mean(axis=0) - 1.0).max() < 4.5 * np.sqrt(2) * error
    crossed = found.T @ found / replicates - np.diag((found**2).mean(axis=0))
    assert np.abs(crossed).max() < 4.8 * error


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
        prior_sd=PRIOR_SD[[0, 1, 5]],
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
            value, _, by_shared = joint.likelihood(means + z @ scale.T, joint.shared(h))
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
        metric = root_of(sums, 1e-12)
        one_patient = jax.tree.map(lambda a: a[None], sums)
        view = viewed(one_patient, 3, 0)
    assert np.asarray(metric @ metric.T @ curvature) == pytest.approx(np.eye(3), abs=1e-5)
    assert np.asarray(view.curvature[0]) == pytest.approx(
        curvature, rel=5e-3, abs=1e-3 / np.outer(scales, scales).max()
    )
    assert np.linalg.solve(np.asarray(view.curvature[0]), np.asarray(view.offset[0])) == pytest.approx(mode, rel=0.02)


@pytest.fixture(scope="module")
def killed_and_resumed(level_model, four_patients, tmp_path_factory):
    """(whole, resumed, iterations of the second call): the same fit without and with a kill after 150 iterations."""
    work, seen = tmp_path_factory.mktemp("work"), []

    def stop_at_150(done, total, message):
        if done == 150:
            raise KeyboardInterrupt

    common = {"random_seed": 1, "method": "gibbs", "chains": 2, "warmup": 125, "draws": 700}
    with pytest.raises(KeyboardInterrupt):
        fit_population(level_model, four_patients, work=work, progress=stop_at_150, **common)
    resumed = fit_population(
        level_model, four_patients, work=work, progress=lambda done, *_: seen.append(done), **common
    )
    return fit_population(level_model, four_patients, **common), resumed, seen, (work, common)


def test_it_finds_the_posterior_of_quadrature(killed_and_resumed, exact_means):
    fitted = killed_and_resumed[0]
    level, omega = exact_means
    assert fitted.attributes["method"] == "gibbs" and fitted.diagnostics.divergences == 0
    assert float(fitted.posterior["level_pop"].mean()) == pytest.approx(level, abs=0.15)
    assert float(fitted.posterior["omega_level"].mean()) == pytest.approx(omega, abs=0.2)
    psi = fitted.tree["individuals"]["psi"].sel(parameter="level").mean(("chain", "draw"))
    assert psi.values == pytest.approx([17.2, 19.1, 20.9, 22.8], abs=0.3)


def test_a_killed_fit_goes_on_and_ends_in_the_same_draws(killed_and_resumed):
    whole, resumed, seen, _ = killed_and_resumed
    assert seen[0] == 0 and seen[1] == 175  # 150 iterations are not repeated
    assert np.array_equal(whole.posterior["level_pop"], resumed.posterior["level_pop"]) and whole.hash == resumed.hash


def test_a_folder_of_another_run_is_refused(killed_and_resumed, level_model, four_patients):
    work, common = killed_and_resumed[3]
    with pytest.raises(
        FitError, match="folder acceptance-0.8, seed: the folder holds another run.*found 1.*expected 2"
    ):
        fit_population(level_model, four_patients, work=work, **common | {"random_seed": 2})


def test_settings_of_another_method_and_methods_that_do_not_exist_are_refused(level_model, four_patients):
    with pytest.raises(FitError, match="no such method.*'gips'.*nuts or gibbs or approximate"):
        fit_population(level_model, four_patients, random_seed=1, method="gips")
    with pytest.raises(FitError, match="method 'gibbs' has no setting 'centred'.*method='nuts'"):
        fit_population(level_model, four_patients, random_seed=1, method="gibbs", centred=True)
