"""Several processes come to what one comes to; a worker that dies is started again."""

from types import SimpleNamespace

import pytest
from level_store import labs_csv

from bayestwin.errors import StoreError
from bayestwin.jobs import workers
from bayestwin.jobs.refresh import Refreshed, refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.store.verify import content_digest, verify_store

QUIET = RunLog(quiet=True)


@pytest.mark.validate
def test_two_workers_come_to_what_one_process_comes_to(new_store, tmp_path):
    labs, one, two = labs_csv(tmp_path / "labs.csv", patients=3), new_store("one"), new_store("two")
    refresh(one, {"labs": labs}, log=QUIET)
    found = refresh(two, {"labs": labs}, log=QUIET, workers=2)
    assert found.counts == {"published": 3} and found.waiting == 0 and not found.problems
    assert content_digest(two) == content_digest(one) and verify_store(two).problems == []


class Dying:
    """Stands for a process that dies at once, or ends well where `dies` says so."""

    def __init__(self, exitcode):
        self.exitcode = exitcode

    def start(self):
        pass

    def is_alive(self):
        return False

    def join(self):
        pass


def test_a_worker_that_dies_is_started_again_and_not_for_ever(store, monkeypatch):
    codes, made = [-9, 0, -9, -9], []

    class Context:
        def Process(self, **_):
            made.append(codes.pop(0) if codes else -9)
            return Dying(made[-1])

    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda kind: {"spawn": Context()}[kind])
    found = Refreshed()
    codes[:] = [-9, 0, 0]
    asked = (store, SimpleNamespace(name="b"), None, found, QUIET, 2, None)
    workers.refresh_with_workers(*asked, rebuild_damaged=False)
    assert made == [-9, 0, 0]
    codes[:] = []
    with pytest.raises(StoreError, match="the workers died again and again.*--workers 1"):
        workers.refresh_with_workers(*asked, rebuild_damaged=False)
    assert len(made) == 3 + 2 + workers.RESTARTS * 2
