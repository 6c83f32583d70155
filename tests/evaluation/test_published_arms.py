"""Published arms beside simulated ones: places, intervals, errors, and the meta-analysis against closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest

from bayestwin.evaluation.meta_analysis import TAUS, Study, by_trial, new_arms, pooled, study_of
from bayestwin.evaluation.published_arms import (
    beside_meta_analysis,
    middle,
    outcome_rows,
    outcomes_frame,
    place_of,
    treatment_class,
    verdicts,
)
from bayestwin.specification import Outcome, TrialArm, load_model

ARMS = np.arange(1000) / 1000.0
RESPONSE, MEDIAN = Outcome("response", 0.5), Outcome("pfs_median", 12.0, low=9.0, high=15.0)


def trial_of(values, outcomes=(RESPONSE, MEDIAN), **arm):
    """A simulated arm of which only the numbers are known: outcome -> what arms of n show."""
    arm = TrialArm("a", "drug", 1000, 28.0, trial="A", outcomes=outcomes, **arm)
    return SimpleNamespace(
        arm=arm, outcomes=outcomes, draws_of=lambda o: values[o.what], predicted=lambda o: values[o.what]
    )


def test_a_number_in_the_middle_of_the_arms_is_inside_and_one_in_the_tail_is_not():
    assert place_of(ARMS, 0.5) == {"pit": pytest.approx(0.5, abs=1e-3), "inside_95": True, "inside_999": True}
    tail = place_of(ARMS, 0.99)
    assert tail["pit"] == pytest.approx(0.99, abs=1e-3) and not tail["inside_95"] and tail["inside_999"]
    assert not place_of(ARMS, 1.5)["inside_999"]
    assert place_of(np.full(1000, 1.0), 1.0) == {"pit": 0.5, "inside_95": True, "inside_999": True}  # all of them tie
    assert place_of(np.array([5.0, np.inf, np.inf, np.inf]), 40.0)["pit"] == pytest.approx(0.25)


def test_quantiles_of_medians_that_are_not_reached_are_infinite_and_not_a_mean_of_them():
    assert middle(np.array([4.0, 5.0, np.inf]), (0.0, 0.5, 1.0)) == [4.0, 5.0, np.inf]


def test_a_row_holds_expectation_interval_error_and_the_continuous_score():
    values = {"response": ARMS, "pfs_median": np.where(ARMS < 0.5, 10.0, np.inf)}
    share, time = outcome_rows(trial_of(values), in_sample=False)
    assert share["error"] == pytest.approx(0.0, abs=1e-3) and share["expectation"] == pytest.approx(0.4995)
    assert share["predicted_low"] == pytest.approx(0.025, abs=1e-3)
    assert share["crps"] == pytest.approx(1.0 / 12.0, abs=1e-3)  # of a uniform distribution at its middle
    assert time["published"] == 12.0 and "crps" not in time and time["predicted_high"] == np.inf
    unknown = outcome_rows(trial_of(values), in_sample=False, published=False)[0]
    assert "published" not in unknown and "pit" not in unknown
    assert list(outcomes_frame([share, time]).columns[:3]) == ["arm", "label", "trial"]


def test_what_rows_come_to():
    def row(arm, what, inside, error=0.0, **more):
        found = {"arm": arm, "what": what, "published": 0.5, "inside_95": inside, "inside_999": True, "error": error}
        return found | {"crps": 0.1} | more

    rows = [
        row("a", "response", True, 0.02),
        row("a", "complete_response", False, -0.08),
        row("b", "response", True, 0.04),
        row("b", "pfs_at", True, crps_meta_analysis=0.2),
    ]
    found = verdicts(rows)
    assert (found["arms"], found["rows"], found["landmarks"]) == (2, 4, 1)
    assert found["arms_inside_95"] == 0.5 and found["rows_inside_95"] == 0.75 and found["arms_inside_999"] == 1.0
    assert found["response_inside_95"] == pytest.approx(2 / 3) and found["response_error"] == pytest.approx(0.04)
    assert (found["crps"], found["crps_meta_analysis"]) == (0.1, 0.2)
    assert np.isnan(verdicts([])["rows_inside_95"])


def test_the_standard_error_comes_from_the_interval_or_the_size_and_is_doubled_from_memory():
    assert study_of("A", Outcome("pfs_at", 0.5, 12.0), 100).error == pytest.approx(0.2)
    assert study_of("A", Outcome("pfs_at", 0.5, 12.0, mark="memory"), 100).error == pytest.approx(0.4)
    wide = study_of("A", Outcome("pfs_at", 0.5, 12.0, low=0.3, high=0.7), 100)
    assert wide.error == pytest.approx(np.log(0.7 / 0.3) / 1.96, rel=1e-3) and wide.logit == 0.0
    assert np.isfinite(study_of("A", Outcome("response", 1.0, low=0.9, high=1.0), 50).error)


def test_arms_of_one_trial_are_one_study():
    (both,) = by_trial([Study("A", 0.0, 0.2), Study("A", 1.0, 0.2)])
    assert both == Study("A", pytest.approx(0.5), pytest.approx(0.2 / np.sqrt(2.0)))


def test_the_meta_analysis_agrees_with_brute_force_and_with_its_limits():
    studies = [Study("A", -0.2, 0.2), Study("B", 0.5, 0.25), Study("C", 0.1, 0.15)]
    found = pooled(studies)
    y, s = (np.array([getattr(x, name) for x in studies]) for name in ("logit", "error"))
    mu, weight = np.linspace(-10.0, 10.0, 4001), []
    for tau in TAUS[::20]:
        variance = s**2 + tau**2
        like = np.exp(-0.5 * ((y - mu[:, None]) ** 2 / variance + np.log(variance)).sum(axis=1) - 0.5 * (mu / 2.0) ** 2)
        weight.append((like.sum(), (like * mu).sum() / like.sum()))
    by_hand = np.array(weight)
    ours = found.weight[::20] / np.exp(-0.5 * (TAUS[::20] / 0.5) ** 2)
    assert ours / ours.sum() == pytest.approx(by_hand[:, 0] / by_hand[:, 0].sum(), rel=1e-3)
    assert found.mean[::20] == pytest.approx(by_hand[:, 1], abs=1e-4)


def test_more_trials_make_a_new_arm_more_certain_and_a_larger_arm_less_noisy():
    rng = np.random.default_rng
    one, many = [Study("A", 0.0, 0.1)], [Study(f"T{k}", 0.0, 0.1) for k in range(8)]
    assert new_arms(many, 200, rng=rng(1)).std() < 0.7 * new_arms(one, 200, rng=rng(1)).std()
    assert new_arms(many, 20, rng=rng(1)).std() > new_arms(many, 2000, rng=rng(1)).std()
    assert new_arms(many, 200, rng=rng(1)).mean() == pytest.approx(0.5, abs=0.01)


def test_a_landmark_is_compared_with_other_trials_of_its_class_only():
    model, at = load_model("myeloma_car_t"), Outcome("pfs_at", 0.5, 12.0)

    def arm(name, trial, treatment, outcome=at):
        return TrialArm(name, treatment, 100, 28.0, trial=trial, outcomes=(outcome,))

    arms = [
        arm("a", "A", "ide_cel"),
        arm("a2", "A", "cilta_cel"),
        arm("b", "B", "cilta_cel"),
        arm("c", "C", "teclistamab"),
        arm("d", "D", "ide_cel", Outcome("pfs_at", 0.5, 6.0)),
    ]
    assert treatment_class(model, "cilta_cel") == "BCMA CAR-T"
    named = {"outcome": "pfs_at_12", "what": "pfs_at", "published": 0.5}
    rows = [{"arm": a.name, "trial": a.trial, "treatment": a.treatment, **named} for a in arms[:4]]
    beside_meta_analysis(rows, arms, model, random_seed=1)
    assert [row["meta_analysis_trials"] for row in rows] == [1, 1, 1, 0]
    assert rows[0]["crps_meta_analysis"] < 0.2 and "crps_meta_analysis" not in rows[3]
