"""Values beyond a limit in an event table: Monolix's CENS and LIMIT, or BLQ and LLOQ of NONMEM's M3 method.

CENS = 1 says the value lies below DV, -1 above it; LIMIT gives the other end: between LIMIT and DV, or between DV
and LIMIT. BLQ = 1 says it lies below LLOQ.
Source: Monolix data format, "Censored data"; Beal (2001), J Pharmacokinet Pharmacodyn 28:481, method M3.
"""

from typing import NamedTuple

from bayestwin.records.cells import parse_number
from bayestwin.records.refusal import RowRefused
from bayestwin.records.tables import Row


def filled(row: Row, column: str) -> float:
    """A number where "." and an empty cell are 0, as in NONMEM."""
    return 0.0 if row[column] in ("", ".") else parse_number(row[column], column)


class Cell(NamedTuple):
    """DV or its limit (of an interval the lower end), the kind of censoring, LLOQ, the upper end of an interval;
    columns they stand in."""

    raw: float
    censoring: str
    lloq: float | None = None
    upper: float | None = None
    column: str = "dv"
    upper_column: str = "limit"


def censored(row: Row) -> Cell:
    """What a row says of its value, by Monolix's or NONMEM's convention."""
    cens = int(filled(row, "cens")) if filled(row, "cens") in (0, 1, -1) else None
    if cens is None:
        raise RowRefused(
            "this kind of censoring is not known",
            column="cens",
            value=row["cens"],
            allowed="0, 1 or -1",
            next_step="1 is below the limit in DV, -1 above it.",
        )
    lloq = filled(row, "lloq") or None
    if filled(row, "blq"):
        if lloq is None:
            raise RowRefused(
                "BLQ needs LLOQ",
                column="lloq",
                value=row["lloq"],
                allowed="the limit of quantification",
                next_step="Add LLOQ to that row.",
            )
        if filled(row, "dv") > lloq * (1 + 1e-9):
            raise RowRefused(
                "DV is above LLOQ and BLQ says it is not",
                column="blq",
                value=row["blq"],
                allowed="0",
                next_step="Correct BLQ, DV or LLOQ.",
            )
        return Cell(lloq, "left", column="lloq")
    if row["dv"] in ("", "."):
        raise RowRefused(
            "the observation has no value",
            column="dv",
            value=row["dv"],
            allowed="a number",
            next_step="Fill in DV, or say MDV = 1.",
        )
    raw = parse_number(row["dv"], "dv")
    if cens == 0:
        if lloq and row["blq"] not in ("", ".") and raw < lloq:
            raise RowRefused(
                "DV is below LLOQ and BLQ says it is not",
                column="blq",
                value=row["blq"],
                allowed="1",
                next_step="Correct BLQ or LLOQ.",
            )
        return Cell(raw, "none", lloq)
    if cens == 1 and lloq:
        if raw > lloq * (1 + 1e-9):
            raise RowRefused(
                "DV of a censored row is above LLOQ",
                column="dv",
                value=row["dv"],
                allowed=f"{lloq:g}, the LLOQ",
                next_step="With CENS = 1, DV is the limit.",
            )
        raw = lloq
    if cens == -1 and lloq and raw < lloq * (1 - 1e-9):
        raise RowRefused(
            "the row says above DV, and DV is below its LLOQ",
            column="dv",
            value=row["dv"],
            allowed=f"{lloq:g} or more",
            next_step="Correct DV or LLOQ; CENS is 1 for a value below a limit.",
        )
    if row["limit"] in ("", "."):
        return Cell(raw, "left" if cens == 1 else "right")
    limit = parse_number(row["limit"], "limit")
    if (limit - raw) * cens >= 0:
        raise RowRefused(
            "LIMIT is on the wrong side of DV",
            column="limit",
            value=row["limit"],
            allowed=f"{'less' if cens == 1 else 'more'} than {raw:g}",
            next_step="With CENS = 1 the value lies between LIMIT and DV, with CENS = -1 between DV and LIMIT.",
        )
    if cens == 1:
        return Cell(limit, "none", upper=raw, column="limit", upper_column="dv")
    return Cell(raw, "none", upper=limit)
