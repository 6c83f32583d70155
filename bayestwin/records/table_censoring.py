"""Values beyond a limit in an event table: Monolix's CENS and LIMIT, or BLQ and LLOQ of NONMEM's M3 method.

CENS = 1 says the value lies below DV, -1 above it; LIMIT gives the other end, which must be the end of the
plausible range (values between two limits are not supported yet). BLQ = 1 says it lies below LLOQ.
Source: Monolix data format, "Censored data"; Beal (2001), J Pharmacokinet Pharmacodyn 28:481, method M3.
"""

from bayestwin.labs import LabSpec
from bayestwin.records.cells import parse_number
from bayestwin.records.refusal import RowRefused
from bayestwin.records.tables import Row


def filled(row: Row, column: str) -> float:
    """A number where "." and an empty cell are 0, as in NONMEM."""
    return 0.0 if row[column] in ("", ".") else parse_number(row[column], column)


def censored(row: Row, spec: LabSpec) -> tuple[float, str, float | None]:
    """DV or its limit, the kind of censoring, and LLOQ, by Monolix's or NONMEM's convention."""
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
        return lloq, "left", None
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
        return raw, "none", lloq
    if row["limit"] not in ("", "."):
        limit = parse_number(row["limit"], "limit")
        low, high = spec.plausible
        if (cens == 1 and limit > low) or (cens == -1 and limit < high):
            raise RowRefused(
                "values between two limits are not supported yet",
                column="limit",
                value=row["limit"],
                allowed=f"empty, or {'at most ' if cens == 1 else 'at least '}{low if cens == 1 else high:g}",
                next_step="Leave LIMIT empty to say below (or above) DV only.",
            )
    if cens == 1 and lloq:
        if raw > lloq * (1 + 1e-9):
            raise RowRefused(
                "DV of a censored row is above LLOQ",
                column="dv",
                value=row["dv"],
                allowed=f"{lloq:g}, the LLOQ",
                next_step="With CENS = 1, DV is the limit.",
            )
        return lloq, "left", None
    return raw, ("left" if cens == 1 else "right"), None
