"""A regularised horseshoe over markers: its slopes, its prior, what a fit keeps of it, and which markers are found."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import potential_energy

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError, ModelError
from bayestwin.evaluation.selected_markers import selected_markers
from bayestwin.population.hyper import assemble, hyper_sites, vector_sites
from bayestwin.population.joint import joint_of
from bayestwin.population.prior import prior_population
from bayestwin.population.program import population_program
from bayestwin.population.result import population_samples, posterior_from
from bayestwin.population.sampling import Draws
from bayestwin.population.stacks import stack_cohort
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import Fixed, Horseshoe, Normal, Slope, load_model
from bayestwin.specification.other_priors import with_priors

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))

MODEL = Path(__file__).parents[1] / "validation" / "marker_model"
MARKERS = [f"marker_{k}" for k in range(1, 5)]


@pytest.fixture(scope="module")
def model():
    """A level with four markers."""
    whole = load_model(MODEL)
    prior = Horseshoe(expected_nonzero=1, patients=60)
    level = whole.parameters[0]
    effects = tuple(replace(e, slope=prior) for e in level.covariates[:4])
    return replace(whole, parameters=(replace(level, covariates=effects),), source_hash="")


def natural(rng, shape, slopes=4):
    """Values of every site."""
    found = {"level_pop": rng.normal(20.0, 1.0, shape), "omega_level": rng.uniform(1.0, 3.0, shape)}
    found |= {"sigma_add_m_protein": np.ones(shape), "markers_global": 0.1 * rng.uniform(0.5, 2.0, shape)}
    found |= {"markers_slab": rng.uniform(0.5, 2.0, shape)}
    found |= {
        "markers_local": np.abs(rng.standard_cauchy((*shape, slopes))),
        "markers_raw": rng.normal(size=(*shape, slopes)),
    }
    return found


def test_slopes_are_what_the_paper_says_and_never_beyond_the_slab(model):
    values = natural(np.random.default_rng(1), (2, 500))
    with jax.enable_x64(True):
        effects = np.asarray(assemble(model, {k: jnp.asarray(v) for k, v in values.items()}, 0.0).effects)
    tau, c2 = values["markers_global"][..., None], values["markers_slab"][..., None]
    local2 = c2 * values["markers_local"] ** 2 / (c2 + tau**2 * values["markers_local"] ** 2)
    expected = values["omega_level"][..., None] * tau * np.sqrt(local2) * values["markers_raw"]
    np.testing.assert_allclose(effects, expected, rtol=1e-10)
    ceiling = values["omega_level"][..., None] * np.sqrt(c2) * np.abs(values["markers_raw"])
    assert (np.abs(effects) <= ceiling * (1 + 1e-12)).all()


def test_the_global_scale_expects_as_many_slopes_away_from_0_as_were_said():
    one = Horseshoe(expected_nonzero=3, patients=60)
    shrunk = one.global_scale(50) * np.sqrt(
        60.0
    )  # E(1 - kappa) = a / (1 + a) at tau = tau_0, Piironen and Vehtari (3.12)
    assert 50 * shrunk / (1.0 + shrunk) == pytest.approx(3.0)


def test_draws_of_the_prior_hold_slopes_that_a_twin_can_use(model):
    population = prior_population(model, draws=50, random_seed=1)
    hyper, _ = population.hyper_draws()
    assert hyper.effects.shape == (50, 4) and np.isfinite(hyper.effects).all() and np.ptp(hyper.effects) > 0
    assert not set(vector_sites(model)) & set(population.posterior.data_vars)
    assert {"markers_global", "markers_slab", "beta_level_marker_1"} <= set(population.posterior.data_vars)


def test_a_fit_keeps_the_slopes_and_finds_the_markers_that_act(model):
    rng = np.random.default_rng(2)
    values = natural(rng, (2, 400))
    values["markers_local"][..., 1], values["markers_raw"][..., 1] = 50.0, rng.normal(1.0, 0.1, (2, 400))
    values["markers_local"][..., [0, 2, 3]] = 0.5
    stats = {"diverging": np.zeros((2, 400), bool), "energy": rng.normal(size=(2, 400)), "lp": np.zeros((2, 400))}
    patient = PatientRecord("P-1", labs=(Lab("m", "m_protein", 1.0, 20.0, 1.0),))
    drawn = Draws(values | {"psi": rng.normal(20.0, 1.0, (2, 400, 1, 1))}, stats)
    with jax.enable_x64(True):
        population = posterior_from(model, [patient], drawn, 0.0, Cohort((patient,)), 1, fitted=model)
    assert "markers_raw" not in population.posterior and "beta_level_marker_2" in population.posterior
    table = selected_markers(population)
    assert list(table.loc[table["found"], "covariate"]) == ["marker_2"] and table["probability"].is_monotonic_decreasing
    assert not selected_markers(population, larger_than=5.0)["found"].any()
    with pytest.raises(FitError, match="no such group of markers.*genes.*markers"):
        selected_markers(population, group="genes")


def test_a_file_of_priors_takes_a_slope_out_of_the_group(model):
    changed = with_priors(
        model, {"beta_level_marker_1": Normal(mean=0.0, sd=1.0), "beta_level_marker_2": Fixed(value=0.0)}
    )
    assert "beta_level_marker_1" in hyper_sites(changed) and vector_sites(changed)["markers_local"][1] == 2
    assert "beta_level_marker_1" not in hyper_sites(model) and vector_sites(model)["markers_raw"][1] == 4


def test_a_file_of_priors_may_take_every_slope_out_of_a_group(model):
    """Of one of two groups too: a slope fixed, one with a prior of its own, the other group as it was."""
    level, genes = model.parameters[0], Horseshoe(expected_nonzero=1, patients=60, group="genes")
    for groups in (["markers"] * 4, ["markers", "markers", "genes", "genes"]):
        effects = tuple(replace(e, slope=genes) if g == "genes" else e for e, g in zip(level.covariates, groups))
        whole = replace(model, parameters=(replace(level, covariates=effects),))
        names = [name for (name, _, _), group in zip(whole.effects, groups) if group == "markers"]
        own = dict.fromkeys(names, Normal(mean=0.0, sd=1.0)) | {names[0]: Fixed(value=0.3)}
        fitted = with_priors(whole, own)
        rng = np.random.default_rng(4)
        samples = {name: rng.uniform(0.5, 1.0, (1, 3)) for name in hyper_sites(fitted)}
        samples |= {name: rng.uniform(0.5, 1.0, (1, 3, size)) for name, (_, size) in vector_sites(fitted).items()}
        with jax.enable_x64(True):
            found = assemble(whole, population_samples(whole, fitted, samples, (1, 3)), 0.0)
            expected = assemble(fitted, samples, 0.0)
        np.testing.assert_allclose(found.effects, expected.effects, rtol=1e-12)
        np.testing.assert_allclose(found.effects[..., 0], 0.3, rtol=1e-12)
        np.testing.assert_allclose(found.effects[..., 1], samples[names[1]], rtol=1e-12)


def test_the_printed_model_says_what_the_slopes_share(model):
    assert "regularised horseshoe markers (1 expected away from 0, 60 patients" in str(model)
    assert "4 slopes, tau_0 0.043, in SDs between patients" in str(model)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda level: level.covariates[:1], "as many slopes are expected away from 0"),
        (
            lambda level: (
                *level.covariates,
                Slope("x", reference=0.0, slope=Horseshoe(expected_nonzero=2, patients=60)),
            ),
            "two horseshoes of one name differ",
        ),
        (
            lambda level: tuple(
                replace(e, slope=Horseshoe(expected_nonzero=1, patients=60, group="level")) for e in level.covariates
            ),
            None,
        ),
    ],
)
def test_contradictions_are_found_when_the_model_is_made(model, change, message):
    level = model.parameters[0]
    parts = {"parameters": (replace(level, covariates=change(level)),), "source_hash": ""}
    if message is None:
        assert "level_global" in hyper_sites(replace(model, **parts))
        return
    with pytest.raises(ModelError, match=message):
        replace(model, **parts)


def test_a_parameter_that_is_the_same_for_all_takes_no_horseshoe(model):
    level = replace(model.parameters[0], between=None)
    with pytest.raises(ModelError, match="varies between patients"):
        replace(model, parameters=(level,), source_hash="")
    with pytest.raises(ModelError, match="positive patients"):
        Horseshoe(expected_nonzero=3, patients=0)


def test_the_joint_density_in_blocks_is_that_of_the_program(model):
    """The pieces that HMC within Gibbs moves: a slope acts on the labs through the patient's own level alone."""
    rng = np.random.default_rng(4)
    labs = tuple(Lab(f"m{t}", "m_protein", float(t), 20.0 + t, float(t)) for t in (1, 2))
    people = [PatientRecord(f"P-{k}", labs, covariates=dict(zip(MARKERS, rng.standard_normal(4)))) for k in range(3)]
    with jax.enable_x64(True):
        groups, _ = stack_cohort(model, Cohort(tuple(people)))
        joint = joint_of(model, groups, rho=0.0, accuracy=Accuracy())
        h, z = 0.3 * rng.standard_normal(len(joint.acting)), rng.standard_normal((3, 1))

        @jax.jit
        def both(h, z):
            means, scale = joint.individual(h)
            value, *_ = joint.likelihood(means + z @ scale.T, joint.shared(h))
            whole = joint.log_prior(h) - 0.5 * (z**2).sum() - 0.5 * z.size * np.log(2 * np.pi) + value.sum()
            program = lambda: population_program(model, groups, rho=0.0)  # noqa: E731
            return whole, -potential_energy(program, (), {}, joint.sites(h) | {"z": z})

        whole, expected = both(h, z)
    assert float(whole) == pytest.approx(float(expected), abs=1e-9)
    places = joint.sites(np.arange(len(joint.acting)))
    assert not joint.acting[np.asarray(places["markers_raw"], dtype=int)].any()
