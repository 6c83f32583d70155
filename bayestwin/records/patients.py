"""patients.csv: study keys, time zeros and covariates.

One row per patient. Rows of one patient that contradict each other lose the cells they disagree on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from bayestwin.errors import RecordError
from bayestwin.labs import RecordSchema
from bayestwin.records.clocks import parse_zero
from bayestwin.records.covariates import MISSING, covariate_columns
from bayestwin.records.drafts import note_identifying, patient_of
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.tables import Table

TIME_ZERO = ("time_zero", "timezero", "time zero", "t0", "zero_date", "date_zero", "index_date", "baseline_date")


class Place(NamedTuple):
    """Where a cell stands, and what it says as written."""

    file: str
    row: int
    column: str
    text: str


@dataclass
class Person:
    """What patients.csv says of one patient, and where; a refused time zero is told from a missing one."""

    covariates: dict[str, float | str] = field(default_factory=dict)
    zero: datetime | None = None
    zero_refused: bool = False
    places: dict[str, Place] = field(default_factory=dict)


def read_patients(
    tables: Sequence[Table], schema: RecordSchema, as_of: datetime, findings: Findings
) -> dict[str, Person]:
    """Patients by study key, in file order. Rows that contradict each other lose the cells they disagree on.

    A row that another file holds too is read once; twice in one file it is refused.
    """
    found: dict[str, _Found] = {}
    for table in tables:
        zero = _zero_column(table)
        columns = covariate_columns(table, schema, ("patient", zero), findings)
        note_identifying(table, "patient", findings)
        for row in table.rows:
            try:
                key = patient_of(row, None)
            except RowRefused as problem:
                findings.refuse(row["patient"], table.file, row.number, problem, row.cells)
                continue
            mine = found.setdefault(key, _Found())
            if (table.file, row.cells) in mine.rows:
                twice = RowRefused(
                    "the row is a duplicate", column="patient", allowed="one row per patient", next_step="Remove it."
                )
                findings.refuse(key, table.file, row.number, twice)
                continue
            mine.rows.append((table.file, row.cells))
            _read_row(row, key, zero, columns, mine, as_of, findings)
    return {key: _agreed(key, mine, findings) for key, mine in found.items()}


def _zero_column(table: Table) -> str:
    """The column that gives the time zero, "" if there is none."""
    zeros = [c for c in table.columns if c in TIME_ZERO]
    if len(zeros) > 1:
        raise RecordError(
            "two columns give the time zero",
            place=f"{table.file} row 1",
            value=", ".join(zeros),
            allowed="time_zero",
            next_step="Leave one of them out.",
        )
    return zeros[0] if zeros else ""


@dataclass
class _Found:
    """Cells of one patient's rows that could be read: (value, file, row number, column, text) by covariate."""

    rows: list = field(default_factory=list)
    zeros: list = field(default_factory=list)
    zero_refused: bool = False
    values: dict[str, list] = field(default_factory=dict)


def _read_row(row, key: str, zero: str, columns, mine: _Found, as_of: datetime, findings: Findings) -> None:
    """Add the readable cells of one row to `mine`."""
    if zero and row[zero]:
        try:
            moment = parse_zero(row[zero], zero)
            if moment.date and moment.date > as_of:
                raise RowRefused(
                    "time zero lies in the future",
                    column=zero,
                    value=row[zero],
                    allowed=f"up to {as_of.date()}",
                    next_step="Correct the date, or give a later as-of.",
                )
            mine.zeros.append((moment.date, row.file, row.number, zero, row[zero]))
        except RowRefused as problem:
            findings.refuse(key, row.file, row.number, problem)
            mine.zero_refused = True
    for column in columns:
        text = row[column.column]
        if text.lower() in MISSING:
            findings.tally(f"{row.file}: {column.name} written as {text!r} is read as missing")
        elif text:
            try:
                read = (column.read(text), row.file, row.number, column.column, text)
                mine.values.setdefault(column.name, []).append(read)
                column.note_reference(read[0], row.file, findings)
            except (RowRefused, RecordError) as problem:
                if isinstance(problem, RecordError):
                    problem = RowRefused(problem.problem, column=column.column, value=text, next_step=problem.next_step)
                findings.refuse(key, row.file, row.number, problem)


def _agreed(key: str, mine: _Found, findings: Findings) -> Person:
    """The cells on which all rows of one patient agree; the others are refused."""

    def agreed(name, values) -> bool:
        if len({value for value, *_ in values}) == 1:
            return True
        for _, file, number, column, text in values:
            findings.refuse(
                key,
                file,
                number,
                RowRefused(
                    f"two rows of this patient disagree on {name}",
                    column=column,
                    value=text,
                    allowed="one value",
                    next_step="Keep the row that is right.",
                ),
            )
        return False

    person = Person(zero_refused=mine.zero_refused)
    if mine.zeros:
        person.zero = mine.zeros[0][0] if agreed(mine.zeros[0][3], mine.zeros) else None
        person.zero_refused |= person.zero is None
    person.covariates = {name: values[0][0] for name, values in mine.values.items() if agreed(name, values)}
    person.places = {name: Place(*mine.values[name][0][1:]) for name in person.covariates}
    return person
