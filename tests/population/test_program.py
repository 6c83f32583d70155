"""The NumPyro program is the model file: priors, assembly, and two parameterisations of one density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayestwin.individual import log_prior, prior_mean
from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.population.program import population_program
from bayestwin.population.stacks import stack_cohort
from bayestwin.specification import HalfNormal, LogitNormal, LogNormal, load_model

PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)


def quantiles_of(prior):
    """Quantiles as scipy computes them from the numbers of the model file."""
    if isinstance(prior, LogNormal):
        return stats.lognorm.ppf(PROBABILITIES, prior.sd_log, scale=prior.median)
    if isinstance(prior, LogitNormal):
        centre = np.log(prior.median / (1 - prior.median))
        return 1 / (1 + np.exp(-stats.norm.ppf(PROBABILITIES, centre, prior.sd_logit)))
    if isinstance(prior, HalfNormal):
        return stats.halfnorm.ppf(PROBABILITIES, scale=prior.sd)
    return stats.norm.ppf(PROBABILITIES, prior.mean, prior.sd)


@pytest.mark.parametrize("name", ["theophylline", "myeloma_car_t"])
def test_every_prior_of_the_program_is_the_one_in_the_model_file(name):
    from numpyro.handlers import seed, trace

    model, n = load_model(name), 20_000
    sites = hyper_sites(model)
    with jax.enable_x64(True):
        found = trace(seed(population_program, jax.random.key(0))).get_trace(model, [], rho=0.0)
        assert set(sites) <= set(found) and len(sites) > 8
        # each site's own distribution: a program that draws all of them takes half a minute to compile
        drawn = {site: found[site]["fn"].sample(jax.random.key(k), (n,)) for k, site in enumerate(sites)}
    for site, prior in sites.items():
        below = [(np.asarray(drawn[site]) < q).mean() for q in quantiles_of(prior)]
        assert below == pytest.approx(PROBABILITIES, abs=4.5 * 0.5 / np.sqrt(n)), site


def test_hyper_draws_put_every_number_in_its_place():
    model, rng = load_model("theophylline"), np.random.default_rng(1)
    natural = {name: rng.uniform(0.2, 0.8, 3) for name in hyper_sites(model)}
    lower = np.linalg.cholesky(np.array([[1, 0.2, -0.1], [0.2, 1, 0.5], [-0.1, 0.5, 1]]))
    natural["correlation_cholesky"] = np.tile(lower, (3, 1, 1))
    with jax.enable_x64(True):
        hyper = assemble(model, {k: jnp.asarray(v) for k, v in natural.items()}, 0.0)
    assert np.exp(hyper.typical) == pytest.approx(np.stack([natural[f"{p}_pop"] for p in ("ka", "CL", "V")], -1))
    assert np.asarray(hyper.omega) == pytest.approx(np.stack([natural[f"omega_{p}"] for p in ("ka", "CL", "V")], -1))
    assert np.asarray(hyper.effects[:, 0]) == pytest.approx(natural["beta_CL_weight_kg"])
    assert np.asarray(hyper.sigma[:, 0]) == pytest.approx(natural["sigma_add_concentration"])
    assert np.asarray(hyper.correlation[0, 1, 2]) == pytest.approx(0.5)


def test_evenly_spaced_draws_come_from_every_chain(made_population):
    hyper, taken = made_population.hyper_draws(10)
    assert taken.tolist() == list(range(0, 100, 10))
    everything, _ = made_population.hyper_draws()
    assert np.asarray(hyper.typical) == pytest.approx(np.asarray(everything.typical)[taken])
    flat = made_population.posterior["level_pop"].values.reshape(-1)
    assert np.asarray(hyper.typical[:, 0]) == pytest.approx(flat[taken])


def test_centred_and_non_centred_are_one_density(level_model, four_patients):
    from numpyro.infer.util import log_density

    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        groups, order = stack_cohort(level_model, four_patients)
        natural = {"level_pop": 20.3, "effect_pop": 7.5, "no_effect_pop": 0.05, "p_none_pop": 0.28, "omega_level": 1.7}
        terms = jnp.asarray(groups[0].terms)

        @jax.jit
        def found(natural, z):
            hyper = assemble(level_model, natural, 0.0)
            scale = hyper.omega[:, None] * jnp.linalg.cholesky(hyper.correlation)
            psi = prior_mean(level_model, hyper, terms[0]) + z @ scale.T
            densities = [
                log_density(
                    lambda c=centred: population_program(level_model, groups, rho=0.0, centred=c), (), {}, natural | own
                )[0]
                for centred, own in ((True, {"psi": psi}), (False, {"z": z}))
            ]
            priors = sum(log_prior(level_model, psi[n], hyper, terms[n]) for n in range(4))
            return densities, 4 * jnp.log(jnp.diag(scale)).sum(), priors

        z = jnp.asarray(rng.standard_normal((4, 2)))
        densities, log_det, priors = found({k: jnp.asarray(v) for k, v in natural.items()}, z)
    assert len(order) == 4
    assert float(densities[0]) == pytest.approx(float(densities[1] - log_det), abs=1e-9)
    assert float(priors) == pytest.approx(stats.norm.logpdf(z).sum() - float(log_det), abs=1e-9)
