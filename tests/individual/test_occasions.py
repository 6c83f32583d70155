"""Variability between occasions: the likelihood against a multivariate normal and against piecewise closed forms."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import NO_GRADIENT
from bayestwin.errors import RecordError
from bayestwin.individual import Hyper, class_likelihood, compile_record, log_prior, total_log_likelihood
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.population.stacks import stack_cohort
from bayestwin.records import ClinicalEvent, Cohort
from bayestwin.records.record import Lab, PatientRecord
from bayestwin.specification import (
    Additive,
    Fixed,
    HalfNormal,
    Linear,
    LogNormal,
    Model,
    Normal,
    Observation,
    Occasions,
    Parameter,
    Steps,
)

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # as in conftest.py
TIMES = (1.0, 2.0, 5.0, 6.0, 7.0)
VALUES = (21.0, 23.5, 17.0, 18.5, 16.0)
SECOND = (0, 0, 1, 1, 1)  # which lab belongs to the second occasion, from day 4 on
OMEGA, GAMMA, SIGMA = 2.0, 3.0, 1.5


def begins(*numbers_and_times):
    """Events that say which occasion begins when."""
    return tuple(ClinicalEvent("covariate", t, t, f"occasion = {k}") for k, t in numbers_and_times)


def level(**changes):
    """A level seen with a normal error, up to three occasions unless said otherwise."""
    parts = dict(
        name="level",
        time_unit="day",
        states=("one",),
        initial_state=lambda p: {"one": 1.0},
        vector_field=lambda t, y, p, u: {"one": 0.0 * y.one},
        steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
        parameters=(
            Parameter(
                "level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0)
            ),
        ),
        occasions=Occasions(sd={"level": HalfNormal(sd=2.0)}, most=3),
        outputs={"m_protein": lambda t, y, p, u: p.level * y.one},
        observations=(
            Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=SIGMA)), plausible=(-99, 99)),
        ),
    )
    return Model(**(parts | changes))


@pytest.fixture(scope="module")
def record():
    labs = tuple(Lab(f"m@{t:g}", "m_protein", t, v, t) for t, v in zip(TIMES, VALUES))
    return PatientRecord("P-1", labs=labs, events=begins((2, 4.0)))


def hyper_of(model, gamma):
    """One population draw with the SDs above."""
    size = len(model.individual_names)
    omega = jnp.array([OMEGA, *[gamma] * (size - 1)])
    return Hyper(jnp.array([20.0]), jnp.zeros(0), omega, jnp.eye(size), jnp.array([SIGMA]))


@partial(jax.jit, static_argnums=0, compiler_options=QUICK)
def joint(model, z, hyper, data):
    """ln p(labs, psi) at psi = mean + omega z, for rows of z."""

    def one(z):
        psi = jnp.zeros(len(z)).at[0].set(20.0) + hyper.omega * z
        pieces = class_likelihood(model, psi, hyper, data, accuracy=NO_GRADIENT)
        return total_log_likelihood(pieces) + log_prior(model, psi, hyper, data.terms)

    return jax.vmap(one)(z)


def log_evidence(model, record, gamma):
    """ln p(labs): the joint density is the exponential of a quadratic a + b z + z C z / 2, so its integral is exact."""
    data, hyper = jax.tree.map(jnp.asarray, compile_record(model, record)), hyper_of(model, gamma)
    size = len(hyper.omega)
    unit = np.eye(size)
    pairs = (unit[:, None] + unit[None, :]).reshape(-1, size)
    found = np.asarray(joint(model, jnp.asarray(np.concatenate([[0 * unit[0]], unit, -unit, pairs])), hyper, data))
    at, up, down, both = found[0], found[1 : size + 1], found[size + 1 : 2 * size + 1], found[2 * size + 1 :]
    slope, bend = (up - down) / 2.0, both.reshape(size, size) - up[:, None] - up[None, :] + at
    volume = 0.5 * (size * np.log(2 * np.pi) - np.linalg.slogdet(-bend)[1]) + np.log(hyper.omega).sum()
    return float(at - 0.5 * slope @ np.linalg.solve(bend, slope) + volume)


def on_paper(gamma, blocks=SECOND):
    """ln of the multivariate normal: omega^2 everywhere, gamma^2 within an occasion, sigma^2 on the diagonal."""
    same = np.equal.outer(blocks, blocks)
    covariance = OMEGA**2 + gamma**2 * same + SIGMA**2 * np.eye(len(blocks))
    return stats.multivariate_normal(np.full(len(blocks), 20.0), covariance).logpdf(VALUES)


@pytest.fixture(scope="module")
def three():
    return level()


def test_the_marginal_likelihood_of_two_occasions_is_the_multivariate_normal(record, three):
    evidence = log_evidence(three, record, GAMMA)
    assert evidence == pytest.approx(on_paper(GAMMA), abs=1e-9)
    # and it tells: one occasion for all labs, or none, is another number
    assert abs(on_paper(GAMMA, (0,) * 5) - evidence) > 0.5 and abs(on_paper(1e-9) - evidence) > 0.5


def test_an_sd_of_nothing_between_occasions_is_the_model_without_them(record, three):
    without = level(occasions=None)
    plain = log_evidence(without, replace(record, events=()), 0.0)
    assert plain == pytest.approx(on_paper(0.0), abs=1e-9)
    assert log_evidence(three, record, 1e-8) == pytest.approx(plain, abs=1e-9)
    assert without.individual_names == ("level",) and without.acting_covariates == ()
    assert compile_record(without, record).changes is None  # a record that says occasions changes nothing


def test_records_of_other_occasions_than_the_model_has_are_refused_by_name(record):
    wrong = replace(record, events=begins((4, 4.0)))
    with pytest.raises(
        RecordError, match=r"patient P-1, occasion at 4: no such occasion \(found 4.0\), expected a who"
    ):
        compile_record(level(), wrong)
    with pytest.raises(RecordError, match=r"found 1.5.*1 to 3.*raise `most`"):
        compile_record(level(), replace(record, covariates={"occasion": 1.5}))


def test_a_patient_without_a_word_of_occasions_is_in_the_first(record):
    model = level()
    silent, said = replace(record, events=()), replace(record, events=(), covariates={"occasion": 1.0})
    third = replace(record, events=(), covariates={"occasion": 3.0})
    terms = [compile_record(model, one).terms for one in (silent, said, third)]
    np.testing.assert_array_equal(terms, [[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    ((group,), _) = stack_cohort(model, Cohort((record, replace(silent, key="P-2"))))
    np.testing.assert_array_equal(group.changes.times, [[4.0], [np.inf]])


DOSES = (DoseEvent(0.0, 100.0, "central"), DoseEvent(10.0, 50.0, "central"))


@pytest.fixture(scope="module")
def bolus():
    """Injections into one compartment; clearance and volume vary between occasions, the volume only so."""
    return Model(
        name="bolus",
        time_unit="h",
        dose_unit="mg",
        states=("central",),
        initial_state=lambda p: {"central": 0.0},
        vector_field=lambda t, y, p, u: {"central": -p.CL / p.V * y.central},
        steps=Linear(),
        parameters=(
            Parameter(
                "CL", unit="L/h", scale="log", typical=LogNormal(median=3.0, sd_log=0.5), between=HalfNormal(sd=0.5)
            ),
            Parameter("V", unit="L", scale="log", typical=LogNormal(median=30.0, sd_log=0.5)),
        ),
        occasions=Occasions(sd={"V": HalfNormal(sd=0.2), "CL": HalfNormal(sd=0.3)}, most=2),
        outputs={"concentration": lambda t, y, p, u: y.central / p.V},
        observations=(
            Observation(
                "concentration", unit="mg/L", error=Additive(sd=Fixed(value=0.2)), plausible=(0, 99), positive=False
            ),
        ),
    )


def course_on_paper(CL, V, times):
    """CL and V of the first and of the second occasion, which begins at 10 h with an injection of 50 mg."""
    first = 100.0 * np.exp(-CL[0] / V[0] * np.minimum(times, 10.0))
    later = np.maximum(times - 10.0, 0.0)
    amount = np.where(times > 10.0, (first + 50.0) * np.exp(-CL[1] / V[1] * later), first)
    return amount / np.where(times >= 10.0, V[1], V[0])


def test_predictions_and_simulations_follow_the_occasion_that_is_on(bolus):
    times = np.array([1.0, 6.0, 10.0, 12.0, 20.0])
    labs = tuple(Lab(f"c@{t}", "concentration", t, 2.0, t) for t in times)
    record = PatientRecord("P-1", labs=labs, doses=DOSES, events=begins((2, 10.0)))
    kappa = {"V_occasion_1": 0.3, "V_occasion_2": -0.2, "CL_occasion_1": -0.4, "CL_occasion_2": 0.5}
    assert bolus.individual_names == ("CL", *kappa)
    CL, V = 3.5 * np.exp([-0.4, 0.5]), 30.0 * np.exp([0.3, -0.2])
    expected = course_on_paper(CL, V, times)

    def predicted(psi, data):
        hyper = Hyper(jnp.log(jnp.array([3.0, 30.0])), jnp.zeros(0), jnp.ones(5), jnp.eye(5), jnp.array([0.2]))
        return class_likelihood(bolus, psi, hyper, data).prediction[0, : len(times)]

    data = jax.tree.map(jnp.asarray, compile_record(bolus, record))
    psi = jnp.array([np.log(3.5), *kappa.values()])
    np.testing.assert_allclose(jax.jit(predicted, compiler_options=QUICK)(psi, data), expected, rtol=1e-9)

    values, asked = {"CL": 3.5, "V": 30.0} | kappa, [(t, False) for t in times]
    found = simulate_outputs(bolus, values, DOSES, asked, occasions=((0.0, 1.0), (10.0, 2.0)))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    swapped = simulate_outputs(bolus, values, DOSES, asked, occasions=((0.0, 2.0), (10.0, 1.0)))[:, 0]
    np.testing.assert_allclose(swapped, course_on_paper(CL[::-1], V[::-1], times), rtol=1e-9)
    with pytest.raises(RecordError, match="no such occasion"):
        simulate_outputs(bolus, values, DOSES, asked, occasions=((0.0, 3.0),))
