"""The netCDF files of a store written and read through h5py, without the layers above it.

A refresh reads and writes several small files per patient, and h5netcdf asks HDF5 some forty questions per variable:
most of the time of reading a twin (measured). What is written here is plain netCDF4 that xarray opens; what xarray
writes can be read here, else `read_tree` reads it by xarray. The checksum over names, dimensions, attributes and values
tells whether both mean the same, so a fault here costs time and never an answer.

Source: netCDF-4 over HDF5, https://docs.unidata.ucar.edu/nug/current/file_format_specifications.html
"""

import io

import h5py
import numpy as np
import xarray as xr

NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable."
NO_COORDINATE = "_nc4_non_coord_"  # before the name of a variable that is called like a dimension and is none
_HIDDEN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_FillValue", "_NCProperties", "_Netcdf4Dimid"}
_HIDDEN |= {"_Netcdf4Coordinates", "_nc3_strict"}
_ENCODED = {"units", "calendar", "scale_factor", "add_offset", "coordinates", "missing_value"}
_TEXT = h5py.string_dtype()


class NotQuick(Exception):
    """This tree or file holds what only xarray knows how to write or read."""


def netcdf_bytes(tree: xr.DataTree, *, compressed) -> bytes:
    """A tree as netCDF4 bytes; the same tree gives the same bytes.

    compressed : (array) -> whether it is to be compressed (lightly: level 1, bytes shuffled)

    Raises
    ------
    NotQuick        dates, or anything else that xarray would encode or that `read_netcdf` could not give back
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w", track_order=True) as file:
        for node in tree.subtree:
            group = file if node.path == "/" else file.create_group(node.path, track_order=True)
            _write_group(group, node.to_dataset(inherit=False), compressed)
    return memory.getvalue()


def _write_group(group, dataset: xr.Dataset, compressed) -> None:
    """Dimensions, variables and attributes of one group."""
    apart = set(dataset.coords) - set(dataset.sizes)  # would come back as ordinary variables
    if apart or "coordinates" in dataset.attrs:
        raise NotQuick(group.name)
    for name, value in dataset.attrs.items():
        _write_attribute(group, str(name), value)
    scales: dict = {}
    for number, (dim, size) in enumerate(dataset.sizes.items()):
        if dim in dataset.variables and dataset.variables[dim].dims == (dim,):
            scales[dim] = _write_array(group, str(dim), dataset.variables[dim], compressed)
            scales[dim].make_scale(str(dim))
        else:
            scales[dim] = group.create_dataset(str(dim), (size,), ">f4")
            scales[dim].make_scale(f"{NO_VARIABLE}{size:10d}")
        scales[dim].attrs.create("_Netcdf4Dimid", number, dtype=np.int32)
    for name, variable in dataset.variables.items():
        if variable.dims != (name,):
            named = f"{NO_COORDINATE if name in scales else ''}{name}"
            made = _write_array(group, named, variable, compressed)
            for k, dim in enumerate(variable.dims):
                made.dims[k].attach_scale(scales[dim])


def _write_array(group, name: str, variable: xr.Variable, compressed):
    """One variable with its attributes; booleans as xarray keeps them."""
    if (_ENCODED | {"dtype"}) & set(variable.attrs):
        raise NotQuick(name)
    values = np.asarray(variable.values)
    how = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compressed(values) else {}
    if values.dtype.kind in "OU":
        if not all(isinstance(v, str) for v in values.ravel()):
            raise NotQuick(name)
        made = group.create_dataset(name, data=values.astype(object), dtype=_TEXT)
    elif values.dtype.kind in "fiub":
        as_number = values.astype(np.int8) if values.dtype == bool else values
        made = group.create_dataset(name, data=as_number, **how)
        made.flush()  # else HDF5 places the chunks when objects happen to be freed, and the same tree gives other bytes
        if values.dtype == bool:
            _write_attribute(made, "dtype", "bool")
    else:
        raise NotQuick(name)
    for key, value in variable.attrs.items():
        _write_attribute(made, str(key), value)
    return made


def _write_attribute(where, name: str, value) -> None:
    """Text, or a number as an array of one, as netCDF has it; a name that HDF5 uses itself would not come back."""
    if name in _HIDDEN:
        raise NotQuick(name)
    if isinstance(value, str):
        where.attrs.create(name, value, dtype=_TEXT)
    elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
        where.attrs.create(name, np.atleast_1d(value))
    else:
        raise NotQuick(name)


def read_netcdf(path) -> xr.DataTree:
    """A tree of plain arrays from a netCDF4 file, all of it in memory.

    Raises
    ------
    NotQuick, OSError, KeyError, TypeError, ValueError      no such file, or one that only xarray can read
    """
    groups: dict[str, xr.Dataset] = {}
    with h5py.File(path, "r") as file:
        _read_group(file, "/", groups)
    return xr.DataTree.from_dict(groups)


def _read_group(group, path: str, groups: dict) -> None:
    """One group and those in it."""
    variables: dict[str, xr.Variable] = {}
    inner = []
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            inner.append((name, item))
        elif not _is_bare_dimension(item):
            variables[name.removeprefix(NO_COORDINATE)] = _read_array(name, item)
    attrs = _read_attributes(group)
    if "coordinates" in attrs:
        raise NotQuick(path)
    groups[path] = xr.Dataset(variables, attrs=attrs)
    for name, item in inner:
        _read_group(item, f"{path.rstrip('/')}/{name}", groups)


def _is_bare_dimension(item) -> bool:
    """True for a dimension that no variable bears the name of."""
    label = item.attrs.get("NAME", "")
    label = label.decode() if isinstance(label, bytes) else str(label)
    return label.startswith(NO_VARIABLE)


def _read_array(name: str, item) -> xr.Variable:
    """One variable; its dimensions are the names of its scales."""
    if "DIMENSION_LIST" in item.attrs:
        dims = tuple(_name_of(item, one[0]) for one in item.attrs["DIMENSION_LIST"])
    else:
        dims = (name,) if item.shape else ()
    attrs = _read_attributes(item)
    values = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
    if attrs.get("dtype") == "bool":
        values = values.astype(bool)
        del attrs["dtype"]
    fill = item.attrs.get("_FillValue")
    if _ENCODED & set(attrs) or not (fill is None or (values.dtype.kind == "f" and np.isnan(fill).all())):
        raise NotQuick(name)
    return xr.Variable(dims, values, attrs)


def _name_of(item, reference) -> str:
    return h5py.h5r.get_name(reference, item.file.id).decode().rsplit("/", 1)[-1]


def _read_attributes(where) -> dict:
    """Attributes that belong to the data; numbers as scalars."""
    found = {}
    for name in where.attrs:
        if name not in _HIDDEN:
            value = where.attrs[name]
            found[name] = value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value
    return found
