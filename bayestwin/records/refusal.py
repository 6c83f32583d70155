"""What was not used and why: one `Refusal` per row or cell, notes for what was understood but should be known.

Nothing is repaired: a row that cannot be believed is set aside with the place, the value, what would have been
accepted and what to do, and the other rows go on. Patients appear by study key only.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from bayestwin.errors import DATE_OF_BIRTH, HIDDEN_KEY, NAME_LIKE, RecordError, looks_identifying

_ADDRESS = re.compile(r"@\s*([^\W\d_]|[^\s@]*\.[^\W\d_]{2})")  # a number behind the @: a lab_id such as m_protein@0.5
_WORD = re.compile(r"[^\W\d_]{2,}")
NUMBER = re.compile(r"[-+]?\d[\d.,]*([eE][-+]?\d+)?")
FEW = 3  # refusals for one reason that are still told one by one


@dataclass(frozen=True)
class Refusal:
    """One row, or one cell of a patient's row, that was not used.

    patient : the study key as messages show it
    row : row in the file as a spreadsheet counts them, the header being row 1; 0 for the whole file
    value : the cell of that column as written, shortened; hidden where it looks like a person's name
    key : the study key as written, to tell patients apart; never shown, and no part of `as_row`
    """

    patient: str
    file: str
    row: int
    column: str
    value: str
    reason: str
    allowed: str = ""
    next_step: str = ""
    key: str = field(default="", repr=False, compare=False)

    def as_row(self) -> dict:
        """Column -> cell of everything that may be shown."""
        return {name: getattr(self, name) for name in SHOWN}

    def __str__(self) -> str:
        place = f"{self.file} row {self.row}" + (f", {self.column}" if self.column else "")
        subject = f"patient {self.patient}" if self.patient else ""
        return str(
            RecordError(
                self.reason,
                subject=subject,
                place=place,
                value=self.value or None,
                allowed=self.allowed,
                next_step=self.next_step,
            )
        )


SHOWN = tuple(f.name for f in fields(Refusal) if f.name != "key")


class RowRefused(Exception):
    """Inside the readers: this row ends here. Becomes a `Refusal` where patient, file and row are known."""

    def __init__(self, reason: str, *, column: str = "", value="", allowed: str = "", next_step: str = ""):
        super().__init__(reason)
        self.reason, self.column, self.value, self.allowed, self.next_step = reason, column, value, allowed, next_step


@dataclass
class Findings:
    """Refusals and notes while files are read.

    tallies : note -> how many rows it concerns; keys : study keys of refused rows, as written
    holes : patients with a refused dose, reset or steady state
    set_aside : (file, row) of rows that are not used at all, so that nothing they say counts
    older : patient -> why a snapshot may be an older state of that record
    """

    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tallies: dict[str, int] = field(default_factory=dict)
    keys: dict[str, None] = field(default_factory=dict)
    holes: dict[str, None] = field(default_factory=dict)
    set_aside: set[tuple[str, int]] = field(default_factory=set)
    older: dict[str, str] = field(default_factory=dict)

    def refuse(
        self,
        patient: str,
        file: str,
        row: int,
        problem: RowRefused,
        cells: Mapping[str, str] | None = None,
        *,
        whole: bool = True,
    ) -> None:
        """Set one row or cell aside.

        cells : the row as written; the refusal then quotes the cell of the column it names, never a computed value
        whole : False for a cell of a row that is used otherwise
        """
        if whole:
            self.set_aside.add((file, row))
        written = str(problem.value if cells is None or not problem.column else cells.get(problem.column, ""))
        quoted = shown_cell(written, problem.allowed)
        parts: tuple[str, ...] = (problem.column, problem.reason, problem.allowed, problem.next_step)
        if quoted != shown(written):  # hidden: then nowhere else either
            parts = tuple(part.replace(written, quoted) for part in parts)
        column, reason, allowed, step = parts
        if patient:
            self.keys[patient] = None
        refusal = Refusal(shown_key(patient), file, row, column, quoted, reason, allowed, step, key=patient)
        self.refusals.append(refusal)

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def tally(self, text: str) -> None:
        """Say something once, with the number of rows it concerns."""
        self.tallies[text] = self.tallies.get(text, 0) + 1

    def all_notes(self) -> tuple[str, ...]:
        """Notes in the order they were made, counted ones last."""
        return (*self.notes, *(f"{text}: {n} row{'s' if n > 1 else ''}." for text, n in self.tallies.items()))


def alike(refusals: Iterable[Refusal]) -> list[list[Refusal]]:
    """Refusals of one file and column whose reasons differ in numbers at most, under each other; others by themselves.

    The files of another model have hundreds of rows that are refused for one reason: it is said once.
    """
    groups: dict[tuple, list[Refusal]] = {}
    for one in refusals:
        groups.setdefault((one.file, one.column, NUMBER.sub("#", one.reason)), []).append(one)
    found = []
    for group in groups.values():
        found += [group] if len(group) > FEW else [[one] for one in group]
    return found


def refusal_lines(refusals: Iterable[Refusal]) -> list[str]:
    """One sentence per refusal, or per group of `alike` ones with their number."""
    return [
        str(g[0]) + (f" (and {len(g) - 1} more like this, to row {g[-1].row})" if g[1:] else "")
        for g in alike(refusals)
    ]


def shown(value) -> str:
    """A value from a file, fit for one line: no control characters, at most 60 characters."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= 60 else text[:57] + "..."


def is_study_key(key: str) -> bool:
    """True where a key may stand in files that others read: nothing in it looks like a person.

    A word without a digit may be a name; a name with a number behind it cannot be told from a study key.
    """
    return not looks_identifying(key) and (any(c.isdigit() for c in key) or len(key) <= 3)


def shown_key(key: str) -> str:
    """The study key as messages may show it: a key that looks identifying is not repeated."""
    return HIDDEN_KEY if looks_identifying(key) else shown(key)


def shown_cell(text: str, allowed: str = "") -> str:
    """A cell as messages may show it: letters that look like a name or an address are counted, not repeated.

    A bare date or number is shown, and so is a text that only repeats words of `allowed` ("light chain").
    """
    personal = _ADDRESS.search(text) or NAME_LIKE.search(text) or (_WORD.search(text) and DATE_OF_BIRTH.search(text))
    if personal and folded(text) not in folded(allowed):
        return f"a text of {len(text)} characters, not shown"
    return shown(text)


def folded(text: str) -> str:
    """Letters and digits only, in one case: what two spellings of one word share."""
    return re.sub(r"[\W_]", "", text).casefold()


def refusals_to_frame(refusals: Iterable[Refusal]):
    """All refusals as a pandas DataFrame, one row each, columns as `Refusal.as_row` has them."""
    import pandas as pd

    return pd.DataFrame([r.as_row() for r in refusals], columns=list(SHOWN))


def spreadsheet_safe(frame):
    """The same table; a text cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    frame = frame.copy()
    for column in frame.columns:
        if column != "row":
            frame[column] = [f"'{v}" if re.match(r"[=@]|[+-](?![\d.])", v) else v for v in frame[column]]
    return frame


def write_refusals(refusals: Iterable[Refusal], path) -> None:
    """Write the same table as UTF-8 CSV, safe to open in a spreadsheet."""
    spreadsheet_safe(refusals_to_frame(refusals)).to_csv(path, index=False, encoding="utf-8")
