"""Blocks of correlation, correlated occasions, centring by parameter: densities on paper, a posterior by quadrature."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hierarchy_model import TRUTH, by_quadrature, density_on_paper, patients, write_hierarchy
from numpyro.infer.util import log_density

from bayestwin.errors import FitError, ModelError
from bayestwin.individual import Hyper
from bayestwin.population import fit_population, load_population
from bayestwin.population.centring import centred_mask, informed_names, joined, taken_apart, unexplained
from bayestwin.population.hyper import assemble
from bayestwin.population.prior import prior_population
from bayestwin.population.program import individual_prior, population_program
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import starts_like, unconstrained_medians
from bayestwin.specification import LKJ, load_model
from bayestwin.specification.other_priors import parse_prior, site_names, with_priors

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
SITES = {"ac": "correlation_cholesky_a", "db": "correlation_cholesky_d", "da": "occasion_correlation_cholesky"}
MIXED = ("c", "a", "d_occasion_2")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_hierarchy(tmp_path_factory.mktemp("models") / "hierarchy"))


@pytest.fixture(scope="module")
def cohort():
    return patients()


def lower(r):
    return np.array([[1.0, 0.0], [r, np.sqrt(1 - r**2)]])


def test_program_and_paper_give_one_density_where_some_effects_are_centred_and_some_not(model):
    """Two patients: correlations, individual parameters and labs."""
    few, rng = patients(2), np.random.default_rng(3)
    factors = {name: lower(r) for name, r in zip(TRUTH, (0.5, -0.3, 0.7))}
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, few)
        natural = {SITES[name]: jnp.asarray(found) for name, found in factors.items()}
        means, scale = individual_prior(model, assemble(model, natural, 0.0), groups)
        psi = jnp.asarray(rng.standard_normal((2, 8)))
        expected = density_on_paper(order, factors, np.asarray(psi))
        for centred in (True, False, MIXED):
            mask = centred_mask(model, centred)
            parts = taken_apart(means, scale, mask, psi)
            assert joined(means, scale, mask, parts.get("psi"), parts.get("z")) == pytest.approx(np.asarray(psi))
        # `parts` and `mask` of the last, some of each; all or none: test_program.py
        program = lambda: population_program(model, groups, rho=0.0, centred=MIXED)  # noqa: E731
        density = jax.jit(lambda v: log_density(program, (), {}, v)[0], compiler_options=QUICK)
        found = float(density(natural | parts))
    covariance = np.asarray(scale) @ np.asarray(scale).T
    rest = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(covariance[np.ix_(mask, mask)])[1]
    jacobian = len(few) * 0.5 * rest  # dz = d psi_n / determinant of their factor given the centred ones
    assert found - jacobian == pytest.approx(expected, abs=1e-9)


@pytest.mark.validate
@pytest.mark.parametrize("how", [{}, {"centred": ("a", "c")}, {"centred": "auto"}, {"method": "gibbs"}])
def test_a_fit_finds_the_three_correlations_that_quadrature_finds(model, cohort, how, tmp_path):
    sizes = {"chains": 4, "warmup": 300, "draws": 700}
    fitted = fit_population(model, cohort, random_seed=1, **sizes, **how)
    assert fitted.diagnostics.passed, str(fitted.diagnostics)
    for name, (mean, sd) in by_quadrature(cohort).items():
        r = fitted.posterior[SITES[name]].values[..., 1, 0]
        assert abs(r.mean() - mean) < 4 * sd / np.sqrt(400.0), (name, r.mean(), mean, sd)
        assert r.std() == pytest.approx(sd, rel=0.15), name
    back = load_population(fitted.save(tmp_path / "fit.nc"), model)
    assert back.posterior["correlation_cholesky_d"].parameter_a_d.values.tolist() == ["d", "b"]
    assert any(name.startswith("occasion_correlation_cholesky[") for name in back.summary().index)


@pytest.mark.validate
def test_the_tolerance_above_would_notice_a_block_that_is_left_out(cohort):
    assert all(abs(mean) > 4 * sd / np.sqrt(400.0) + 0.1 for mean, sd in by_quadrature(cohort).values())


def test_automatic_centring_is_by_what_a_normal_model_leaves_of_the_variance(model):
    """psi normal, labs of precision k of parameter d: what is left is (1 + k omega^2)^-1 if uncorrelated."""
    precision, omega = np.array([[0.1, 30.0], [0.0, 8.0], [0.4, 0.5]]), np.array([1.5, 0.4])
    correlated = omega[:, None] * lower(0.6)
    centre = np.array([[0.4, -0.3], [2.0, 1.0], [-1.0, 0.2]])
    with jax.enable_x64(True):
        slopes = lambda psi: -precision * (psi - centre)  # noqa: E731
        for scale in (np.diag(omega), correlated):
            found = unexplained(slopes, jnp.zeros((3, 2)), jnp.asarray(scale))
            for n in range(3):
                law = np.linalg.inv(np.linalg.inv(scale @ scale.T) + np.diag(precision[n]))
                assert np.asarray(found[n]) == pytest.approx(np.diag(law) / omega**2, rel=1e-5)
        names = informed_names(
            replace(model, occasions=None), wide(slopes), jnp.zeros((3, 4)), jnp.asarray(four(omega))
        )
    assert names == ("d",)  # the labs leave .28 of its variance on average, of the others all


def four(omega):
    """Four parameters, of which the labs speak of the last two."""
    return np.diag([1.0, 1.0, omega[0], 5 * omega[1]])


def wide(slopes):
    return lambda psi: jnp.concatenate([jnp.zeros((3, 2)), slopes(psi[:, 2:])], axis=1)


def test_starts_and_later_starts_hold_every_site_whichever_is_centred(model):
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, patients(2))
        earlier = prior_population(model, draws=20, random_seed=1)
        for centred, sizes in ((True, (8, 0)), (False, (0, 8)), (MIXED, (3, 5))):
            start = unconstrained_medians(model, groups, rho=0.0, centred=centred)
            assert tuple(start[s].shape[1] if s in start else 0 for s in ("psi", "z")) == sizes
        chains = jax.tree.map(lambda a: jnp.stack([a, a]), start)
        later = starts_like(earlier, model, order, groups, chains, rho=0.0, centred=MIXED)
    assert jax.tree.map(jnp.shape, later) == jax.tree.map(jnp.shape, chains)
    assert not np.allclose(later["correlation_cholesky_d"], 0.0)


def test_draws_of_the_priors_fill_every_block_of_every_occasion(model):
    hyper, _ = prior_population(model, draws=50, random_seed=1).hyper_draws()
    assert isinstance(hyper, Hyper)
    correlation = np.asarray(hyper.correlation)
    names = list(model.individual_names)
    at = {pair: correlation[:, names.index(pair[0]), names.index(pair[1])] for pair in (("a", "c"), ("d", "b"))}
    of_occasions = [correlation[:, names.index(f"a_occasion_{k}"), names.index(f"d_occasion_{k}")] for k in (1, 2)]
    np.testing.assert_array_equal(*of_occasions)
    assert min(np.abs(x).min() for x in (*at.values(), of_occasions[0])) > 0
    others = correlation - np.eye(8)
    for one, two in (("a", "c"), ("d", "b"), ("a_occasion_1", "d_occasion_1"), ("a_occasion_2", "d_occasion_2")):
        others[:, names.index(one), names.index(two)] = others[:, names.index(two), names.index(one)] = 0.0
    assert np.abs(others).max() < 1e-12


def test_a_file_of_priors_reaches_every_block(model):
    named = ["correlation_a", "correlation_d", "occasion_correlation"]
    assert [name for name in site_names(model) if "correlation" in name] == named
    given = parse_prior("LKJ(concentration=5)", subject="priors.toml", place=named[1])
    changed = with_priors(model, {named[1]: given, named[2]: 3.0})
    assert [block.prior.concentration for block in changed.correlation_blocks] == [1.5, 5.0, 3.0]
    assert with_priors(model, {}).correlation == model.correlation
    with pytest.raises(ModelError, match="no such prior"):
        with_priors(model, {"correlation": 2.0})
    assert "LKJ(concentration 1.5) over a, c" in str(model) and "correlated within an occasion" in str(model)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"correlation": (LKJ(over=("a", "b")), LKJ(over=("b", "c")))}, "cannot stand in two LKJ blocks"),
        ({"correlation": LKJ(over=("a", "e"))}, "one of a, b, c, d"),
        ({"correlation": LKJ(over=("a",))}, "at least two parameters"),
        ({"correlation": "full"}, "LKJ\\(over=\\(...\\)\\) or a tuple of them"),
    ],
)
def test_blocks_that_contradict_each_other_are_refused(model, wrong, says):
    with pytest.raises(ModelError, match=says):
        replace(model, **wrong)


def test_a_correlation_between_occasions_is_of_parameters_that_vary_between_them(model):
    occasions = replace(model.occasions, correlation=LKJ(over=("a", "b")))
    with pytest.raises(ModelError, match="occasions, correlation"):
        replace(model, occasions=occasions)
    bare = replace(model, source_hash="", folder="")
    assert bare.hash != replace(bare, occasions=replace(model.occasions, correlation=None)).hash


def test_a_name_that_is_no_individual_parameter_cannot_be_centred(model, cohort):
    with pytest.raises(FitError, match=r'True, False, "auto", or names of a, b, c, d'):
        fit_population(model, cohort, random_seed=1, centred=("a", "e"))
    with pytest.raises(FitError, match="method 'gibbs' has no setting 'centred'"):
        fit_population(model, cohort, random_seed=1, method="gibbs", centred=("a",))
