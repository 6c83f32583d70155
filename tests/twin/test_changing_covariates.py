"""A twin whose patient gains weight: what it forecasts from its stored state is what the likelihood predicts."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual import compile_record
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.simulate import trajectories
from bayestwin.records import ClinicalEvent
from bayestwin.twin import start_twin, update_twin
from bayestwin.twin.target import evaluator

pytestmark = pytest.mark.slow  # compiles theophylline once


def test_a_forecast_carries_on_with_changed_covariates_and_those_that_are_still_to_change(theophylline, sizes):
    patient = theophylline.patients[0]
    cut = patient.labs[3].time
    later = cut + np.array([0.5, 1.0, 3.0])
    events = tuple(
        ClinicalEvent("covariate", t, t, f"weight_kg = {w}") for t, w in ((0.5 * cut, 110.0), (later[1], 50.0))
    )
    record = replace(patient, events=events)
    twin = start_twin(theophylline.population, record.with_labs(record.labs[:2]), random_seed=1, **sizes)
    twin, info = update_twin(twin, record.with_labs(record.labs[:4]), random_seed=1, population=theophylline.population)
    assert info.verdict == "PASS" and twin.time == cut
    future = [replace(record.labs[0], lab_id=f"f{t}", time=float(t)) for t in later]
    with jax.enable_x64(True):
        draws = forecast_draws(twin, 0.0, np.random.default_rng(1))
        (plan,) = make_plans(twin.model, twin.record, {"no dose": "single_dose"}, twin.time, applied=twin.applied)
        plan = replace(plan, record=twin.record)  # the doses so far, no more
        outputs, _, ok = trajectories(twin, draws, plan, later, past=False, rng=np.random.default_rng(0))
        data = jax.tree.map(jnp.asarray, compile_record(twin.model, record.with_labs(future)))
        found = evaluator(twin.model, NO_GRADIENT)(
            jnp.asarray(draws.psi), jnp.asarray(draws.draw), twin.population, data, 0.0
        )
    assert ok.all() and bool(found.ok.all())
    expected = np.asarray(found.prediction)[:, 0, :3]
    np.testing.assert_allclose(outputs[:, :, 0], expected, rtol=1e-8)
    steady = replace(plan, record=replace(twin.record, events=()))
    with jax.enable_x64(True):
        other = replace(twin, record=steady.record)
        constant, _, _ = trajectories(other, draws, steady, later, past=False, rng=np.random.default_rng(0))
    assert np.abs(constant[:, :, 0] / expected - 1.0).max() > 0.1
