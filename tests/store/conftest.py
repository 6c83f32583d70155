"""Stores for the tests of this folder, in SQLite and, where the machine has its binaries, in a real PostgreSQL."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from postgres_server import PostgresServer

SETTINGS = {"model_name": "level", "seed": 1, "sizes": {}}


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server on loopback, with databases to be had from it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """An empty store, once in each kind of database."""
    from bayestwin.store.opening import create_store

    if request.param == "sqlite":
        made = create_store(str(tmp_path / "s.db"), settings=SETTINGS)
    else:
        url = request.getfixturevalue("postgres").new_database()
        made = create_store(url, files=tmp_path / "files", settings=SETTINGS)
    yield made
    made.close()


@pytest.fixture
def sqlite_store(tmp_path):
    """An empty store in an SQLite file."""
    from bayestwin.store.opening import create_store

    made = create_store(str(tmp_path / "s.db"), settings=SETTINGS)
    yield made
    made.close()
