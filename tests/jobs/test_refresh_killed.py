"""kill -9 at any point, then again: a store ends where an undisturbed run leaves it; two runs share the work."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from level_store import EPOCH, labs_csv

from bayestwin.jobs.publish import publish_all
from bayestwin.jobs.refresh import refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.store.items import current
from bayestwin.store.opening import open_store
from bayestwin.store.outcomes import tried
from bayestwin.store.verify import content_digest, verify_store

QUIET = RunLog(quiet=True)
SCRIPT = Path(__file__).parent / "killed_refresh.py"
HALF_TAKEN_IN = ("bayestwin.jobs.take_in.append", 2, "after")  # half of the rows are written, their transaction is open
POINTS = (
    ("bayestwin.store.durable._sync_folder", 3, "before"),  # some files of the first patient lie there, no row of them
    ("bayestwin.jobs.refresh.publish_one", 1, "before"),  # the first patient is committed, and not published yet
)


def started(store, labs, *point):
    url = store.engine.url.database
    command = [sys.executable, str(SCRIPT), url, str(labs), *map(str, point)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "MPLBACKEND": "agg"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def everything(store):
    """What a store holds, but for its clocks: rows, files, published reports."""
    publish_all(store)
    reports = {path.name: path.read_bytes() for path in store.files.reports.iterdir()}
    return content_digest(store), store.files.listed(), reports


@pytest.fixture(scope="module")
def undisturbed(empty_store, tmp_path_factory):
    """What three patients come to in one run that nobody disturbs; and their file."""
    folder = tmp_path_factory.mktemp("undisturbed") / "s"
    shutil.copytree(empty_store, folder)
    store, labs = open_store(str(folder / "s.db")), labs_csv(folder / "labs.csv", patients=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        assert refresh(store, {"labs": labs}, log=QUIET).counts == {"published": 3}
    return everything(store), labs


@pytest.mark.slow
def test_a_refresh_killed_at_its_joints_and_ended_by_two_at_once_is_like_an_undisturbed_one(store, undisturbed):
    expected, labs = undisturbed
    for point in POINTS:
        process = started(store, labs, *point)
        said = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, said
    beside = started(store, labs)
    assert "files read" in beside.stderr.readline()  # it is at work: both look for patients now
    own = refresh(store, {"labs": labs}, log=QUIET).counts["published"]
    assert own + published_by([beside]) == 2
    assert everything(store) == expected
    assert verify_store(store).problems == [] and not list(store.files.folder.rglob("*.part"))


def share(store, labs, runs):
    """Several runs at once; how many patients all of them published together."""
    return published_by([started(store, labs) for _ in range(runs)])


def published_by(processes):
    """How many patients these processes published, all of which end well."""
    said = [process.communicate(timeout=900) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(said), said
    return sum(int(out.split()[0]) for out, _ in said)


@pytest.mark.validate
def test_three_refreshes_at_once_do_each_patient_once_and_lose_none(new_store, tmp_path):
    labs, alone, store = labs_csv(tmp_path / "labs.csv", patients=12), new_store("alone"), new_store("shared")
    assert share(store, labs, 3) == 12 and share(alone, labs, 1) == 12
    assert everything(store) == everything(alone) and verify_store(store).problems == []


@pytest.mark.validate
def test_kill_9_at_twenty_random_points_of_a_refresh_of_fifty_twins(new_store, tmp_path):
    labs, alone, store = labs_csv(tmp_path / "labs.csv", patients=50), new_store("alone"), new_store("killed")
    process = started(alone, labs)
    out, log = process.communicate(timeout=3000)
    assert out.split() == ["50", "0"]
    clock = [datetime.fromisoformat(json.loads(line)["at"]).timestamp() for line in log.splitlines()]
    first, each, rng, reached = clock[1] - clock[0], (clock[-1] - clock[1]) / 49, random.Random(20), []
    process = started(store, labs, *HALF_TAKEN_IN)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    with store.reading() as connection:
        assert current(connection) == {}
    for _ in range(20):
        process = started(store, labs)
        assert "files read" in process.stderr.readline()
        time.sleep(rng.uniform(0.0, first + 3 * each))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        with store.reading() as connection:
            reached.append(len(tried(connection)))
    assert share(store, labs, 1) == 50 - reached[-1]
    print(f"alone {clock[-1] - clock[0]:.0f} s, {each:.2f} s a patient; patients done at each kill: {reached}")
    assert everything(store) == everything(alone) and verify_store(store).problems == []
