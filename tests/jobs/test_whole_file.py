"""A full disk leaves no half file, and the file of before."""

import errno
import os

import pytest

from bayestwin.jobs.whole_file import write_whole


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path, monkeypatch):
    def full(self, text, **_):
        self.write_bytes(text[:2].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_whole(tmp_path / "a.csv", "old")
    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new text")
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"] and path.read_text(encoding="utf-8") == "old"


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert write_whole(pipe, "a,b\n") == pipe and os.read(reader, 100) == b"a,b\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo() and [one.name for one in tmp_path.iterdir()] == ["pipe"]
