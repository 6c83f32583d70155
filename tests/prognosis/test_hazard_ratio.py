"""Hazard ratios of two virtual arms: constant hazards, the estimate by brute force, the limit of many patients."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from trial_model import trial_population

from bayestwin.errors import ModelError
from bayestwin.prognosis import virtual_trial
from bayestwin.prognosis.arm_outcomes import Arms, Expected, draw_arms
from bayestwin.prognosis.hazard_ratio import hazard_ratios
from bayestwin.specification import TrialArm

MONTHS = np.arange(0.5, 60.25, 0.5)


def arm_of(hazard, n, seed, *, drop_out=0.0, replicates=400, curves=None):
    """An arm of n patients with a constant hazard a month, or with the survival curves given (M, L)."""
    free = np.exp(-hazard * MONTHS)[None] if curves is None else curves
    expectation = Expected({}, MONTHS, free, free)
    arms = draw_arms(expectation, n, drop_out=drop_out / 12.0, rng=np.random.default_rng(seed), replicates=replicates)
    arm = TrialArm(f"arm_{seed}", "drug", n, 28.0, drop_out_per_year=drop_out)
    return SimpleNamespace(arm=arm, months=MONTHS, expectation=expectation, arms=arms)


def partial_log_likelihood(b, time, event, treated):
    """Cox's, one event after another, as the paper writes it."""
    risk = np.exp(b * treated)
    return sum(b * treated[i] - np.log(risk[time >= time[i]].sum()) for i in np.flatnonzero(event))


def test_of_constant_hazards_the_ratio_is_theirs_with_the_standard_error_that_is_known():
    one, other = arm_of(0.03, 200, 1), arm_of(0.06, 150, 2)
    expectation, pairs = hazard_ratios(one, other, "pfs")
    assert expectation == pytest.approx([0.5], rel=2e-3)
    events = 200 * (1 - np.exp(-0.03 * 60)), 150 * (1 - np.exp(-0.06 * 60))
    assert np.log(pairs).mean() == pytest.approx(np.log(0.5), abs=0.02)
    assert np.log(pairs).std() == pytest.approx(np.sqrt(1 / events[0] + 1 / events[1]), rel=0.15)
    assert hazard_ratios(other, one, "os")[0] == pytest.approx([2.0], rel=4e-3)


def test_each_pair_has_the_ratio_that_maximises_the_partial_likelihood():
    one, other = (arm_of(h, n, s, drop_out=0.3, replicates=3) for h, n, s in ((0.02, 25, 3), (0.05, 40, 4)))
    _, pairs = hazard_ratios(one, other, "pfs", followed=24.0)
    for k in range(3):
        time = np.concatenate([one.arms.event[k], other.arms.event[k]])
        left = np.minimum(np.concatenate([one.arms.drop_out[k], other.arms.drop_out[k]]), 24.0)
        event, time = time <= left, np.minimum(time, left)
        treated = np.repeat([1.0, 0.0], [25, 40])
        best = minimize_scalar(
            lambda b, *what: -partial_log_likelihood(b, *what),
            bounds=(-5, 5),
            args=(time, event, treated),
            method="bounded",
        )
        assert np.log(pairs[k]) == pytest.approx(best.x, abs=1e-4)


def test_where_hazards_are_not_proportional_many_patients_tend_to_the_expectation_and_follow_up_matters():
    """The treated are safe for a year and then as the others; both leave the trial at 0.2 a year."""
    late = np.exp(-0.05 * np.maximum(MONTHS - 12.0, 0.0))[None]
    one = arm_of(None, 4000, 5, drop_out=0.2, replicates=30, curves=late)
    other = arm_of(0.05, 4000, 6, drop_out=0.2, replicates=30)
    found = {}
    for followed in (13.0, 24.0, 60.0):
        expectation, pairs = hazard_ratios(one, other, "os", followed=followed)
        spread = np.log(pairs).std() / np.sqrt(30)
        assert abs(np.log(pairs).mean() - np.log(expectation[0])) < 4 * spread + 2e-3
        found[followed] = expectation[0]
    assert found[13.0] < 0.12 and found[13.0] < found[24.0] < found[60.0] < 0.7


def test_an_arm_without_events_has_a_ratio_at_the_edge_and_no_error():
    safe = arm_of(1e-9, 20, 7, replicates=2)
    _, pairs = hazard_ratios(safe, arm_of(0.05, 20, 8, replicates=2), "pfs")
    assert (pairs < 1e-3).all()


def test_two_arms_without_events_have_no_ratio():
    few = [arm_of(0.002, 20, seed, replicates=500) for seed in (9, 10)]
    _, pairs = hazard_ratios(*few, "pfs", followed=12.0)
    nobody = np.all([(arm.arms.event > 12.0).all(axis=1) for arm in few], axis=0)
    assert 0.3 < nobody.mean() < 0.5 and (np.isnan(pairs) == nobody).all()
    assert (pairs[~nobody] < 1.0).mean() == pytest.approx(0.5, abs=0.1)


def test_a_follow_up_longer_than_the_curves_is_refused_and_not_cut():
    one, other = arm_of(0.03, 20, 1, replicates=2), arm_of(0.06, 20, 2, replicates=2)
    with pytest.raises(ModelError, match="longer than the arms are simulated"):
        hazard_ratios(one, other, "pfs", followed=61.0)


def test_arms_of_different_draws_do_not_pair(tmp_path):
    population = trial_population(tmp_path / "trial", coder=False)
    arm = TrialArm("one", "drug", 60, 28.0)
    how = {"random_seed": 1, "patients": 8, "months": 24.0}
    few, more = virtual_trial(population, arm, draws=12, **how), virtual_trial(population, arm, draws=24, **how)
    with pytest.raises(ModelError, match="different population draws"):
        hazard_ratios(few, more, "pfs")
    idle = virtual_trial(population, replace(arm, name="two", treatment="other_drug"), draws=24, **how)
    expectation, pairs = hazard_ratios(more, idle, "pfs")
    assert expectation.shape == (24,) and pairs.shape == (480,) and (expectation < 1.0).all()
    assert isinstance(more.arms, Arms)
    same, _ = hazard_ratios(more, more, "os")
    assert same == pytest.approx(np.ones(24), abs=1e-6)
