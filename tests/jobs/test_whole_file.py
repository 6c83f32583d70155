"""A full disk leaves no half file, and the file of before."""

import errno

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
