"""A saved tree comes back whole and unchanged, or not at all."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from bayestwin.errors import StoreError
from bayestwin.store import checksum_of, read_tree, refuse_other_model, write_tree


@pytest.fixture
def tree():
    inside = xr.Dataset(
        {"a": (("n",), np.array([1.5, np.nan, -np.inf])), "b": (("n",), np.array([True, False, True]))},
        coords={"n": ["x", "y", "z"]},
    )
    found = xr.DataTree.from_dict({"particles": inside, "deeper/down": xr.Dataset({"k": ((), 3)})})
    found.attrs.update(kind="twin", time=12.0, islands=8, record='{"key": "P-1"}')
    return found


def test_what_is_written_is_read_and_its_checksum_fits(tree, tmp_path):
    path = write_tree(tree, tmp_path / "t.nc")
    back = read_tree(path, "twin", made_by="bayestwin start")
    assert back.attrs["checksum"] == checksum_of(tree) == checksum_of(back)
    np.testing.assert_array_equal(back["particles"]["a"].values, [1.5, np.nan, -np.inf])
    assert list(tmp_path.iterdir()) == [path] and "checksum" not in tree.attrs


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["particles"]["a"].values.__setitem__(0, 1.5000000001),
        lambda t: t["particles"]["b"].values.__setitem__(0, False),
        lambda t: t.attrs.update(islands=4),
        lambda t: t.attrs.update(record='{"key": "P-2"}'),
    ],
)
def test_any_change_changes_the_checksum_and_is_refused(tree, tmp_path, change):
    path = write_tree(tree, tmp_path / "t.nc")
    damaged = xr.load_datatree(path, engine="h5netcdf")
    change(damaged)
    damaged.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    with pytest.raises(StoreError, match=r"d.nc: this twin has changed since it was written.*bayestwin start"):
        read_tree(tmp_path / "d.nc", "twin", made_by="bayestwin start")


def test_absent_unreadable_and_foreign_files_are_named(tree, tmp_path):
    (tmp_path / "text.nc").write_text("no netCDF", encoding="utf-8")
    write_tree(tree, tmp_path / "t.nc")
    for name, kind, words in (
        ("none.nc", "twin", "no such twin file"),
        ("text.nc", "twin", "damaged or of another format"),
        ("t.nc", "prognosis", "not a prognosis.*found 'twin'"),
    ):
        with pytest.raises(StoreError, match=f"{name}.*{words}"):
            read_tree(tmp_path / name, kind, made_by="bayestwin start")


def test_another_model_and_another_version_of_the_model_are_told_apart(tree):
    tree.attrs.update(model="level", model_hash="a" * 64)
    refuse_other_model(tree, SimpleNamespace(name="level", hash="a" * 64), "t.nc", made_by="bayestwin start")
    for name, said in (
        ("level", "t.nc: this twin was made with another version of the model .found 'aaaaaaaaaaaa'., expected bbbbb"),
        ("theophylline", "t.nc: this twin is of another model .found 'level'., expected theophylline. Name the model"),
    ):
        with pytest.raises(StoreError, match=said):
            refuse_other_model(tree, SimpleNamespace(name=name, hash="b" * 64), "t.nc", made_by="bayestwin start")


def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(tree, tmp_path, monkeypatch):
    path = write_tree(tree, tmp_path / "t.nc")
    before = path.read_bytes()

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_tree(tree, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
