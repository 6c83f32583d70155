"""Files are written whole or not at all; a full disk and a dead process leave nothing half-done."""

import errno
import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from bayestwin.errors import StoreError
from bayestwin.store import durable
from bayestwin.store.durable import DiskFull, remove_unfinished, write_durably
from bayestwin.store.items import append, current, item
from bayestwin.store.process import is_gone, this_process
from bayestwin.store.verify import verify_store


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path, monkeypatch):
    path = write_durably(tmp_path / "a.nc", b"old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(DiskFull, match=r"a.nc: the disk is full; nothing was lost.*Free space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_full_database_rolls_back_and_says_so(sqlite_store):
    with sqlite_store.writing() as connection:
        append(connection, "P-1", [], [item("lab", {"value": 1.5})])
    with sqlite_store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    @sa.event.listens_for(sqlite_store.engine, "begin")
    def _limit(connection):
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with pytest.raises(DiskFull, match="the disk is full; nothing was lost"):
        with sqlite_store.writing() as connection:
            append(connection, "P-2", [], [item("lab", {"text": "x" * 100_000})])
    with sqlite_store.reading() as connection:
        assert list(current(connection)) == ["P-1"]
    assert verify_store(sqlite_store).problems == []


def test_the_same_bytes_are_one_file_and_a_damaged_one_is_written_again(sqlite_store):
    files = sqlite_store.files
    name = files.put(b"draws", ".nc")
    files.path(name, ".nc").write_bytes(b"drawS")
    with pytest.raises(StoreError, match=f"{name}.nc: a file of the store has changed"):
        files.get(name, ".nc")
    assert files.put(b"draws", ".nc") == name and files.get(name, ".nc") == b"draws"
    assert files.listed() == {f"{name}.nc"}


def test_a_process_is_known_to_be_gone_only_when_it_is():
    code = "from bayestwin.store.process import this_process; print(this_process())"
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert is_gone(gone) and not is_gone(this_process())
    assert not is_gone(f"elsewhere-{os.getpid()}-1") and not is_gone("nonsense")
    machine, pid, _ = this_process().split("-")
    assert is_gone(f"{machine}-{pid}-1") or not os.path.exists("/proc/self/stat")


def test_what_a_dead_process_left_unfinished_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    code = "from bayestwin.store.process import this_process; print(this_process())"
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    for holder in (gone, this_process()):
        (tmp_path / f".{holder}.abcd.part").write_bytes(b"half")
    assert remove_unfinished(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [f".{this_process()}.abcd.part"]
