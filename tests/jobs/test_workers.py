"""Several processes come to what one comes to; a worker that dies is started again."""

from types import SimpleNamespace

import pytest
from level_store import labs_csv

from bayestwin.errors import StoreError
from bayestwin.jobs import workers
from bayestwin.jobs.refresh import Refreshed, refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.store.outcomes import FAILED, add_outcome, set_state
from bayestwin.store.schema import now
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
    """Stands for a process that does `work` and ends with this code."""

    def __init__(self, exitcode, work=lambda: None):
        self.exitcode, self.start = exitcode, work

    def is_alive(self):
        return False

    def join(self):
        pass


@pytest.fixture
def processes(monkeypatch):
    """processes(*codes, work) : the processes made from now on; -9 when codes are used up. Returns those made."""

    def be(*codes, work=lambda: None):
        left, made = list(codes), []

        class Context:
            def Process(self, **_):
                made.append(left.pop(0) if left else -9)
                return Dying(made[-1], work)

        monkeypatch.setattr(workers.multiprocessing, "get_context", lambda kind: {"spawn": Context()}[kind])
        return made

    return be


def test_a_worker_that_dies_is_started_again_and_not_for_ever(store, processes):
    asked = (store, SimpleNamespace(name="b"), now(), Refreshed(), QUIET, 2, None)
    made = processes(-9, 0, 0)
    workers.refresh_with_workers(*asked, rebuild_damaged=False)
    assert made == [-9, 0, 0]
    made = processes()
    with pytest.raises(StoreError, match="the workers died again and again.*--workers 1"):
        workers.refresh_with_workers(*asked, rebuild_damaged=False)
    assert len(made) == 2 + workers.RESTARTS * 2
    made = processes(*[-9] * (2 * workers.RESTARTS), 0, 0)  # the last restart was enough
    workers.refresh_with_workers(*asked, rebuild_damaged=False)
    assert made[-2:] == [0, 0]


def test_a_patient_who_fails_as_the_night_before_is_counted_with_workers_too(store, processes):
    with store.writing() as connection:
        for key in ("P-0", "P-1"):
            set_state(connection, key, "a")
            add_outcome(connection, key, "a", "b", FAILED, "nothing fits", {}, {})
    began = now()

    def fails_again():
        with store.writing() as connection:
            assert not add_outcome(connection, "P-1", "a", "b", FAILED, "nothing fits", {}, {})

    processes(0, work=fails_again)
    found = Refreshed()
    workers.refresh_with_workers(store, SimpleNamespace(name="b"), began, found, QUIET, 1, None, rebuild_damaged=False)
    assert found.counts == {"failed": 1} and found.problems == {"P-1": "nothing fits"}
