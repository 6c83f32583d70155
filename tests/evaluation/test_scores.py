"""Scores of made-up predictions whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayestwin.evaluation import clustered_interval, coverage, score_predictions
from bayestwin.evaluation.scores import clustered_means, effective_labs, expanded_tail


def test_coverage_of_a_uniform_pit_is_its_level_and_of_a_narrow_forecast_is_not():
    pit = (np.arange(1000) + 0.5) / 1000
    for level in (0.5, 0.8, 0.9):
        assert coverage(pit, level).mean() == pytest.approx(level, abs=0.002)
    narrow = np.where(pit < 0.5, pit / 4, 1 - (1 - pit) / 4)  # too many labs in the tails
    assert coverage(narrow, 0.9).mean() < 0.65


def test_the_interval_counts_patients_and_not_labs():
    values = np.repeat(np.random.default_rng(1).integers(0, 2, 20), 50)  # a patient's labs agree altogether
    patients = np.repeat(np.arange(20), 50)
    mean, low, high = clustered_interval(values, patients, random_seed=1)
    _, naive_low, naive_high = clustered_interval(values, np.arange(1000), random_seed=1)
    assert low < mean < high
    assert high - low == pytest.approx((naive_high - naive_low) * np.sqrt(50), rel=0.2)


def test_one_patient_gives_no_interval():
    mean, low, high = clustered_interval([0.0, 1.0], ["P", "P"], random_seed=1)
    assert mean == 0.5 and np.isnan(low) and np.isnan(high)


def test_a_table_per_output_with_its_counts():
    rows = pd.DataFrame(
        {"output": ["a", "a", "b", "b"], "patient": [1, 2, 1, 2], "pit": [0.5, 0.02, 0.4, 0.6]}
        | {"crps": [0.1, 0.3, 1.0, 2.0], "log_score": [-1.0, -3.0, 0.0, 0.0]}
    )
    table = score_predictions(rows, random_seed=1).set_index(["output", "score"])
    assert table.loc[("a", "coverage_90"), "value"] == 0.5 and table.loc[("b", "coverage_50"), "value"] == 1.0
    assert table.loc[("a", "crps"), "value"] == pytest.approx(0.2)
    assert table.loc[("a", "log_score"), "value"] == -2.0
    assert (table["labs"] == 2).all() and (table["patients"] == 2).all()


def test_the_interval_of_few_patients_reaches_further_into_the_tails():
    t_of_11 = 1.795885  # 95 % of Student's t, 11 degrees of freedom
    assert expanded_tail(0.05, 12) == pytest.approx(norm.cdf(-np.sqrt(12 / 11) * t_of_11), rel=1e-5)
    assert expanded_tail(0.05, 100_000) == pytest.approx(0.05, rel=1e-3)


def test_the_interval_of_a_mean_is_that_of_student_t_where_patients_are_normal():
    values = np.random.default_rng(2).normal(size=12)
    _, low, high = clustered_interval(values, np.arange(12), random_seed=1, resamples=20_000)
    assert (high - low) / 2 == pytest.approx(1.795885 * values.std(ddof=1) / np.sqrt(12), rel=0.04)


def test_means_in_cells_are_those_of_each_cell_alone():
    rng = np.random.default_rng(3)
    values, patients, cells = rng.normal(size=(60, 2)), np.repeat(np.arange(12), 5), rng.integers(-1, 3, 60)
    values[7, 1] = np.nan
    found = clustered_means(values, patients, cells, random_seed=1)
    by_man = clustered_means(values, patients, cells, random_seed=1, over="patients")
    for cell in range(3):
        mine = cells == cell
        assert found.value[cell] == pytest.approx(np.nanmean(values[mine], axis=0))
        assert found.labs[cell].tolist() == (~np.isnan(values[mine])).sum(axis=0).tolist()
        each = [np.nanmean(values[mine & (patients == k)], axis=0) for k in np.unique(patients[mine])]
        assert by_man.value[cell] == pytest.approx(np.nanmean(each, axis=0))
    assert (found.low < found.value).all() and (found.value < found.high).all()


def test_labs_that_repeat_their_patient_are_worth_one_each():
    pit = np.random.default_rng(4).uniform(size=400)
    assert effective_labs(pit, np.arange(400)) == pytest.approx(400, rel=0.02)
    assert effective_labs(np.repeat(pit, 5), np.repeat(np.arange(400), 5)) == pytest.approx(400, rel=0.02)
    assert np.isnan(effective_labs(pit, np.zeros(400)))
