"""The fit integrates over missing covariates: its joint density against sums by hand, centred or not."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import log_density, unconstrain_fn
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1] / "individual"))
from missing_model import SHARES, SITES, write_missing_model
from two_programs import as_numpyro_sites, numpyro_density, pymc_densities, random_points

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError, ModelError
from bayestwin.individual import log_prior, prior_moments
from bayestwin.individual.missing import numbers_of
from bayestwin.population import fit_population
from bayestwin.population.crosscheck import pymc_program
from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.population.joint import joint_of
from bayestwin.population.program import over_patients, patient_log_likelihood, population_program
from bayestwin.population.stacks import stack_cohort
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import CategoryCovariate, Fixed, load_model
from bayestwin.specification.other_priors import site_names, with_priors

COVARIATES = (
    {"age_years": 70.0, "group": "b", "weight_kg": 80.0},
    {"group": "c", "weight_kg": 60.0},
    {"age_years": 50.0},
    {},
)
LOWER = np.array([[1.0, 0.0], [0.6, 0.8]])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_missing_model(tmp_path_factory.mktemp("models") / "missing_level"))


@pytest.fixture(scope="module")
def cohort():
    labs = tuple(Lab(f"m@{t}", "m_protein", float(t), 22.0 + t, float(t)) for t in (1, 2))
    return Cohort(tuple(PatientRecord(f"P-{n}", labs=labs, covariates=c) for n, c in enumerate(COVARIATES)))


def test_the_joint_density_is_that_of_known_covariates_and_of_psi_with_the_missing_ones_summed_out(model, cohort):
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, cohort)
        sites = {k: jnp.asarray(v) for k, v in SITES.items()} | {"correlation_cholesky": jnp.asarray(LOWER)}
        hyper = assemble(model, sites, 0.0)
        psi = jnp.asarray(np.random.default_rng(1).normal((21.0, 1.0, 0.2), (2.0, 0.5, 1.0), (4, 3)))
        terms = jnp.asarray(np.concatenate([g.terms for g in groups]))

        def density(labs, centred, effects):
            name = "psi" if centred else "z"
            given = (model, groups), {"rho": 0.0, "centred": centred, "labs": labs}, sites | {name: effects}
            return float(jax.jit(lambda: log_density(population_program, *given)[0])())

        def priors_alone():
            return float(log_density(population_program, (model, []), {"rho": 0.0}, sites)[0])

        alone = jax.jit(jax.vmap(lambda p, x: (log_prior(model, p, hyper, x), *prior_moments(model, hyper, x))))
        prior, means, scales = alone(psi, terms)
        by_hand = float(prior.sum())
        for covariates in COVARIATES:
            if "age_years" in covariates:
                by_hand += norm.logpdf(covariates["age_years"], SITES["mean_age_years"], SITES["sd_age_years"])
            if "weight_kg" in covariates:
                by_hand += norm.logpdf(np.log(covariates["weight_kg"]), np.log(75.0), 0.25)
            by_hand += np.log(SHARES[covariates["group"]]) if "group" in covariates else 0.0
        assert [r.key for r in order] == list(cohort.keys)
        assert density(False, True, psi) - priors_alone() == pytest.approx(by_hand)
        z = jnp.linalg.solve(scales, (psi - means)[..., None])[..., 0]
        stretched = float(jnp.log(jnp.diagonal(scales, axis1=1, axis2=2)).sum())
        assert density(True, False, z) - stretched == pytest.approx(density(True, True, psi))


def test_shares_have_a_dirichlet_prior_and_their_numbers_may_come_from_a_file_of_priors(model):
    rng, group = np.random.default_rng(1), model.covariate_distributions[1]
    chain = {site: rng.beta(prior.a, prior.b, 4000) for site, prior in group.sites.items()}
    with jax.enable_x64(True):
        found = numbers_of(replace(model, covariate_distributions=(group,), source_hash=""), chain)
    shares = np.exp(np.stack(found, axis=1))
    assert shares.sum(axis=1) == pytest.approx(1.0) and shares.mean(axis=0) == pytest.approx(
        [0.5, 0.25, 0.25], abs=0.02
    )
    assert shares.var(axis=0) == pytest.approx([0.5 * 0.5 / 5, 0.25 * 0.75 / 5, 0.25 * 0.75 / 5], rel=0.1)
    changed = with_priors(model, {"share_group_a": Fixed(value=0.5), "mean_age_years": Fixed(value=61.0)})
    left = set(hyper_sites(model)) - set(hyper_sites(changed))
    assert left == {"share_group_a", "mean_age_years"} and left <= set(site_names(model)) and changed.hash == model.hash


def test_the_pymc_program_has_the_same_density_where_all_covariates_are_known_and_refuses_a_missing_one(model, cohort):
    known = replace(model, covariate_distributions=model.covariate_distributions[:2], source_hash="")
    labs = cohort.patients[0].labs
    covariates = (
        {"age_years": 70.0, "group": "b"},
        {"age_years": 55.0, "group": "c"},
        {"age_years": 61.0, "group": "a"},
    )
    records = Cohort(tuple(PatientRecord(f"K-{n}", labs=labs, covariates=c) for n, c in enumerate(covariates)))

    def closed_form(values, records):
        import pytensor.tensor as pt

        rows = [values["level"][n] + values["rate"][n] * t + values["offset"][n] for n in range(3) for t in (1.0, 2.0)]
        return {"m_protein": pt.stack(rows)}

    program = pymc_program(known, records, centred=True, closed_form=closed_form)
    density = numpyro_density(known, records, centred=True)
    for natural, theirs in pymc_densities(program, random_points(program, 2, random_seed=1)):
        assert density(as_numpyro_sites(known, natural)) == pytest.approx(theirs, abs=1e-8)
    with pytest.raises(ModelError, match="patient P-1, age_years.*known from the beginning"):
        pymc_program(known, cohort)
    with pytest.raises(ModelError, match="missing covariates that are individual parameters"):
        pymc_program(model, records)


def test_gibbs_moves_patients_whose_missing_categories_are_normal_by_the_density_of_the_program(model, cohort):
    """ln p of the labs of every patient, those without a group too; shares that are learnt are refused."""
    group = CategoryCovariate("group", levels=("a", "b", "c"), shares=tuple(SHARES.values()), as_normal=True)
    normal = replace(model, covariate_distributions=(group,), source_hash="")
    with jax.enable_x64(True):
        sites = {k: jnp.asarray(v) for k, v in SITES.items() if k in hyper_sites(normal)}
        sites |= {"correlation_cholesky": jnp.asarray(LOWER)}
        groups, _ = stack_cohort(normal, cohort)
        joint = joint_of(normal, groups, rho=0.0, accuracy=Accuracy())
        free = unconstrain_fn(lambda: population_program(normal, [], rho=0.0), (), {}, sites)
        h = ravel_pytree(free)[0]
        psi = jnp.asarray(np.random.default_rng(1).normal((21.0, 1.0, 0.0, 0.0), (2.0, 0.5, 1.0, 1.0), (4, 4)))
        means, scale = joint.individual(h)
        assert scale.shape == (4, 4)  # one factor for all: nobody's prior is his own
        hyper = assemble(normal, sites, 0.0)

        def one(p, data):
            return patient_log_likelihood(normal, p, hyper, data, rho=0.0, accuracy=Accuracy())

        expected = jnp.concatenate(over_patients(one, groups, psi))
        found = jax.jit(joint.likelihood)(psi, joint.shared(h))[0]
        other = jax.jit(joint.likelihood)(psi.at[:, 2].add(1.0), joint.shared(h))[0]
    assert np.asarray(found) == pytest.approx(np.asarray(expected), abs=1e-9)
    places = joint.sites(jnp.arange(len(h)))
    acting = {name for name, at in places.items() if joint.acting[np.ravel(np.asarray(at)).astype(int)].any()}
    with jax.enable_x64(True):  # what is not said to act must not move the labs of anybody, psi as it is
        for k in np.flatnonzero(~joint.acting):
            moved = jax.jit(joint.likelihood)(psi, joint.shared(h.at[k].add(0.5)))[0]
            assert np.asarray(moved) == pytest.approx(np.asarray(found), abs=1e-12), k
    assert {"beta_level_group_b", "beta_rate_group_c"} <= acting and "beta_level_age_years" not in acting
    lacks = np.array(["group" not in record.covariates for record in cohort])
    assert ((np.asarray(other) != np.asarray(found)) == lacks).all() and lacks.any() and not lacks.all()
    learnt = replace(normal, covariate_distributions=(replace(group, shares=None),), source_hash="")
    with pytest.raises(FitError, match="group: .*whose distribution is learnt"):
        fit_population(learnt, cohort, random_seed=1, method="gibbs")


def test_a_method_that_needs_one_prior_for_all_patients_refuses_distributions_of_covariates(model, cohort):
    with pytest.raises(FitError, match="prior of their own.*method='nuts'"):
        fit_population(model, cohort, random_seed=1, method="gibbs")
