"""Draws that fail on the model's grid of steps are solved on finer ones before they count as failed."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from trial_model import trial_population

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.prognosis import simulate, virtual_course, virtual_trial
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.specification import Outcome, TrialArm
from bayestwin.specification.parameters import Steps

ARM = TrialArm("arm", "drug", 60, 28.0)


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

    def with_failures(model, accuracy, psi, draw, rows, population, timeline, *others):
        found = solve(model, accuracy, psi, draw, rows, population, timeline, *others)
        outputs, hazards, ok = (np.array(a) for a in found)
        step = 7.0 / round(7.0 / float((timeline.end - timeline.start).max()))
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


def test_a_few_that_fail_are_borne_and_cost_no_second_solve(gridded, monkeypatch):
    monkeypatch.setattr(simulate, "BORNE", 0.002)
    grids = failing(monkeypatch, {7.0: 0.001})
    _, _, ok = solved(gridded)
    assert grids == [(7.0, 800)] and (~ok).sum() == 1


@pytest.mark.parametrize("failing_on", [(7.0,), (7.0, 3.5)])
def test_virtual_patients_who_fail_are_solved_on_finer_grids(failing_on, tmp_path, monkeypatch):
    """What a grid gives that fails is never read, and who is solved at last counts like any other."""
    population = trial_population(tmp_path / "trial", coder=True)
    population = replace(population, model=replace(population.model, steps=Steps(7.0, 1.0, 7.0)))
    how = {"random_seed": 1, "draws": 24, "patients": 8, "months": 30.0}
    whole = virtual_trial(population, ARM, **how)
    solve, sizes = virtual_course._solve, []

    def with_failures(model, read, values, psi, rows, terms, used, timeline, index):
        found = solve(model, read, values, psi, rows, terms, used, timeline, index)
        outputs, hazards, ok, told = (np.array(a) for a in found)
        step = 7.0 / round(7.0 / float((timeline.end - timeline.start).max()))
        sizes.append((step, len(ok)))
        if step in failing_on:  # every fifth of whom the first grid solves; all of them on the next
            bad = slice(None) if step < 7.0 else slice(0, 100, 5)
            ok[bad], outputs[bad] = False, 1000.0
        return outputs, hazards, ok, told

    monkeypatch.setattr(virtual_course, "_solve", with_failures)
    again = virtual_trial(population, ARM, **how)
    last = 7.0 / 2 ** len(failing_on)
    assert {size for step, size in sizes if step == last} == {virtual_course.AGAIN} and again.failed == 0.0
    for outcome in (Outcome("response", 0.5), Outcome("pfs_at", 0.5, 12.0)):
        np.testing.assert_allclose(again.draws_of(outcome), whole.draws_of(outcome), rtol=1e-4, atol=1e-6)
