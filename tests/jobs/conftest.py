"""A store of the level model, which compiles in a second, made once and copied for each test that refreshes."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))
sys.path.insert(0, str(Path(__file__).parent))

from level_model import as_population, level_draws, write_level_model
from level_store import EPOCH, settings

from bayestwin.jobs.basis import keep_population
from bayestwin.specification import load_model
from bayestwin.store.opening import create_store, open_store


@pytest.fixture(scope="session")
def level_folder(tmp_path_factory):
    """Folder of the level model."""
    return write_level_model(tmp_path_factory.mktemp("models") / "level")


@pytest.fixture(scope="session")
def population(level_folder):
    """100 made-up draws of the level model, marked as not sampled."""
    found = as_population(load_model(level_folder), level_draws())
    found.tree.attrs.update(method="variational", method_note="made up", verdict="approximate", diagnostics="MADE UP")
    return found


@pytest.fixture(scope="session")
def empty_store(population, level_folder, tmp_path_factory):
    """Folder of a store that holds the population and no patient."""
    folder = tmp_path_factory.mktemp("store")
    store = create_store(str(folder / "s.db"), settings=settings(population.model))
    keep_population(store, population, model_text=str(level_folder))
    store.close()
    return folder


@pytest.fixture
def new_store(empty_store, tmp_path, monkeypatch):
    """new_store(name) -> a store of its own with the population in it; reports are dated alike."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)

    def make(name="s"):
        shutil.copytree(empty_store, tmp_path / name)
        return open_store(str(tmp_path / name / "s.db"))

    return make


@pytest.fixture
def store(new_store):
    """A store with the population and no patient."""
    return new_store()
