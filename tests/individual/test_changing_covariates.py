"""Covariates carried forward: clearance and volume change with weight, piece by piece in closed form."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.individual import class_likelihood, compile_record, total_log_likelihood
from bayestwin.population.stacks import stack_cohort
from bayestwin.records import ClinicalEvent, Cohort
from bayestwin.records.record import PatientRecord

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # as in conftest.py
TIMES = (1.0, 4.0, 8.0, 11.0, 15.0, 22.0, 30.0)
WEIGHTS = {0.0: 80.0, 8.0: 60.0, 20.0: 95.0}  # from each time on


def weighed(changes=WEIGHTS):
    """The events of a weight that changes after the first record."""
    return tuple(ClinicalEvent("covariate", t, t, f"weight_kg = {w}") for t, w in changes.items() if t > 0)


@pytest.fixture(scope="module")
def record(make_lab):
    """An injection at 0 and one at 12 h; one concentration at the very time of a change."""
    labs = tuple(make_lab("concentration", t, 8.0 - 0.2 * t) for t in TIMES)
    doses = (DoseEvent(0.0, 320.0, "iv"), DoseEvent(12.0, 200.0, "iv"))
    return PatientRecord("P-1", labs=labs, doses=doses, events=weighed(), covariates={"weight_kg": WEIGHTS[0.0]})


def closed_form(psi, effects, times=TIMES, doses=((0.0, 320.0), (12.0, 200.0))):
    """Concentrations (N,) with the individual CL and V at the first weight, moved from there; psi = ln (ka, CL, V)."""
    starts, weights = jnp.array(list(WEIGHTS)), jnp.array(list(WEIGHTS.values()))
    ratio = jnp.log(weights / weights[0])
    CL, V = jnp.exp(psi[1] + effects[0] * ratio), jnp.exp(psi[2] + effects[1] * ratio)
    ends = jnp.append(starts[1:], jnp.inf)
    found = []
    for t in times:
        within = [jnp.clip(jnp.minimum(t, ends) - jnp.maximum(at, starts), 0.0) for at, _ in doses]
        amount = sum(a * jnp.exp(-(CL / V * d).sum()) * (t > at) for d, (at, a) in zip(within, doses))
        found.append(amount / V[(t >= starts).sum() - 1])
    return jnp.stack(found)


def test_predictions_and_gradients_are_those_of_the_piecewise_closed_form(theophylline, record, at_medians):
    hyper = at_medians(theophylline)
    data = jax.tree.map(jnp.asarray, compile_record(theophylline, record))
    early = jax.tree.map(jnp.asarray, compile_record(theophylline, record.with_labs(record.labs[:4])))
    rest = jax.tree.map(jnp.asarray, compile_record(theophylline, record, resume_at=11.0))
    seen = jnp.array([lab.value for lab in record.labs])

    def total(psi, effects, data, state):
        pieces = class_likelihood(theophylline, psi, hyper._replace(effects=effects), data, state=state)
        return total_log_likelihood(pieces), (pieces.prediction[0], pieces.end)

    def on_paper(psi, effects):
        expected = closed_form(psi, effects)
        return jax.scipy.stats.norm.logpdf(seen, expected, hyper.sigma[0]).sum(), expected

    program = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True), compiler_options=QUICK)
    psi, begin = jnp.log(jnp.array([1.5, 3.1, 29.0])), jnp.zeros((1, 2))
    (value, (predicted, _)), slope = program(psi, hyper.effects, data, begin)
    (right, expected), steep = jax.value_and_grad(on_paper, argnums=(0, 1), has_aux=True)(psi, hyper.effects)
    np.testing.assert_allclose(predicted[: len(TIMES)], expected, rtol=1e-9)
    np.testing.assert_allclose(value, right, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(slope), np.concatenate(steep), rtol=1e-7, atol=1e-7)
    _, (_, state) = program(psi, hyper.effects, early, begin)[0]
    _, (later, _) = program(psi, hyper.effects, rest, state)[0]  # a twin goes on from its stored state
    np.testing.assert_allclose(later[:3], expected[4:], rtol=1e-9)
    once = replace(record, events=(), covariates={"weight_kg": 80.0})
    assert compile_record(theophylline, once).changes is None  # and the same program as ever


def test_patients_with_and_without_changes_stand_in_one_stack(theophylline, record):
    steady = replace(record, key="P-2", events=())
    ((group,), _) = stack_cohort(theophylline, Cohort((record, steady)))
    np.testing.assert_array_equal(group.changes.times, [[8.0, 20.0], [np.inf, np.inf]])
    ((alone,), _) = stack_cohort(theophylline, Cohort((steady,)))
    assert alone.changes is None
