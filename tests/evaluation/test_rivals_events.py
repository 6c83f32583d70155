"""Cox's model on a worked example and on solvable cases; landmarks; the Brier score with censored patients."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

from rival_models import OFF, ON, course, marker_model

from bayestwin.errors import FitError, RecordError
from bayestwin.evaluation.rivals.cox import fit_cox, partial_likelihood
from bayestwin.evaluation.rivals.event_scores import brier_parts, censoring_survival, event_rows, event_scores
from bayestwin.evaluation.rivals.landmark_cox import covariates_at, fit_landmark_cox, follow_up
from bayestwin.records import ClinicalEvent, Cohort

# Therneau and Grambsch (2000), appendix E, data set 1: six made-up subjects with tied events
TIME, EVENT, X = [1, 1, 6, 6, 8, 9], [1, 0, 1, 1, 0, 1], np.array([[1.0], [1], [1], [0], [0], [0]])


def test_the_worked_example_of_therneau_and_grambsch():
    fitted, best = fit_cox(TIME, EVENT, X), np.log((3 + np.sqrt(33)) / 2)
    assert fitted.coefficients[0] == pytest.approx(best, abs=1e-8)
    assert fitted.log_likelihood == pytest.approx(-3.824750, abs=1e-6)
    r = np.exp(best)
    assert np.allclose(fitted.times, [1, 6, 9])
    assert np.allclose(np.diff(fitted.hazard, prepend=0), [1 / (3 * r + 3), 2 / (r + 3), 1])
    data = np.array(TIME, float), np.array(EVENT, bool), X
    for beta in (0.0, 0.7):
        r = np.exp(beta)
        value, slope, information = partial_likelihood(np.array([beta]), *data)
        assert value == pytest.approx(2 * beta - np.log(3 * r + 3) - 2 * np.log(r + 3))
        assert slope[0] == pytest.approx((6 + 3 * r - r**2) / ((r + 1) * (r + 3)))
        assert information[0, 0] == pytest.approx(r / (r + 1) ** 2 + 6 * r / (r + 3) ** 2)


def test_without_covariates_the_baseline_is_the_nelson_aalen_estimate():
    fitted = fit_cox(TIME, EVENT, np.zeros((6, 0)))
    assert np.allclose(fitted.hazard, np.cumsum([1 / 6, 2 / 4, 1]))
    assert fitted.survival(np.zeros((1, 0)), 0.5) == 1.0
    assert fitted.survival(np.zeros((1, 0)), 6.0) == pytest.approx(np.exp(-2 / 3))


def test_the_score_at_zero_is_that_of_the_log_rank_test():
    rng = np.random.default_rng(1)
    time, event, x = rng.exponential(size=60), rng.random(60) < 0.7, rng.integers(0, 2, (60, 1)).astype(float)
    _, slope, information = partial_likelihood(np.zeros(1), time, event, x)
    groups = [stats.CensoredData.right_censored(time[x[:, 0] == g], ~event[x[:, 0] == g]) for g in (1.0, 0.0)]
    assert slope[0] / np.sqrt(information[0, 0]) == pytest.approx(stats.logrank(*groups).statistic, abs=1e-9)


def test_hazard_ratios_are_found_again_and_only_ranks_of_time_count():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 2))
    time = rng.exponential(size=4000) * np.exp(-x @ [0.8, -0.5])
    event, time = time < 2.0, np.minimum(time, 2.0)
    fitted = fit_cox(time, event, x)
    assert fitted.coefficients == pytest.approx([0.8, -0.5], abs=0.08)
    assert fit_cox(time**3, event, x).coefficients == pytest.approx(fitted.coefficients, abs=1e-9)
    assert fitted.survival(np.zeros((1, 2)), 1.0) == pytest.approx(np.exp(-1.0), abs=0.02)


def test_a_ridge_is_a_normal_prior_and_keeps_a_perfect_covariate_finite():
    time, event, x = [1, 2, 3, 4], [1, 1, 0, 0], np.array([[1.0], [1], [0], [0]])
    with pytest.raises(FitError, match="no maximum.*Use a ridge"):
        fit_cox(time, event, x)
    fitted = fit_cox(time, event, x, ridge=0.5)
    r = np.exp(beta := fitted.coefficients[0])
    assert 0.5 * beta == pytest.approx(2 / (2 * r + 2) * 1 + 2 / (r + 2), abs=1e-7)  # the score equation
    with pytest.raises(FitError, match="no event"):
        fit_cox(time, np.zeros(4), x)


def patient(key, slope, *, progressed=None, last=200.0, starts=()):
    """Assessed every 28 days, ln marker rising by `slope` a day."""
    times = [t for t in np.arange(0.0, last + 1, 28.0) if progressed is None or t <= progressed]
    record = course(key, np.exp(slope * np.array(times)), times, starts)
    events = [ClinicalEvent("assessed", t, t) for t in times if progressed is None or t < progressed]
    events += [] if progressed is None else [ClinicalEvent("progression", progressed, progressed + 28.0, "imaging")]
    return replace(record, events=(*record.events, *events))


def risers(n=60, seed=1, prefix="P"):
    """The faster the marker rises, the sooner the progression."""
    rng, found = np.random.default_rng(seed), []
    for k in range(n):
        slope = rng.choice([0.0, 0.02])
        time = 28.0 + rng.exponential(60.0 if slope else 600.0)
        found.append(
            patient(f"{prefix}-{k}", slope, progressed=time if time < 400 else None, last=rng.uniform(250, 400))
        )
    return Cohort(tuple(found))


def test_covariates_are_what_was_known_at_the_landmark():
    model = marker_model()
    record = course("N", [1.0, 2.0, 3.0, 9.0], [0, 20, 40, 60], ((10.0, ON), (50.0, OFF)), known=[0, 20, 70, 60])
    value, slope, missing, since, landmark, on, off = covariates_at(model, record, 45.0)
    assert (value, slope, missing) == (pytest.approx(np.log(2)), pytest.approx(np.log(2) / 20), 0.0)
    assert (since, landmark, on, off) == (pytest.approx(np.log1p(35.0)), 45.0, 1.0, 0.0)
    later = replace(record, events=(*record.events, ClinicalEvent("line_of_therapy", 40.0, 60.0, OFF)))
    assert covariates_at(model, later, 45.0).tolist() == covariates_at(model, record, 45.0).tolist()  # not known yet
    assert covariates_at(model, later, 65.0)[-2:].tolist() == [0.0, 1.0]
    nothing = covariates_at(model, course("N", [1.0], [50]), 45.0)
    assert np.isnan(nothing[:2]).all() and nothing[2] == 1.0


def test_the_event_is_the_first_progression_or_death_and_else_the_last_information_censors():
    assert follow_up(patient("A", 0.0, progressed=90.0)) == (90.0, True)
    assert follow_up(patient("A", 0.0, last=84.0)) == (84.0, False)
    dead = replace(patient("A", 0.0, last=84.0), events=(ClinicalEvent("death", 99.0, 99.0),))
    assert follow_up(dead) == (99.0, True)


def test_a_rising_marker_foretells_the_event():
    model, cohort = marker_model(), risers()
    fitted = fit_landmark_cox(model, cohort, horizon=120.0)
    chances = [fitted.probability(patient("N", slope), 84.0, 90.0) for slope in (0.0, 0.02)]
    assert chances[0] > 0.75 and chances[1] < 0.45
    assert fitted.probability(patient("N", 0.02), 84.0, 30.0) > chances[1]
    rows = event_rows(fitted, risers(seed=2, prefix="N"), horizons=(60.0, 120.0))
    blind = fit_landmark_cox(model, cohort, horizon=120.0, ridge=1e9)
    none = [
        row | {"forecaster": "none"} for row in event_rows(blind, risers(seed=2, prefix="N"), horizons=(60.0, 120.0))
    ]
    table = event_scores(rows + none, random_seed=1).set_index(["forecaster", "horizon"])
    for horizon in (60.0, 120.0):
        mine = table.loc[("landmark_cox", horizon)]
        assert (
            mine["brier"] < 0.85 * table.loc[("none", horizon), "brier"] and mine["low"] < mine["brier"] < mine["high"]
        )


def test_landmarks_may_be_a_grid_and_only_patients_at_risk_count():
    model, cohort = marker_model(), risers()
    fitted = fit_landmark_cox(model, cohort, horizon=90.0, landmarks=(50.0, 100.0))
    rows = pd.DataFrame(event_rows(fitted, risers(seed=2, prefix="N"), horizons=(90.0,), landmarks=(50.0, 100.0)))
    assert set(rows["landmark"]) == {50.0, 100.0} and (rows["time"] > rows["landmark"]).all()


def test_what_cannot_be_asked_is_refused():
    model, cohort = marker_model(), risers()
    fitted = fit_landmark_cox(model, cohort, horizon=90.0)
    with pytest.raises(FitError, match="patient N: .*this horizon.*up to 90"):
        fitted.probability(patient("N", 0.0), 84.0, 91.0)
    with pytest.raises(RecordError, match="patient P-0: .*landmark_cox was fitted on"):
        event_rows(fitted, cohort, horizons=(90.0,))
    with pytest.raises(FitError, match="no training patient is at risk"):
        fit_landmark_cox(model, cohort, horizon=90.0, landmarks=(1e4,))
    with pytest.raises(FitError, match="no training patient is at risk.*assessed"):
        fit_landmark_cox(model, Cohort((course("A", [1.0], [0]),)), horizon=90.0)


def as_rows(probability, time, event, horizon, landmark=0.0):
    names = {"patient": np.arange(len(time)), "probability": probability, "time": time, "event": event}
    return pd.DataFrame(names).assign(landmark=landmark, horizon=horizon)


def test_without_censoring_the_brier_score_is_the_mean_squared_error():
    rng = np.random.default_rng(1)
    time, p = rng.exponential(size=50), rng.random(50)
    rows = as_rows(p, time, np.ones(50, bool), 1.0)
    parts = brier_parts(rows, censoring_survival(time, np.ones(50, bool)))
    assert parts == pytest.approx((p - (time > 1.0)) ** 2)


def test_censored_patients_are_weighed_back_in_as_by_hand():
    """Event at 1, censored at 2, event at 3, censored at 3 (after that event), free at 5; horizon 4.

    G falls to 3/4 at 2 (one of four) and to 3/8 at 3 (one of two); the weights make five patients of three.
    """
    time, event = np.array([1.0, 2, 3, 3, 5]), np.array([True, False, True, False, False])
    p, g = np.array([0.4, 0.5, 0.6, 0.2, 0.7]), censoring_survival(time, event)
    assert g(np.array([1.9, 2.0, 3.0])) == pytest.approx([1.0, 0.75, 0.375])
    parts = brier_parts(as_rows(p, time, event, 4.0), g)
    assert parts == pytest.approx([0.4**2, 0.0, 0.6**2 * 4 / 3, 0.0, 0.3**2 * 8 / 3])
    later = brier_parts(as_rows(p[2:], time[2:], event[2:], 1.5, landmark=2.5), g)
    assert later == pytest.approx([0.6**2, 0.0, 0.3**2 * 2])  # of those at risk at 2.5 one is lost


def test_the_weighted_score_of_censored_patients_is_that_of_the_same_patients_uncensored():
    rng = np.random.default_rng(3)
    truth, lost = rng.exponential(size=20_000), rng.exponential(2.0, size=20_000)
    p = np.clip(0.3 + 0.1 * truth, 0, 1)
    time, event = np.minimum(truth, lost), truth <= lost
    whole = brier_parts(as_rows(p, truth, np.ones(20_000, bool), 1.0), censoring_survival(truth, np.ones(20_000, bool)))
    seen = brier_parts(as_rows(p, time, event, 1.0), censoring_survival(time, event))
    assert seen.mean() == pytest.approx(whole.mean(), abs=0.01)
    later = truth > 0.5, time > 0.5
    g = censoring_survival(time, event)
    from_half = brier_parts(as_rows(p[later[1]], time[later[1]], event[later[1]], 0.5, landmark=0.5), g)
    assert from_half.mean() == pytest.approx(np.mean((p[later[0]] - (truth[later[0]] > 1.0)) ** 2), abs=0.015)


def test_forecasts_without_a_number_are_counted_apart():
    """They left the mean and stayed in the number of landmarks and patients that it was said to rest on."""
    about = {"landmark": 0.0, "horizon": 10.0, "forecaster": "twin", "event": True}
    rows = [about | {"patient": f"P-{k}", "time": 5.0 + k, "probability": 0.5 if k > 5 else np.nan} for k in range(12)]
    (found,) = event_scores(rows, random_seed=1).to_dict("records")
    assert [found[name] for name in ("landmarks", "events", "patients", "without_number")] == [6, 0, 6, 6]
    assert found["brier"] == pytest.approx(0.25)
    (none,) = event_scores([row | {"probability": np.nan} for row in rows], random_seed=1).to_dict("records")
    assert np.isnan(none["brier"]) and (none["landmarks"], none["without_number"]) == (0, 12)
