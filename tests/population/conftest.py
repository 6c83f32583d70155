"""The level model of tests/twin, and a small fitted population."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))
sys.path.insert(0, str(Path(__file__).parent))

from level_model import as_population, level_draws, write_level_model, write_untreated_level_model

from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model


@pytest.fixture(scope="session")
def level_model(tmp_path_factory):
    """The level model, loaded from a folder of its own."""
    return load_model(write_level_model(tmp_path_factory.mktemp("models") / "level"))


@pytest.fixture(scope="session")
def untreated_level(tmp_path_factory):
    """The level model without its drug and classes: what a fit of untreated patients needs of it."""
    return load_model(write_untreated_level_model(tmp_path_factory.mktemp("models") / "level"))


@pytest.fixture(scope="session")
def made_population(level_model):
    """A population of made-up draws."""
    return as_population(level_model, level_draws())


@pytest.fixture(scope="session")
def four_patients():
    """Four untreated patients whose levels are 17, 19, 21, 23, six labs each."""
    offsets = (-1.1, 0.4, 0.9, -0.2, 0.7, -0.7)
    patients = []
    for n, level in enumerate((17.0, 19.0, 21.0, 23.0), start=1):
        labs = tuple(Lab(f"m@{t}", "m_protein", float(t), level + o, float(t)) for t, o in enumerate(offsets, start=1))
        patients.append(PatientRecord(f"F-{n}", labs=labs))
    return Cohort(tuple(patients))


@pytest.fixture(scope="session")
def exact_means(four_patients):
    """Posterior means of the typical level and of omega given the four patients, by quadrature over both."""
    level, omega = np.linspace(14, 26, 241)[:, None], np.linspace(0.02, 10, 400)[None, :]
    log_p = -0.5 * (level - 20.0) ** 2 - 0.5 * (omega / 2.0) ** 2
    for record in four_patients:
        y = np.array([lab.value for lab in record.labs])
        spread = omega**2 + 1.5**2 / len(y)
        log_p = log_p - 0.5 * np.log(spread) - 0.5 * (y.mean() - level) ** 2 / spread
    p = np.exp(log_p - log_p.max())
    return (p * level).sum() / p.sum(), (p * omega).sum() / p.sum()
