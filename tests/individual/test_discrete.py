"""What is counted and graded: probabilities against scipy and quadrature, slopes far out in the tails, draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.errors import ModelError
from bayestwin.individual import class_likelihood, compile_record
from bayestwin.individual.discrete import (
    distribution_function,
    draw_discrete,
    log_probability,
    mean_and_variance,
    probabilities,
)
from bayestwin.individual.residuals import location_and_scale
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import (
    Additive,
    Bernoulli,
    Fixed,
    Model,
    NegativeBinomial,
    Normal,
    Observation,
    Ordinal,
    Parameter,
    Poisson,
    Steps,
)

ANSWER, GRADE, CELLS, INFECTIONS, LEVEL = range(5)
CUTS, ALPHA = (-0.5, 1.0, 2.0), 0.3


@pytest.fixture(scope="module")
def model():
    """One output of each kind, all of one state that does not move; a measured one beside them."""
    laws = {
        "answer": {"distribution": Bernoulli()},
        "grade": {
            "distribution": Ordinal(
                categories=("none", "mild", "severe", "fatal"),
                cut_points=(Fixed(value=CUTS[0]), Fixed(value=CUTS[1] - CUTS[0]), Fixed(value=CUTS[2] - CUTS[1])),
            )
        },
        "cells": {"distribution": Poisson(), "plausible": (0, 1e6)},
        "infections": {"distribution": NegativeBinomial(overdispersion=Fixed(value=ALPHA)), "plausible": (0, 1e6)},
        "level": {"error": Additive(sd=Fixed(value=0.7)), "plausible": (-99, 99), "positive": False},
    }
    return Model(
        name="counts",
        time_unit="day",
        states=("x",),
        initial_state=lambda p: {"x": p.x0},
        vector_field=lambda t, y, p, u: {"x": 0.0 * y.x},
        steps=Steps(first=50.0, growth=1.0, largest=50.0),
        parameters=(
            Parameter("x0", unit="", scale="identity", typical=Normal(mean=1, sd=1), between=Fixed(value=1.0)),
        ),
        outputs={name: (lambda t, y, p, u: y.x) for name in laws},
        observations=tuple(Observation(name, unit="", **law) for name, law in laws.items()),
    )


@pytest.fixture(scope="module")
def sigma(model):
    return jnp.array([prior.value for prior in model.residual_parameters.values()])


def test_probabilities_are_those_of_scipy(model, sigma):
    def log_p(k, eta, y):
        return float(log_probability(model, k, jnp.asarray(eta), float(y), sigma))

    edges = [-np.inf, *CUTS, np.inf]
    for eta in (-3.0, 0.2, 5.0):
        assert log_p(ANSWER, eta, 1) == pytest.approx(stats.logistic.logcdf(eta), rel=1e-12)
        assert log_p(ANSWER, eta, 0) == pytest.approx(stats.logistic.logsf(eta), rel=1e-12)
        for y in range(4):
            p = stats.logistic.cdf(edges[y + 1] - eta) - stats.logistic.cdf(edges[y] - eta)
            assert log_p(GRADE, eta, y) == pytest.approx(np.log(p), rel=1e-9)
        assert probabilities(model, GRADE, eta, np.asarray(sigma)).sum() == pytest.approx(1.0, abs=1e-14)
    for mu in (0.1, 3.0, 400.0):
        for y in (0, 1, 7, 300):
            assert log_p(CELLS, mu, y) == pytest.approx(stats.poisson.logpmf(y, mu), rel=1e-12, abs=1e-12)
            nbinom = stats.nbinom(1 / ALPHA, 1 / (1 + ALPHA * mu))
            assert log_p(INFECTIONS, mu, y) == pytest.approx(nbinom.logpmf(y), rel=1e-11, abs=1e-12)
            found = distribution_function(model, INFECTIONS, np.array(mu), y, np.asarray(sigma))
            assert found == pytest.approx(nbinom.cdf(y), rel=1e-10)
            found = distribution_function(model, CELLS, np.array(mu), y, np.asarray(sigma))
            assert found == pytest.approx(stats.poisson.cdf(y, mu), rel=1e-10)


def test_a_poisson_count_whose_rate_is_gamma_between_patients_is_the_negative_binomial(model, sigma):
    mu, gamma = 2.5, stats.gamma(1 / ALPHA, scale=ALPHA * 2.5)
    for y in (0, 2, 9):
        found = integrate.quad(lambda rate: gamma.pdf(rate) * stats.poisson.pmf(y, rate), 0, 60)[0]  # noqa: B023
        assert np.exp(log_probability(model, INFECTIONS, mu, float(y), sigma)) == pytest.approx(found, rel=1e-8)


def test_a_vanishing_overdispersion_leaves_the_poisson_law(model, sigma):
    few = sigma.at[list(model.residual_parameters).index("overdispersion_infections")].set(1 / 40)  # the series
    for y in (0.0, 3.0, 50.0):
        exact = stats.nbinom(40, 40 / 45).logpmf(y)
        assert log_probability(model, INFECTIONS, 5.0, y, few) == pytest.approx(exact, rel=1e-11)
    for alpha, off in ((1e-6, 1e-3), (1e-10, 1e-7), (0.0, 1e-8)):
        sigma_then = sigma.at[list(model.residual_parameters).index("overdispersion_infections")].set(alpha)
        for y in (0.0, 3.0, 50.0):
            gap = log_probability(model, INFECTIONS, 5.0, y, sigma_then) - stats.poisson.logpmf(y, 5.0)
            assert abs(gap) < off
        cdf = distribution_function(model, INFECTIONS, np.array(5.0), 3, np.asarray(sigma_then))
        assert cdf == pytest.approx(stats.poisson.cdf(3, 5.0), abs=1e-5)


@pytest.mark.parametrize("k", [ANSWER, GRADE, CELLS, INFECTIONS])
def test_values_and_slopes_stay_finite_far_out_and_are_those_of_finite_differences(model, sigma, k):
    def of(eta, s, y):
        return log_probability(model, k, eta, y, s)

    slope = jax.jit(jax.value_and_grad(of, argnums=(0, 1)))
    top = {ANSWER: 1.0, GRADE: 3.0}.get(k, 1e5)
    for eta in (-800.0, -40.0, 0.0, 40.0, 800.0, 1e12):
        for y in (0.0, 1.0, top):
            found = slope(eta, sigma, y)
            assert all(np.isfinite(a).all() for a in jax.tree.leaves(found)), (eta, y)
    if k in (ANSWER, GRADE):  # a linear tail, not a wall
        assert slope(-800.0, sigma, top)[1][0] == pytest.approx(1.0)
    for y in (0.0, 1.0, 2.0 if k != ANSWER else 1.0):
        here, (by_eta, by_sigma) = slope(1.7, sigma, y)
        numeric = float(of(1.7 + 1e-6, sigma, y) - of(1.7 - 1e-6, sigma, y)) / 2e-6
        assert by_eta == pytest.approx(numeric, rel=1e-6, abs=1e-8)
        for r in range(len(sigma)):
            step = jnp.zeros(len(sigma)).at[r].set(1e-6)
            numeric = float(of(1.7, sigma + step, y) - of(1.7, sigma - step, y)) / 2e-6
            assert by_sigma[r] == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_draws_have_the_mean_and_variance_that_are_said(model, sigma):
    rng, size = np.random.default_rng(1), 40_000
    for k, eta in ((ANSWER, 0.7), (GRADE, 0.7), (CELLS, 3.0), (INFECTIONS, 3.0)):
        drawn = draw_discrete(model, k, rng, np.full(size, eta), np.asarray(sigma))
        mean, variance = mean_and_variance(model, k, eta, np.asarray(sigma))
        assert drawn.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / size))
        assert drawn.var() == pytest.approx(variance, rel=0.06)
        if k in (ANSWER, GRADE):
            share = np.bincount(drawn.astype(int)) / size
            assert share == pytest.approx(probabilities(model, k, eta, np.asarray(sigma)), abs=0.013)
    failed = draw_discrete(model, CELLS, rng, np.array([np.nan, 1e300]), np.asarray(sigma))
    assert np.isnan(failed[0]) and failed[1] > 1e14


def test_a_record_of_every_kind_has_one_likelihood_with_and_without_gradients(model, at_medians):
    values = (("answer", 1), ("grade", 2), ("cells", 0), ("infections", 7), ("level", -3.5), ("answer", 0))
    labs = [Lab(f"{o}{n}", o, n, v, n) for n, (o, v) in enumerate(values)]
    record, hyper = PatientRecord("P-1", labs=tuple(labs)), at_medians(model)
    data = compile_record(model, record, sizes=(8, 8))

    @jax.jit
    @jax.value_and_grad
    def total(psi):
        return class_likelihood(model, psi, hyper, data).rows.sum()

    rows = jax.jit(lambda psi: class_likelihood(model, psi, hyper, data, accuracy=NO_GRADIENT).rows[0])
    psi = jnp.array([1.3])
    of = model.observation_index
    by_hand = [log_probability(model, of[o], 1.3, float(v), hyper.sigma) for o, v in values if o != "level"]
    by_hand = sum(map(float, by_hand)) + stats.norm.logpdf(-3.5, 1.3, 0.7)
    assert rows(psi).sum() == pytest.approx(by_hand, rel=1e-12)
    value, slope = total(psi)
    assert value == pytest.approx(by_hand, rel=1e-12)
    numeric = float(rows(psi + 1e-6).sum() - rows(psi - 1e-6).sum()) / 2e-6
    assert slope[0] == pytest.approx(numeric, rel=1e-6)


def test_no_location_and_scale_are_made_up_for_what_is_counted(model, sigma):
    with pytest.raises(ModelError, match="model counts, observation grade: .*no location and scale.*Ordinal"):
        location_and_scale(model, GRADE, jnp.zeros(3), sigma)
