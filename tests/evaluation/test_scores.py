"""Scores of made-up predictions whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from bayestwin.evaluation import clustered_interval, coverage, score_predictions


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
