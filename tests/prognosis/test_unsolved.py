"""Draws that cannot be solved: a few borrow, more leave no number, and the report knows the share."""

import numpy as np
import pytest

from bayestwin.prognosis import forecast, row
from bayestwin.prognosis.policy import Followed, _borrowed
from bayestwin.prognosis.unsolved import lenders
from bayestwin.report import make_report
from bayestwin.report.inputs import gather_report_input


@pytest.fixture
def with_failures(hazard_twin, monkeypatch):
    """with_failures(share) -> (forecast of the drug, who failed): so many draws by chance have no solution."""
    kept = row.trajectories

    def make(share):
        failed = np.random.default_rng(0).random(800) < share

        def some(*a, **k):
            outputs, hazards, ok = kept(*a, **k)
            return (
                np.where(failed[:, None, None], np.nan, outputs),
                np.where(failed[:, None, None], np.nan, hazards),
                ok & ~failed,
            )

        with monkeypatch.context() as patch:
            patch.setattr(row, "trajectories", some)
            return forecast(hazard_twin, ["drug"], random_seed=2), failed

    return make


def test_where_many_draws_fail_the_row_has_no_number_and_says_how_many(with_failures):
    found, failed = with_failures(0.28)
    why = f"the equations could not be solved to the horizon for {100 * failed.mean():.1f} % of the draws (at most 5 %)"
    assert found.rows[0].refused == why and found.rows[0].solver_failures == failed.mean()


def test_a_few_that_fail_borrow_from_others_of_their_population_draw(with_failures, hazard_twin):
    found, failed = with_failures(0.02)
    whole = forecast(hazard_twin, ["drug"], random_seed=2)
    survival, solved = found.rows[0].events.survival, whole.rows[0].events.survival
    assert 10 < failed.sum() < 25 and found.rows[0].solver_failures == failed.mean()
    assert (survival[~failed] == solved[~failed]).all() and np.isfinite(survival).all()
    # survival of this model depends on the population draw alone: what was borrowed is what was lost
    assert len(np.unique(survival[failed, -1])) > 5
    assert survival[failed] == pytest.approx(solved[failed], rel=1e-6)


def test_the_share_of_a_forecast_is_a_warning_of_the_report(with_failures, hazard_twin):
    found, failed = with_failures(0.02)
    page = make_report(gather_report_input(hazard_twin, found)).html
    assert f"solver failure share {failed.mean():.4f}" in page
    whole = forecast(hazard_twin, ["drug"], random_seed=2)
    assert "solver failure share" not in make_report(gather_report_input(hazard_twin, whole)).html


def test_it_takes_any_solved_draw_where_none_of_its_population_draw_is():
    ok, draw = np.array([True, False, False, True, True]), np.array([0, 0, 1, 2, 2])
    taken = np.array([lenders(ok, draw, np.random.default_rng(seed)) for seed in range(50)])
    assert (taken[:, [0, 3, 4]] == [0, 3, 4]).all() and (taken[:, 1] == 0).all() and set(taken[:, 2]) == {0, 3, 4}
    assert (lenders(~ok & False, draw, np.random.default_rng(0)) == np.arange(5)).all()


def test_a_policy_borrows_in_the_same_way():
    numbers = np.arange(6.0)[None, :, None, None]
    ok, draw = np.array([True, True, True, False, True, False]), np.array([0, 0, 1, 1, 2, 2])
    whole = Followed(numbers, numbers, ok, {"marker": numbers[..., 0]}, numbers[..., 0], numbers[..., 0])
    found = _borrowed(whole, draw, np.random.default_rng(0))
    for values in (found.outputs, found.hazards, found.labs["marker"], found.on, found.episode):
        assert values.ravel().tolist() == [0.0, 1.0, 2.0, 2.0, 4.0, 4.0]
