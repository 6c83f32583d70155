"""A refresh on a Dask cluster comes to what one process comes to, whatever happens to workers and scheduler."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest
from level_store import labs_csv
from typer.testing import CliRunner

from bayestwin.cli import app
from bayestwin.errors import StoreError, StoreOptionError
from bayestwin.jobs import errand, scheduler
from bayestwin.jobs import refresh as refresh_module
from bayestwin.jobs.publish import publish_all
from bayestwin.jobs.refresh import problem_lines, refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.store.verify import content_digest, verify_store

distributed = pytest.importorskip("distributed", reason="the extra `distributed` is not installed")
dask = pytest.importorskip("dask")
QUIET = RunLog(quiet=True)


def cluster(**how):
    """A cluster of this machine; its worker processes are spawned by Dask's nannies."""
    assert dask.config.get("distributed.worker.multiprocessing-method") == "spawn"
    place = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard_address": None}
    return distributed.LocalCluster(threads_per_worker=1, **place, **how)


def everything(store):
    publish_all(store)
    reports = {path.name: path.read_bytes() for path in store.files.reports.iterdir()}
    return content_digest(store), store.files.listed(), reports


def kill_a_busy_worker(address, killed):
    """SIGKILL to the first worker process that is seen at work."""
    with distributed.Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid)
        while not killed:
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            if busy:
                os.kill(pids[busy[0]], signal.SIGKILL)
                killed.append(pids[busy[0]])
            time.sleep(0.05)


@pytest.mark.validate
def test_a_cluster_one_of_whose_workers_is_killed_makes_the_store_that_workers_make(new_store, tmp_path):
    labs, alone, shared, killed = labs_csv(tmp_path / "labs.csv", patients=3), new_store("one"), new_store("two"), []
    refresh(alone, {"labs": labs}, log=QUIET)
    with cluster(n_workers=2, processes=True) as there:
        killer = threading.Thread(target=kill_a_busy_worker, args=(there.scheduler_address, killed))
        killer.start()
        found = refresh(shared, {"labs": labs}, log=QUIET, scheduler=there.scheduler_address)
        killed.append(0)
        killer.join()
    assert killed[0] > 0 and os.getpid() not in killed
    assert found.counts == {"published": 3} and found.waiting == 0 and not found.problems and not found.stopped
    assert everything(shared) == everything(alone) and verify_store(shared).problems == []


@pytest.fixture
def threads():
    """A cluster whose one worker is a thread of this process: quick, and it knows what a test puts in its way."""
    errand.ready.cache_clear()
    with cluster(n_workers=1, processes=False) as there:
        yield there
    errand.ready.cache_clear()


def test_a_cluster_makes_the_store_that_one_process_makes(threads, new_store, tmp_path):
    labs, alone, shared = labs_csv(tmp_path / "labs.csv", patients=2), new_store("one"), new_store("two")
    refresh(alone, {"labs": labs}, log=QUIET)
    found = refresh(shared, {"labs": labs}, log=QUIET, scheduler=threads.scheduler_address)
    assert found.counts == {"published": 2} and found.waiting == 0 and not found.problems and not found.stopped
    assert everything(shared) == everything(alone)


def test_a_scheduler_that_is_lost_on_the_way_stops_the_run_and_the_next_one_ends_it(
    threads, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", 2.0)  # also how long a lost scheduler is looked for
    labs = labs_csv(tmp_path / "labs.csv", patients=3)

    class Closing(RunLog):
        def line(self, event, **fields):
            if event == "published":
                threads.close()

    found = refresh(store, {"labs": labs}, log=Closing(quiet=True), scheduler=threads.scheduler_address)
    assert "the scheduler" in found.stopped and "was lost" in found.stopped, found
    assert 1 <= found.counts["published"] < 3 and found.waiting == 3 - found.counts["published"]
    assert refresh(store, {}, log=QUIET).counts == {"published": found.waiting}
    assert verify_store(store).problems == []


def test_a_patient_who_fails_on_a_worker_stops_nobody(threads, store, tmp_path, monkeypatch):
    move = refresh_module.move_or_fail

    def fails(store, basis, key, rebuild_damaged, as_of=None):
        if key == "P-1":
            raise KeyError("creatinine 88 of Anna")
        return move(store, basis, key, rebuild_damaged)

    monkeypatch.setattr(refresh_module, "move_or_fail", fails)
    labs = labs_csv(tmp_path / "labs.csv", patients=2)
    found = refresh(store, {"labs": labs}, log=QUIET, scheduler=threads.scheduler_address)
    assert found.counts == {"published": 1, "failed": 1}, found.problems
    assert problem_lines(found) == ["patient P-1: a fault in bayestwin (KeyError); please report it"]
    monkeypatch.setattr(refresh_module, "move_or_fail", move)
    assert refresh(store, {}, log=QUIET, scheduler=threads.scheduler_address).counts == {"published": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"versions": (("bayestwin", "0"),)}, "--scheduler: a worker has bayestwin .*, not 0"),
        ({"salt": "other"}, "a worker cannot use the store: --store: another store lies at this address there"),
        ({"url": "nowhere.db"}, "a worker cannot use the store: nowhere.db: there is no store"),
        ({"model_text": "no_such_model"}, "a worker cannot use the store: .*no_such_model"),
    ],
)
def test_a_worker_that_cannot_do_the_work_is_told_and_nobody_is_marked_as_failed(
    threads, store, tmp_path, monkeypatch, change, said
):
    made = scheduler.make_errand
    monkeypatch.setattr(scheduler, "make_errand", lambda *given: replace(made(*given), **change))
    labs = labs_csv(tmp_path / "labs.csv", patients=1)
    with pytest.raises(StoreError, match=said):
        refresh(store, {"labs": labs}, log=QUIET, scheduler=threads.scheduler_address)
    monkeypatch.undo()
    assert refresh(store, {}, log=QUIET).counts == {"published": 1}


def test_no_scheduler_no_worker_no_address_and_no_library_are_told_apart(store, tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(scheduler, "WORKER_SECONDS", 0.0)
    monkeypatch.setattr(scheduler, "LOOK_SECONDS", 0.1)
    labs = labs_csv(tmp_path / "labs.csv", patients=1)
    for address, error, said in (
        ("tcp://127.0.0.1:1", StoreError, "no scheduler answers at this address .found 'tcp://127.0.0.1:1'"),
        ("nonsense://x", StoreOptionError, "this is no address of a scheduler"),
    ):
        with pytest.raises(error, match=said):
            refresh(store, {"labs": labs}, log=QUIET, scheduler=address)
    with cluster(n_workers=0, processes=False) as empty:
        with pytest.raises(StoreError, match="the cluster has no worker.*dask worker"):
            refresh(store, {}, log=QUIET, scheduler=empty.scheduler_address)
    url = store.engine.url.database
    words = ["refresh", "--store", url, "--scheduler", "tcp://127.0.0.1:1"]
    assert CliRunner().invoke(app, words).exit_code == 3
    assert CliRunner().invoke(app, [*words[:-1], "nonsense://x"]).exit_code == 2
    assert CliRunner().invoke(app, [*words, "--workers", "2"]).exit_code == 2
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(StoreError, match="needs the library `distributed`.*bayestwin.distributed"):
        refresh(store, {}, log=QUIET, scheduler="tcp://127.0.0.1:1")


def test_what_dask_logs_of_an_errand_holds_no_password():
    made = errand.Errand("postgresql://u:secret@h/d", "salt-secret", "b", None, False, ())
    assert "secret" not in repr(made)
