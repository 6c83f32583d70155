"""A missing covariate is integrated over: the prior of psi against sums and integrals by hand."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from missing_model import SHARES, SITES, write_missing_model
from scipy.stats import norm

from bayestwin.dynamics.names import parameters_at
from bayestwin.errors import ModelError, RecordError
from bayestwin.individual import compile_record, covariate_course, draw_prior, log_prior, natural_values, prior_moments
from bayestwin.individual.missing import _indicators, log_of_covariates
from bayestwin.individual.parameters import covariate_terms
from bayestwin.population.hyper import assemble
from bayestwin.records import ClinicalEvent, PatientRecord
from bayestwin.specification import (
    Category,
    CategoryCovariate,
    Fixed,
    LogNormal,
    LogNormalCovariate,
    Normal,
    NormalCovariate,
    load_model,
)

KNOWN = {"age_years": 70.0, "group": "b", "weight_kg": 80.0}
PSI = np.array([23.0, 0.6, 0.3])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_missing_model(tmp_path_factory.mktemp("models") / "missing_level"))


@pytest.fixture(scope="module")
def hyper(model):
    with jax.enable_x64(True):
        natural = {k: jnp.asarray(v) for k, v in SITES.items()}
        return assemble(model, natural | {"correlation_cholesky": jnp.array([[1.0, 0.0], [0.6, 0.8]])}, 0.0)


def at(model, hyper, **covariates):
    """ln p(psi | these covariates), those that are None missing."""
    terms = jnp.asarray(covariate_terms(model, {k: v for k, v in covariates.items() if v is not None}))
    return float(log_prior_at(model, hyper, terms))


@partial(jax.jit, static_argnums=0)
def log_prior_at(model, hyper, terms):
    return log_prior(model, jnp.asarray(PSI), hyper, terms)


def test_a_missing_number_is_what_the_integral_over_its_distribution_says(model, hyper):
    with jax.enable_x64(True):
        ages = np.linspace(62.0 - 9 * 9.0, 62.0 + 9 * 9.0, 241)
        density = np.array([np.exp(at(model, hyper, **KNOWN | {"age_years": age})) for age in ages])
        expected = np.log(np.trapezoid(density * norm.pdf(ages, 62.0, 9.0), ages))
        assert at(model, hyper, **KNOWN | {"age_years": None}) == pytest.approx(expected, abs=1e-8)


def test_a_missing_category_is_the_sum_over_its_levels_and_two_missing_covariates_are_both_summed(model, hyper):
    with jax.enable_x64(True):
        for age in (70.0, None):
            by_level = [
                np.log(s) + at(model, hyper, **KNOWN | {"age_years": age, "group": g}) for g, s in SHARES.items()
            ]
            got = at(model, hyper, **KNOWN | {"age_years": age, "group": None})
            assert got == pytest.approx(np.logaddexp.reduce(by_level), abs=1e-10)
        assert at(model, hyper, **KNOWN) != pytest.approx(at(model, hyper, **KNOWN | {"group": None}), abs=0.1)


def test_draws_of_the_prior_have_its_moments(model, hyper):
    with jax.enable_x64(True):
        terms = jnp.asarray(covariate_terms(model, {}))
        drawn = jax.vmap(lambda k: draw_prior(model, k, hyper, terms))(jax.random.split(jax.random.key(1), 40_000))
        mean, scale = prior_moments(model, hyper, terms)
        cov = np.asarray(scale @ scale.T)
        sd = np.sqrt(np.diag(cov))
        assert np.abs((np.asarray(drawn).mean(axis=0) - mean) / sd).max() < 0.02
        assert np.abs(np.cov(np.asarray(drawn).T) - cov).max() / sd.max() ** 2 < 0.03
        # by hand: age 62 +- 9, a third of the groups apart
        spread = 1.5**2 + (0.1 * 9) ** 2 + 16.0 * 0.3 * 0.7
        assert cov[0, 0] == pytest.approx(spread)


def test_a_missing_covariate_of_a_parameter_that_does_not_vary_is_an_individual_parameter(model, hyper):
    assert model.individual_names == ("level", "rate", "weight_kg_if_missing")
    with jax.enable_x64(True):
        terms = {w: jnp.asarray(covariate_terms(model, KNOWN | {"weight_kg": w})) for w in (80.0, None)}
        psi = jnp.asarray([23.0, 0.6, 1.2])
        missing, known = (natural_values(model, psi, hyper, terms[w]) for w in (None, 80.0))
        assert float(known["offset"]) == pytest.approx(2.0 * (80.0 / 70.0) ** 0.75)
        assert float(missing["offset"]) == pytest.approx(2.0 * (75.0 * np.exp(0.25 * 1.2) / 70.0) ** 0.75)
        assert float(missing["level"]) == float(known["level"]) == 23.0


def test_known_covariates_have_the_density_of_their_distribution(model, hyper):
    with jax.enable_x64(True):
        for gone in ((), ("age_years",), ("group", "weight_kg")):
            given = {k: v for k, v in KNOWN.items() if k not in gone}
            data = compile_record(model, PatientRecord("P-1", covariates=given))
            parts = {"age_years": norm.logpdf(70.0, 62.0, 9.0), "group": np.log(0.3)}
            parts["weight_kg"] = norm.logpdf(np.log(80.0), np.log(75.0), 0.25)
            expected = sum(v for k, v in parts.items() if k not in gone)
            got = log_of_covariates(model, hyper, jnp.asarray(data.terms), jnp.asarray(data.known))
            assert float(got) == pytest.approx(expected)


def test_what_is_said_later_holds_from_the_beginning_where_a_distribution_is_given(model):
    said = (
        ClinicalEvent("covariate", 5.0, 5.0, "age_years = 70.0"),
        ClinicalEvent("covariate", 9.0, 9.0, "age_years = 71.0"),
    )
    late = PatientRecord("P-1", events=said, covariates={"group": "b", "weight_kg": 80.0})
    data = compile_record(model, late)
    assert data.terms == pytest.approx(covariate_terms(model, KNOWN))
    course = covariate_course(model, late)
    assert course.times[-1] == 9.0 and course.terms[-1][:1] == pytest.approx([11.0])
    assert compile_record(model, replace(late, events=())).terms[-3:].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "covariates, message",
    [
        ({"group": "d"}, "no such level.*P-1.*covariate group.*a, b, c"),
        ({"weight_kg": 0.0}, "cannot give this value.*P-1.*weight_kg.*a positive number"),
    ],
)
def test_a_value_that_the_distribution_cannot_have_is_refused(model, covariates, message):
    with pytest.raises(RecordError) as error:
        compile_record(model, PatientRecord("P-1", covariates=KNOWN | covariates))
    for part in message.split(".*"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "distributions, message",
    [
        ((NormalCovariate("height_cm", mean=Fixed(value=170.0), sd=Fixed(value=10.0)),), "acts on no parameter"),
        ((NormalCovariate("weight_kg", mean=Fixed(value=70.0), sd=Fixed(value=10.0)),), "cannot have this effect"),
        (
            (LogNormalCovariate("weight_kg", median=Normal(mean=70.0, sd=1.0), sd_log=Fixed(value=0.2)),),
            "does not fit median",
        ),
        ((CategoryCovariate("group", levels=("a", "b")),), "a level that the distribution does not"),
        ((CategoryCovariate("group", levels=("a", "b", "c"), shares=(0.5, 0.3, 0.3)),), "shares sum to 1"),
        (
            (CategoryCovariate("group", levels=("a", "b", "c"), counts=(1.0, 1.0)),),
            "counts are one positive number per level",
        ),
        ((CategoryCovariate("group", levels=("a",)),), "two levels or more"),
        (
            (CategoryCovariate("group", levels=tuple("abc") + tuple(str(k) for k in range(70))),),
            "too many combinations",
        ),
        (2 * (NormalCovariate("age_years", mean=Fixed(value=60.0), sd=Fixed(value=9.0)),), "two distributions"),
    ],
)
def test_contradictions_of_distributions_are_found_when_the_model_is_made(model, distributions, message):
    with pytest.raises(ModelError, match=message):
        replace(model, covariate_distributions=distributions, source_hash="")


def test_a_category_cannot_act_on_a_parameter_that_is_the_same_for_all(model):
    level, rate, offset = model.parameters
    offset = replace(offset, covariates=(Category("group", "b", shift=Fixed(value=0.1)),))
    one = CategoryCovariate("group", levels=("a", "b", "c"))
    with pytest.raises(ModelError, match="the same for all patients.*offset"):
        replace(model, parameters=(level, rate, offset), covariate_distributions=(one,), source_hash="")


def normal_group(model, **more):
    """The model with a group of known shares, missing ones normal."""
    group = CategoryCovariate("group", levels=("a", "b", "c"), shares=(0.5, 0.3, 0.2), as_normal=True, **more)
    age, _, weight = model.covariate_distributions
    return replace(model, covariate_distributions=(age, group, weight), source_hash="")


def test_a_missing_category_as_normal_has_mean_and_covariance_of_a_level_drawn(model):
    """Level and rate by 400,000 draws of it, beside sums over the levels: shifts of b and c on both."""
    normal = normal_group(model)
    own = ("group_b_if_missing", "group_c_if_missing", "weight_kg_if_missing")
    assert normal.individual_names == ("level", "rate", *own)
    assert normal.latent_covariates == {"group": own[:2], "weight_kg": own[2:]}
    with jax.enable_x64(True):
        natural = {k: jnp.asarray(v) for k, v in SITES.items()}
        hyper = assemble(normal, natural | {"correlation_cholesky": jnp.array([[1.0, 0.0], [0.6, 0.8]])}, 0.0)
        missing, known = (jnp.asarray(covariate_terms(normal, KNOWN | {"group": g})) for g in (None, "c"))

        def moved(u, terms):
            values = natural_values(normal, jnp.concatenate([PSI[:2], u, jnp.zeros(1)]), hyper, terms)
            return jnp.stack([values["level"], values["rate"]])

        u = jax.random.normal(jax.random.key(1), (400_000, 2))
        found = np.asarray(jax.vmap(lambda one: moved(one, missing))(u)) - PSI[:2]
        at_c = np.asarray(jax.vmap(lambda one: moved(one, known))(u[:50]))
    shifts, p = np.array([[0.0, 0.0], [4.0, 0.5], [0.0, -0.5]]), np.array(list(SHARES.values()))
    mean = p @ shifts
    cov = (shifts * p[:, None]).T @ shifts - np.outer(mean, mean)
    assert found.mean(axis=0) == pytest.approx(mean, abs=0.01)
    assert np.cov(found.T) == pytest.approx(cov, rel=0.02, abs=0.002)
    assert (at_c == PSI[:2]).all()  # who is known to be c does not vary by it; psi has its effect


@pytest.mark.parametrize("shares", [(0.3, 0.7), (0.1, 0.2, 0.3, 0.4), (1e-30, 0.5, 0.5), (0.25, 0.0, 0.75)])
def test_indicators_have_the_covariance_of_a_draw_and_add_up_to_one(shares):
    with jax.enable_x64(True):
        p = jnp.asarray(shares)
        middle = _indicators(jnp.log(p), jnp.zeros(len(p) - 1))
        by_u = np.asarray(jax.jacobian(lambda u: _indicators(jnp.log(p), u))(jnp.zeros(len(p) - 1)))
        assert np.asarray(middle) == pytest.approx(np.asarray(p), abs=1e-9)
        assert by_u @ by_u.T == pytest.approx(np.diag(p) - np.outer(p, p), abs=1e-9)
        assert by_u.sum(axis=0) == pytest.approx(0.0, abs=1e-9)


def test_an_acquired_category_is_missing_until_it_is_said_and_then_known(model):
    """Level of a patient of whom day 5 says group b: by what is missing before, by the group from then on."""
    normal = normal_group(model, acquired=True)
    said = ClinicalEvent("covariate", 5.0, 5.0, "group = b")
    record = PatientRecord("P-1", events=(said,), covariates={"age_years": 70.0, "weight_kg": 80.0})
    with jax.enable_x64(True):
        natural = {k: jnp.asarray(v) for k, v in SITES.items()}
        hyper = assemble(normal, natural | {"correlation_cholesky": jnp.array([[1.0, 0.0], [0.6, 0.8]])}, 0.0)
        data = compile_record(normal, record)
        assert data.terms[-3:].tolist() == [0.0, 1.0, 0.0] and data.terms[1] == 0.0
        u = jnp.array([0.7, -0.4])
        psi = jnp.concatenate([PSI[:2], u, jnp.zeros(1)])
        values = natural_values(normal, psi, hyper, jnp.asarray(data.terms), changes=data.changes)
        before, after = (float(parameters_at(normal, values, t).level) for t in (4.0, 6.0))
        indicators = np.asarray(_indicators(jnp.log(jnp.array([0.5, 0.3, 0.2])), u))
    assert before == pytest.approx(PSI[0] + 4.0 * indicators[1])
    assert after == pytest.approx(PSI[0] + 4.0)
    lasting = compile_record(normal_group(model), record)
    assert lasting.terms[-3:].tolist() == [0.0, 0.0, 0.0] and lasting.terms[1] == 1.0  # had it from the beginning
    with pytest.raises(ModelError, match="acquired would change between the components"):
        group = CategoryCovariate("group", levels=("a", "b", "c"), acquired=True)
        replace(model, covariate_distributions=(group,), source_hash="")
    assert normal.hash != normal_group(model).hash


def test_a_category_as_normal_may_act_on_what_is_the_same_for_all_and_be_of_any_number(model):
    level, rate, offset = model.parameters
    effects = tuple(Category("group", g, shift=Fixed(value=v)) for g, v in (("a", -0.2), ("c", 0.1)))
    offset = replace(offset, covariates=effects)
    sized = replace(normal_group(model), parameters=(level, rate, offset), covariate_distributions=(), source_hash="")
    one = CategoryCovariate("group", levels=("a", "b", "c"), shares=(0.5, 0.3, 0.2), as_normal=True)
    acting = replace(sized, covariate_distributions=(one,), source_hash="")
    with jax.enable_x64(True):
        natural = {k: jnp.asarray(v) for k, v in SITES.items()}
        natural |= {"correlation_cholesky": jnp.eye(2), "beta_offset_group_a": -0.2, "beta_offset_group_c": 0.1}
        hyper, terms = assemble(acting, natural, 0.0), jnp.asarray(covariate_terms(acting, {"age_years": 70.0}))
        offset = float(natural_values(acting, jnp.array([23.0, 0.6, 0.0, 0.0]), hyper, terms)["offset"])
    assert np.log(offset / 2.0) == pytest.approx(0.5 * -0.2 + 0.2 * 0.1)  # the first level too has its share
    many = CategoryCovariate("group", levels=(*"abc", *map(str, range(70))), counts=(1.0,) * 73, as_normal=True)
    assert len(replace(sized, covariate_distributions=(many,), source_hash="").individual_names) == 2 + 72
    mixture = replace(one, as_normal=False)
    with pytest.raises(ModelError, match="or the category as_normal=True"):
        replace(sized, covariate_distributions=(mixture,), source_hash="")
    assert acting.hash != replace(acting, source_hash="", covariate_distributions=()).hash
    assert str(one).endswith("a missing one normal") and "as_normal" not in repr(one)


def test_the_printed_model_says_how_covariates_are_distributed_and_the_hash_knows(model):
    text = str(model)
    assert "which a missing one is integrated over" in text and "share_group_a Beta(2, 2)" in text
    other = (LogNormalCovariate("weight_kg", median=LogNormal(median=71.0, sd_log=0.1), sd_log=Fixed(value=0.3)),)
    parts = {"source_hash": "", "covariate_distributions": other}
    assert replace(model, **parts).hash != replace(model, source_hash="").hash
