"""The same refresh on a store in PostgreSQL, to the same content as in SQLite."""

import sys
from pathlib import Path

import pytest
from level_store import EPOCH, labs_csv, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from postgres_server import PostgresServer

from bayestwin.jobs.ask_store import believed, erase, history
from bayestwin.jobs.basis import keep_population
from bayestwin.jobs.refresh import refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.store.opening import create_store
from bayestwin.store.schema import now
from bayestwin.store.verify import verify_store

QUIET = RunLog(quiet=True)


@pytest.mark.slow
def test_a_store_in_postgresql_gives_the_answers_of_one_in_sqlite(
    new_store, population, level_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    labs, lite = labs_csv(tmp_path / "labs.csv", patients=2), new_store("lite")
    with PostgresServer() as server:
        store = create_store(server.new_database(), files=tmp_path / "files", settings=settings(population.model))
        assert keep_population(store, population, model_text=str(level_folder))
        for one in (store, lite):
            assert refresh(one, {"labs": labs}, log=QUIET).counts == {"published": 2}
            assert not refresh(one, {"labs": labs}, log=QUIET).counts
        for what in ("report", "report_json", "prognosis", "twin"):
            assert believed(store, "P-1", now(), what=what).data == believed(lite, "P-1", now(), what=what).data
        assert [o.facts for o in history(store, "P-1")] == [o.facts for o in history(lite, "P-1")]
        assert erase(store, "P-1") and refresh(store, {"labs": labs}, log=QUIET).erased == 1
        assert verify_store(store).problems == []
        store.close()
