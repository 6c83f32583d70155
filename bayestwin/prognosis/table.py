"""Rows of dictionaries as a data frame, for whatever this room hands out as one."""

import numpy as np
import xarray as xr


def table(rows: list[dict]):
    """A data frame from rows of equal keys (through xarray, so that this room needs no pandas of its own)."""
    names = list(rows[0]) if rows else []
    return (
        xr.Dataset({name: (("row",), np.array([row[name] for row in rows], dtype=object)) for name in names})
        .to_dataframe()
        .infer_objects()
    )
