"""The level model of tests/twin for replays."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))
sys.path.insert(0, str(Path(__file__).parent))

from level_model import as_population, level_draws, write_level_model

from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model


@pytest.fixture(scope="session")
def population(tmp_path_factory):
    """100 made-up draws of the level model."""
    model = load_model(write_level_model(tmp_path_factory.mktemp("models") / "level"))
    return as_population(model, level_draws())


@pytest.fixture(scope="session")
def record():
    """Two labs known on day 1 (a panel), one on day 3 and one that happened on day 2 and became known on day 5."""
    rows = (("a", 1.0, 21.0, 1.0), ("b", 0.5, 20.0, 1.0), ("c", 3.0, 22.0, 3.0), ("d", 2.0, 19.5, 5.0))
    return PatientRecord("R-1", labs=tuple(Lab(i, "m_protein", t, v, known) for i, t, v, known in rows))
