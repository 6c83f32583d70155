"""One cell becomes a number, a whole number or one of a few words; anything else refuses the row.

Stricter than `float()`: Python would take "1_000", "nan" and Arabic digits; a record must not.
"""

import re
from difflib import get_close_matches
from math import isfinite

from bayestwin.records.refusal import RowRefused, folded
from bayestwin.records.tables import Row
from bayestwin.units import NUMBER

STATUS = ("final", "corrected", "retracted")
_COMMA = re.compile(r"[+-]?\d+,\d+|[+-]?\d{1,3}([., ']\d{3})+([.,]\d+)?", re.ASCII)


def parse_number(text: str, column: str) -> float:
    """A finite decimal number; raises RowRefused otherwise."""
    if NUMBER.fullmatch(text) and isfinite(value := float(text)):
        return value + 0.0  # "-0" is 0: rows are named by their time, and "-0" would be another name
    step = "Write a plain number with a decimal point; leave the cell empty where there is none."
    if _COMMA.fullmatch(text):
        step = (
            "Write a decimal point and no thousands separator; whether this comma is one or the other is not guessed."
        )
    raise RowRefused(
        "this is not a number", column=column, value=text, allowed="a finite number such as 12.5", next_step=step
    )


def number(row: Row, column: str) -> float | None:
    """The number in a cell, None where it is empty."""
    return parse_number(row[column], column) if row[column] else None


def needed_number(row: Row, column: str) -> float:
    """The number in a cell that must not be empty."""
    if not row[column]:
        raise RowRefused(
            f"{column} is missing",
            column=column,
            allowed="a number",
            next_step=f"Fill in {column}, or leave the row out.",
        )
    return parse_number(row[column], column)


def whole(row: Row, column: str, *, empty: int = 0) -> int:
    """The whole number in a cell."""
    value = number(row, column)
    if value is None:
        return empty
    if value != int(value):
        raise RowRefused(
            "this is not a whole number",
            column=column,
            value=row[column],
            allowed="a whole number",
            next_step="Correct the cell.",
        )
    return int(value)


def at_least_zero(row: Row, column: str) -> float:
    """A number that cannot be negative, 0 where the cell is empty."""
    value = parse_number(row[column], column) if row[column] else 0.0
    if value < 0:
        raise RowRefused(
            f"{column} is negative",
            column=column,
            value=row[column],
            allowed="0 or more",
            next_step="Correct the cell.",
        )
    return value


def one_of(text: str, column: str, allowed, what: str, *, next_step: str = "") -> str:
    """`text`, if it is one of `allowed`; else refused with the nearest spelling."""
    if text in allowed:
        return text
    near = get_close_matches(folded(text), [folded(a) for a in allowed], n=1)
    match = next((a for a in allowed if near and folded(a) == near[0]), "")
    hint = f"Is {match} meant? " if match else ""
    raise RowRefused(
        f"{what} {'is missing' if not text else 'is not known'}",
        column=column,
        value=text,
        allowed=f"one of {', '.join(allowed)}" if allowed else "none for this model",
        next_step=hint + (next_step or "Correct the cell, or leave the row out."),
    )


def status_of(row: Row) -> str:
    """final where nothing is said."""
    return one_of(row["status"].lower() or "final", "status", STATUS, "the status")
