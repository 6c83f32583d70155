"""The level model of tests/twin, and a small fitted population."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))

from level_model import as_population, level_draws, write_level_model

from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model


@pytest.fixture(scope="session")
def level_model(tmp_path_factory):
    """The level model, loaded from a folder of its own."""
    return load_model(write_level_model(tmp_path_factory.mktemp("models") / "level"))


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
