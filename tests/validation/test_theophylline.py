"""A small version of theophylline_leave_one_out.py: two real patients left out (`make validate`)."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.validate


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).with_name("theophylline_leave_one_out.py")
    spec = importlib.util.spec_from_file_location("theophylline_leave_one_out", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folds(script, shared_data):
    model, cohort = script.model_and_cohort(shared_data / "theophylline" / "theophylline.csv")
    small = {"particles": 2000, "islands": 8, "warmup": 300, "draws": 300}
    return [script.leave_out(model, cohort, key, **small) for key in ("1", "7")]


def test_fits_on_eleven_patients_lie_beside_the_published_values(script, folds):
    for f in folds:
        for name, (mean, sd) in f["means"].items():
            assert abs(mean - script.PUBLISHED[name]) < 3 * sd, name
        assert f["divergences"] < 0.01 * f["draws"]


def test_the_left_out_patient_is_followed_to_the_oracle_s_posterior(folds):
    for f in folds:
        assert set(f["verdicts"]) == {"PASS"}
        assert f["oracle_gap"] < 4.5


def test_one_step_forecasts_hold_the_samples(script, folds):
    table = script.pooled(folds, "one_step").set_index("score")
    assert table.loc["coverage_90", "value"] > 0.7 and table.loc["coverage_50", "value"] > 0.25
    assert 0.1 < table.loc["crps", "value"] < 1.5
    assert all(low < middle < high for f in folds for low, middle, high in [f["second_dose"]])
