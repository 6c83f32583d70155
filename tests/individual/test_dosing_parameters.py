"""Lag, bioavailability, rate and duration as parameters, in the likelihood: against the closed form, gradients too."""

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dosing_model import DOSES, concentration, write_dosing_model

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.individual import (
    class_likelihood,
    compile_record,
    covariate_terms,
    natural_values,
    prior_mean,
    total_log_likelihood,
)
from bayestwin.records.record import PatientRecord
from bayestwin.specification import Adaptive

TIMES = (0.0, 0.5, 1.0, 2.0, 3.5, 5.5, 7.0, 8.0, 9.5, 12.0, 13.0, 16.0, 24.0)
FINE = Accuracy(rtol=1e-10, atol=1e-11, max_steps=4096)
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # as in conftest.py
RANGE = 3.29  # 99.9 % of a normal


@pytest.fixture(scope="module")
def lagged(tmp_path_factory):
    return write_dosing_model(tmp_path_factory.mktemp("models") / "lagged")


@pytest.fixture(scope="module")
def record(make_lab):
    """Thirteen concentrations of a fed patient, none at the time of another dose but 0, 7 and 12 h."""
    values = 1.0 + 3.0 * np.random.default_rng(1).random(len(TIMES))
    labs = tuple(make_lab("concentration", t, v) for t, v in zip(TIMES, values))
    return PatientRecord("P-1", labs=labs, doses=DOSES, covariates={"fed": 1.0})


@pytest.fixture(scope="module")
def many(lagged, at_medians):
    """63 patients over the prior's 99.9 % range, and one whose tablet arrives at the very time of a lab."""
    hyper = at_medians(lagged)
    spread = np.array([np.hypot(getattr(p.typical, "sd_log", 0.5), 0.2) for p in lagged.parameters])
    z = np.random.default_rng(2).uniform(-RANGE, RANGE, (64, len(spread)))
    z[-1] = 0.0
    psi = np.asarray(prior_mean(lagged, hyper, covariate_terms(lagged, {"fed": 1.0}))) + z * spread
    psi[-1, 3] = 0.0  # ln 1 h
    return hyper, jnp.asarray(psi)


@lru_cache
def program(model, accuracy):
    """Compiled (psi, hyper, data) -> ((log-likelihood, (prediction, ok)), gradient) of every patient."""

    def total(p, hyper, data):
        pieces = class_likelihood(model, p, hyper, data, accuracy=accuracy)
        return total_log_likelihood(pieces), (pieces.prediction[0], pieces.ok.all())

    many = jax.vmap(jax.value_and_grad(total, has_aux=True), in_axes=(0, None, None))
    return jax.jit(many, compiler_options=QUICK)


def by_solver(model, hyper, record, psi, accuracy):
    """Log-likelihood, prediction (P, N) and gradient (P, D) of every patient."""
    data = jax.tree.map(jnp.asarray, compile_record(model, record))
    (value, (prediction, ok)), slope = program(model, accuracy)(psi, hyper, data)
    assert ok.all()
    return value, prediction[:, : len(record.labs)], slope


def by_closed_form(model, hyper, record, psi):
    """The same of measured labs with an additive error, by the closed form."""
    seen = jnp.array([one.value for one in record.labs])

    def total(p):
        values = natural_values(model, p, hyper, jnp.asarray(covariate_terms(model, record.covariates)))
        expected = concentration(values, [one.time for one in record.labs], record.doses)
        return jax.scipy.stats.norm.logpdf(seen, expected, hyper.sigma[0]).sum(), expected

    (value, expected), slope = jax.vmap(jax.value_and_grad(total, has_aux=True))(psi)
    return value, expected, slope


def assert_the_closed_form(model, hyper, record, psi, accuracy, *, tolerance):
    """Likelihood, prediction and gradient of the solver against the closed form's."""
    value, prediction, slope = by_solver(model, hyper, record, psi, accuracy)
    right, expected, steep = by_closed_form(model, hyper, record, psi)
    np.testing.assert_allclose(prediction, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(value, right, rtol=tolerance)
    assert np.isfinite(slope).all()
    size = np.abs(np.asarray(steep)).max(axis=1, keepdims=True)  # a slope is a sum over labs, in which digits are lost
    np.testing.assert_allclose((slope / size)[:-1], (steep / size)[:-1], atol=10 * tolerance)
    return np.asarray(prediction)


def test_predictions_and_gradients_are_those_of_the_closed_form_over_the_prior_s_range(lagged, many, record):
    hyper, psi = many
    lags = np.exp(np.asarray(psi[:, 3]))
    assert lags.min() < 0.5 and lags.max() > 5.0  # tablets arrive before and after labs, and beyond the next tablet
    prediction = assert_the_closed_form(lagged, hyper, record, psi, Accuracy(), tolerance=1e-9)
    assert (prediction.max(axis=1) > 0.0).all()  # something did arrive


@pytest.mark.validate  # compiles for a minute
def test_the_adaptive_solver_agrees_with_the_closed_form_too(lagged, many, record):
    hyper, psi = many
    adaptive = replace(lagged, steps=Adaptive(), source_hash="")
    prediction = assert_the_closed_form(adaptive, hyper, record, psi[::4], FINE, tolerance=1e-6)
    assert (prediction.max(axis=1) > 0.0).all()  # something did arrive


def test_a_lag_that_moves_a_dose_past_a_lab_leaves_the_likelihood_continuous_and_its_slope_finite(lagged, many, record):
    """The tablet reaches the lab at 2 h: what is absorbed then goes to 0 from one side and is 0 on the other."""
    hyper, psi = many
    psi = jnp.tile(psi[-1], (64, 1)).at[:, 3].set(jnp.log(2.0 + jnp.linspace(-1e-9, 1e-9, 64)))
    value, _, slope = by_solver(lagged, hyper, record, psi, Accuracy())
    np.testing.assert_allclose(value, value[0], rtol=1e-7)
    assert np.isfinite(slope).all()
    steep = by_closed_form(lagged, hyper, record, psi)[2]
    np.testing.assert_allclose(slope[jnp.array([0, -1])], steep[jnp.array([0, -1])], rtol=1e-6, atol=1e-6)


def test_the_loop_without_gradients_and_a_resumed_state_give_the_same_likelihood(lagged, many, record):
    """What a twin does: labs up to 8 h, then the rest from the state there, with tablets and infusions on their way."""
    hyper, psi = many
    early = record.with_labs(record.labs[:8])
    whole, first, later = (
        jax.tree.map(jnp.asarray, compile_record(lagged, *one, resume_at=at))
        for one, at in (((record,), None), ((early,), None), ((record,), 8.0))
    )

    def one(p, data, state):
        return class_likelihood(lagged, p, hyper, data, state=state, accuracy=NO_GRADIENT)

    pieces = jax.jit(jax.vmap(one, in_axes=(0, None, 0)), compiler_options=QUICK)
    nothing_given = jnp.zeros((len(psi), 1, 2))
    through, begun = (pieces(psi, data, nothing_given) for data in (whole, first))
    rest = pieces(psi, later, begun.end)
    total = begun.rows.sum(-1) + rest.rows.sum(-1)
    np.testing.assert_allclose(total, through.rows.sum(-1), rtol=1e-9)
    np.testing.assert_allclose(rest.end, through.end, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(total[:, 0], by_closed_form(lagged, hyper, record, psi)[0], rtol=1e-8)
