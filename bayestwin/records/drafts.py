"""A row that could be read by itself, before the patient's time zero and the other rows are known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from unicodedata import is_normalized

from bayestwin.dosing import DoseEvent
from bayestwin.errors import BayestwinError
from bayestwin.records.clocks import Moment, parse_moment
from bayestwin.records.record import ClinicalEvent, Lab
from bayestwin.records.refusal import Findings, RowRefused, looks_identifying
from bayestwin.records.tables import Row, Table


@dataclass(frozen=True)
class Draft:
    """One lab, dose or event with its two clocks still as written.

    body : times inside are placeholders
    known : None where the file says nothing
    named : lab_id as written, "" if none
    copy : 1, or 2, 3... for further rows of the same kind and time
    sequence : place among rows of one time where the file says so, else None
    cells : the row as written, for a refusal to quote
    table : 0 of a tidy file; event tables of one reading are numbered from 1 by what they hold
    column : the cell that says it, where a row says several things
    said : of a covariate in a row of an event table, its name and value (None: the cell is empty)
    """

    patient: str
    file: str
    row: int
    body: Lab | DoseEvent | ClinicalEvent
    time: Moment
    known: Moment | None
    status: str = "final"
    named: str = ""
    copy: int = 1
    sequence: int | None = None
    cells: Mapping[str, str] = field(default_factory=dict)
    table: int = 0
    column: str = ""
    said: tuple[str, float | str | None] | None = None


@dataclass(frozen=True)
class Clock:
    """Units of time of the file and of the model."""

    file_unit: str
    time_unit: str

    def read(self, row: Row) -> tuple[Moment, Moment | None]:
        """`time` and `known_time` of a row."""
        known = (
            parse_moment(row["known_time"], "known_time", self.file_unit, self.time_unit) if row["known_time"] else None
        )
        return parse_moment(row["time"], "time", self.file_unit, self.time_unit), known


def patient_of(row: Row, keys: frozenset[str] | None, column: str = "patient") -> str:
    """The study key of a row; refused where it is empty, cannot be typed as it is seen, or is not one of `keys` (None:
    any key will do)."""
    key = row[column]
    if not key:
        raise RowRefused(
            "the row belongs to no patient", column=column, allowed="a study key", next_step="Fill in the study key."
        )
    if not key.isprintable() or not is_normalized("NFC", key):
        raise RowRefused(
            "the study key holds a character that cannot be seen, or letters apart from their accents, so that it "
            "looks like another key",
            column=column,
            value=key,
            allowed="letters, digits, signs and plain spaces",
            next_step="Write the key anew, by hand.",
        )
    if keys is not None and key not in keys:
        raise RowRefused(
            "this patient is not in patients.csv",
            column=column,
            allowed="a key of patients.csv",
            next_step="Add the patient to patients.csv, or correct the key (leading zeros count).",
        )
    return key


def note_identifying(table: Table, column: str, findings: Findings) -> None:
    """Say that a key looks like a person, once per file: with the first such row and their number."""
    rows = [row.number for row in table.rows if looks_identifying(row[column])]
    if rows:
        findings.note(
            f"{table.file}: the patient key looks like a name, an address or a date of birth (first in row {rows[0]}, "
            f"{len(rows)} in all); use study keys only. It is not shown in messages."
        )


def copy_of(sequence: int | None) -> int:
    """Rows of a tidy file that say a place after the dose are told apart from those before it."""
    return 1 if sequence is None or sequence <= 0 else 1 + sequence


def collect(
    table: Table,
    findings: Findings,
    read: Callable[[Row], Draft | None],
    *,
    key: str = "patient",
    leaves_hole: Callable[[Row], bool] = lambda row: False,
) -> list[Draft]:
    """`read` each row; refuse the ones that cannot be read and go on.

    leaves_hole : True for rows whose refusal leaves the patient's dose history incomplete
    """
    drafts = []
    note_identifying(table, key, findings)
    for row in table.rows:
        try:
            draft = read(row)
        except (RowRefused, BayestwinError) as problem:
            if isinstance(problem, BayestwinError):
                problem = RowRefused(
                    problem.problem,
                    value="" if problem.value is None else problem.value,
                    allowed=problem.allowed,
                    next_step=problem.next_step,
                )
            findings.refuse(row[key], table.file, row.number, problem, row.cells)
            if row[key] and leaves_hole(row):
                findings.holes[row[key]] = None
            continue
        if draft is not None:
            drafts.append(draft)
    return drafts


def note_mixed_times(file: str, drafts: list[Draft], clock: Clock, findings: Findings) -> None:
    """Say that a file of dates also holds plain numbers of time: they need no mistake, and nothing shows one."""
    clocks = [[m for m in (d.time, d.known) if m is not None] for d in drafts]
    numbers = [d.row for d, moments in zip(drafts, clocks, strict=True) if any(m.number is not None for m in moments)]
    if numbers and any(m.date is not None for moments in clocks for m in moments):
        findings.note(
            f"{file}: dates and plain numbers of time are mixed; numbers (first in row {numbers[0]}, {len(numbers)} "
            f"in all) count in {clock.file_unit} from the patient's time zero and are not checked against as-of."
        )
