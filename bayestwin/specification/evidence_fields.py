"""One table of an evidence file, read field by field; a mistake names file, place, field, value and what is allowed."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import inf
from typing import Any, NoReturn

from bayestwin.errors import ModelError


class Fields:
    """A table of a TOML file with the words for where it stands.

    table : as TOML gives it; file : its name; place : where in it
    """

    def __init__(self, table: Mapping[str, Any], file: str, place: str):
        self.table, self.file, self.place = table, file, place

    def refuse(self, problem: str, field: str, value, allowed: str, next_step: str = "") -> NoReturn:
        """Raise what tells the writer of the file where to look."""
        where = f"{self.place}, {field}" if field else self.place
        value = _short(value)
        raise ModelError(problem, subject=self.file, place=where, value=value, allowed=allowed, next_step=next_step)

    def only(self, known: Sequence[str]) -> None:
        """Refuse a field that there is not."""
        for name in self.table:
            if name not in known:
                self.refuse(
                    "there is no such field", name, self.table[name], f"one of {', '.join(known)}", _meant(name, known)
                )

    def word(self, field: str) -> str:
        """A name that may stand in a file name or on the command line: letters, digits and underscores."""
        value = self._given(field, "a name of letters, digits and underscores")
        if not isinstance(value, str) or not value.isidentifier():
            self.refuse("this is no name", field, value, "letters, digits and underscores, a letter first")
        return value

    def text(self, field: str, usual: str) -> str:
        """Words for a person."""
        value = self.table.get(field, usual)
        if not isinstance(value, str):
            self.refuse("this is no text", field, value, "words in quotes")
        return value

    def one_of(self, field: str, allowed: Sequence[str], usual: str | None = None) -> str:
        """One of several words; `usual` where the field is missing."""
        said = f"one of {', '.join(allowed) or '(none)'}"
        value = self._given(field, said) if usual is None else self.table.get(field, usual)
        if value not in allowed:
            self.refuse(f"there is no such {field.replace('_', ' ')}", field, value, said, _meant(value, allowed))
        return value

    def whole(self, field: str, most: int) -> int:
        """A whole number from 1."""
        said = f"a whole number from 1 to {most}"
        value = self._given(field, said)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self.refuse("this is no number of patients", field, value, said)
        return value

    def number(
        self,
        field: str,
        usual: float | None = None,
        *,
        said: str,
        low: float = -inf,
        high: float = inf,
        low_excluded: bool = False,
        high_excluded: bool = False,
    ) -> float:
        """A finite number within limits; `usual` where the field is missing, None to ask for it."""
        value = self._given(field, said) if usual is None else self.table.get(field, usual)
        good = not isinstance(value, bool) and isinstance(value, int | float) and abs(value) < inf
        if not good or not low <= value <= high or (low_excluded and value == low) or (high_excluded and value == high):
            self.refuse("this number cannot be", field, value, said)
        try:
            return float(value)
        except OverflowError:  # a whole number of hundreds of digits
            self.refuse("this number cannot be", field, value, said)

    def _given(self, field: str, said: str):
        if field not in self.table:
            self.refuse("a field is missing", field, None, said)
        return self.table[field]


def _short(value):
    """A value as it may be shown; of a number of hundreds of digits, or of lists in lists in lists, what it is."""
    if isinstance(value, int) and not -(10**30) < value < 10**30:
        return "a number of more than 30 digits"
    try:
        repr(value)
    except RecursionError:
        return "lists within lists"
    return value


def _meant(value, allowed: Sequence[str]) -> str:
    """A question where a word is nearly an allowed one."""
    close = get_close_matches(value, allowed, 1) if isinstance(value, str) else []
    return f"Did you mean {close[0]}?" if close else ""
