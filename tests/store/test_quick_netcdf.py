"""Trees written and read through h5py are those that xarray writes and reads."""

import numpy as np
import pytest
import xarray as xr

from bayestwin.store import checksum_of, read_tree, tree_bytes
from bayestwin.store.quick_netcdf import NotQuick, netcdf_bytes, read_netcdf


@pytest.fixture
def tree():
    """What twins and prognoses hold: numbers, truth values, names, and a variable called like one of its dimensions."""
    rng = np.random.default_rng(1)
    particles = xr.Dataset(
        {
            "psi": (("particle", "parameter"), rng.standard_normal((600, 2))),
            "draw": (("particle",), np.arange(600)),
            "died": (("particle",), rng.random(600) < 0.5),
            "state": (("particle", "state"), rng.standard_normal((600, 3))),
            "nothing": ((), 3.5),
            "empty": (("none",), np.zeros(0)),
            "label": (("name",), np.array(["Müller", "b"], dtype=object)),
            "time": (("time_pred",), np.array([0.0, np.nan, np.inf]), {"long_name": "since zero"}),
        },
        coords={"parameter": ["ka", "CL"]},
        attrs={"plan": '{"a": 1}', "share": 0.1},
    )
    inner = xr.Dataset({"x": (("particle",), np.ones(4))})
    found = xr.DataTree.from_dict({"particles": particles, "predictions/first": inner})
    found.attrs.update(kind="twin", islands=8, rho=0.5, size=np.int64(3), text="")
    return found


def never(array):
    return False


@pytest.mark.parametrize("compressed", [never, lambda array: array.size > 500])
def test_xarray_reads_what_was_written_quickly(tree, tmp_path, compressed):
    (tmp_path / "t.nc").write_bytes(netcdf_bytes(tree, compressed=compressed))
    found = xr.load_datatree(tmp_path / "t.nc", engine="h5netcdf")
    xr.testing.assert_identical(found, tree)
    assert found["particles/died"].dtype == bool and found["particles/draw"].dtype == int
    assert checksum_of(found) == checksum_of(tree) == checksum_of(read_netcdf(tmp_path / "t.nc"))


def test_what_xarray_wrote_is_read_quickly(tree, tmp_path):
    tree.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    xr.testing.assert_identical(read_netcdf(tmp_path / "t.nc"), tree)


def test_the_same_tree_gives_the_same_bytes(tree):
    assert tree_bytes(tree) == tree_bytes(tree.copy(deep=True))
    assert netcdf_bytes(tree, compressed=never) == netcdf_bytes(tree, compressed=never)


ODD = {
    "dates": xr.Dataset({"when": (("n",), np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[ns]"))}),
    "encoded": xr.Dataset({"number": (("n",), np.array([1.0, 2.0]), {"units": "days since 2026-01-01"})}),
    "scaled": xr.Dataset({"number": (("n",), np.array([1.0, 2.0]), {"missing_value": -9.0})}),
    "list": xr.Dataset({"list": (("n",), np.array([1.0, 2.0]), {"range": [0, 1, 2]})}),
    "coordinate": xr.Dataset({"x": (("n",), np.zeros(2))}, coords={"side": (("n",), ["a", "b"])}),
}


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_read_back_quickly_is_written_by_xarray(name, tmp_path):
    tree = xr.DataTree.from_dict({"a": ODD[name]})
    tree.attrs["kind"] = "twin"
    with pytest.raises(NotQuick):
        netcdf_bytes(tree, compressed=never)
    (tmp_path / "t.nc").write_bytes(tree_bytes(tree))
    found = xr.load_datatree(tmp_path / "t.nc", engine="h5netcdf")
    assert set(found["a"].data_vars) == set(ODD[name].data_vars) and set(found["a"].coords) == set(ODD[name].coords)


@pytest.mark.parametrize("attribute", ["dtype", "NAME", "CLASS", "_FillValue", "coordinates"])
def test_an_attribute_that_reading_leaves_out_is_not_written_quickly(attribute):
    dataset = xr.Dataset({"x": (("n",), np.zeros(2), {attribute: "bool"})})
    with pytest.raises(NotQuick):
        netcdf_bytes(xr.DataTree.from_dict({"a": dataset}), compressed=never)
    whole = xr.Dataset({"x": (("n",), np.zeros(2))}, attrs={attribute: "x"})
    if attribute != "dtype":
        with pytest.raises(NotQuick):
            netcdf_bytes(xr.DataTree.from_dict({"a": whole}), compressed=never)


def test_a_file_read_quickly_must_fit_its_checksum(tree, tmp_path, monkeypatch):
    path = tmp_path / "t.nc"
    path.write_bytes(tree_bytes(tree))
    assert read_tree(path, "twin", made_by="bayestwin start").attrs["islands"] == 8
    wrong = read_netcdf(path)
    wrong["particles/psi"][0, 0] += 1e-9
    monkeypatch.setattr("bayestwin.store.tree_file.read_netcdf", lambda path: wrong)
    found = read_tree(path, "twin", made_by="bayestwin start")  # xarray is asked, and finds it whole
    assert float(found["particles/psi"][0, 0]) == float(tree["particles/psi"][0, 0])
