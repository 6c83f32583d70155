"""Draws that fail on the model's grid of steps are solved on finer ones before they count as failed."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.prognosis import simulate
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.specification.parameters import Steps


@pytest.fixture
def gridded(hazard_twin):
    """The twin of the hazard model on a fixed grid."""
    return replace(hazard_twin, model=replace(hazard_twin.model, steps=Steps(first=7.0, growth=1.0, largest=7.0)))


def solved(twin):
    with jax.enable_x64(True):
        draws = forecast_draws(twin, twin.rho, np.random.default_rng(1))
        plan = make_plans(twin.model, twin.record, ["drug"], twin.time)[0]
        times = twin.time + np.array([30.0, 90.0])
        how = {"past": False, "rng": np.random.default_rng(2), "accuracy": NO_GRADIENT}
        return simulate.trajectories(twin, draws, plan, times, **how)


def failing(monkeypatch, shares):
    """Makes the first so large a share of the draws fail on the grid of each largest step, with numbers of its own."""
    solve, grids = simulate._solve, []

    def with_failures(model, *arguments):
        outputs, hazards, ok = (np.array(a) for a in solve(model, *arguments))
        step = model.steps.largest
        grids.append((step, len(ok)))
        count = round(shares[step] * 800)
        ok[:count], outputs[:count] = False, 1000.0 + step
        return outputs, hazards, ok

    monkeypatch.setattr(simulate, "_solve", with_failures)
    return grids


def test_what_fails_is_taken_from_the_first_grid_that_solves_it(gridded, monkeypatch):
    whole, _, ok = solved(gridded)
    assert ok.all() and len(ok) == 800
    grids = failing(monkeypatch, {7.0: 0.2, 3.5: 0.05, 1.75: 0.01})
    outputs, _, ok = solved(gridded)
    assert grids == [(7.0, 800), (3.5, 256), (1.75, 64)] and (~ok).sum() == 8 and not ok[:8].any()
    np.testing.assert_allclose(outputs[8:], whole[8:], rtol=1e-4)
    assert simulate._finer(gridded.model, 2) is simulate._finer(gridded.model, 2)  # compiled once


def test_a_few_that_fail_are_borne_and_cost_no_second_solve(gridded, monkeypatch):
    monkeypatch.setattr(simulate, "BORNE", 0.002)
    grids = failing(monkeypatch, {7.0: 0.001})
    _, _, ok = solved(gridded)
    assert grids == [(7.0, 800)] and (~ok).sum() == 1
