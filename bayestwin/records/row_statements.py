"""What the rows of event tables say of covariates: statements, not yet believed (statements.py)."""

from collections.abc import Iterable, Mapping

from bayestwin.labs import RecordSchema
from bayestwin.records.clocks import Moment, parse_moment
from bayestwin.records.covariates import MISSING, Column
from bayestwin.records.drafts import Clock, Draft
from bayestwin.records.record import IN_ROW, ClinicalEvent, covariate_event
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.tables import Row, Table

NOTHING = ClinicalEvent(IN_ROW, 0.0, 0.0)  # the event of an empty cell, or of a covariate that acts on no parameter


def row_statements(
    table: Table,
    number: int,
    columns: list[Column],
    asked: Iterable[str],
    schema: RecordSchema,
    clock: Clock,
    findings: Findings,
) -> list[Draft]:
    """What every row of one event table says of every covariate; a cell that cannot be read is refused.

    asked : covariates that act on parameters and have a column in one of the tables: an empty cell, or a table without
        the column, says nothing of them and is told, since a patient's first row must say it
    """
    absent = [Column("", name) for name in sorted(set(asked) - {column.name for column in columns})]
    found: list[Draft] = []
    read: dict[tuple[str, str], float | str | None] = {}
    refused: set[tuple[str, str, str]] = set()
    last: dict[tuple[str, str], float | str] = {}
    for row in table.rows:
        if not row["id"]:
            continue
        try:
            moment = parse_moment(row["time"], "time", clock.file_unit, clock.time_unit)
        except RowRefused:
            continue  # refused where the row itself is read
        for column in (*columns, *absent):
            text, acts = row[column.column], column.name in schema.effects
            if (row["id"], column.column, text) in refused:
                continue
            try:
                if (column.column, text) not in read:
                    read[column.column, text] = None if text.lower() in ("", *MISSING) else column.read(text)
                value = read[column.column, text]
            except RowRefused as problem:
                findings.refuse(row["id"], table.file, row.number, problem, row.cells, whole=False)
                refused.add((row["id"], column.column, text))  # said once, not on every row of the patient
                continue
            if value is not None and last.get((row["id"], column.name)) != value:
                column.note_reference(value, table.file, findings)
                last[row["id"], column.name] = value
            if acts or value is not None:
                found.append(_statement(row, number, column, value, moment, acts))
    return found


def _statement(row: Row, number: int, column: Column, value, moment: Moment, acts: bool) -> Draft:
    body = covariate_event(column.name, value, IN_ROW) if acts and value is not None else NOTHING
    return Draft(
        row["id"],
        row.file,
        row.number,
        body,
        moment,
        None,
        sequence=row.number,
        cells=row.cells,
        table=number,
        column=column.column,
        said=(column.name, value),
    )


def values_for_doses(
    statements: Iterable[Draft], people: Mapping, earlier: Mapping, schema: RecordSchema, set_aside
) -> dict[str, dict[str, float | str]]:
    """First values by patient, for amounts per kg or m2: those of patients.csv, else the earlier record's, else the
    tables'. Where patients.csv and the first row, or two rows of the first time, differ on a covariate that acts on
    parameters, neither is used.
    """
    by_patient: dict[str, list[Draft]] = {}
    for one in statements:
        if (one.file, one.row) not in set_aside:
            by_patient.setdefault(one.patient, []).append(one)
    found = {}
    for key in dict.fromkeys((*earlier, *people, *by_patient)):
        mine = sorted(by_patient.get(key, ()), key=written_order)
        in_rows: dict[str, float | str] = {}
        contradicted = set()
        for one in mine:
            name, value = one.said or ("", None)
            late = name in schema.effects and mine[0].time.before(one.time)
            if value is not None and not late:
                if in_rows.setdefault(name, value) != value and name in schema.effects:
                    contradicted.add(name)
        in_rows = {name: value for name, value in in_rows.items() if name not in contradicted}
        known = earlier[key].covariates if key in earlier else {}
        said = people[key].covariates if key in people else {}
        found[key] = {**in_rows, **known, **said}
        if mine and key not in earlier and key in people and not _after(mine[0].time, people[key].zero):
            for name in set(schema.effects) & in_rows.keys() & said.keys():
                if in_rows[name] != said[name]:
                    del found[key][name]
    return found


def written_order(draft: Draft) -> tuple:
    """By time as written, then by file and row; dates and numbers of one patient cannot be compared here."""
    moment = draft.time
    return moment.date is not None, moment.number if moment.date is None else moment.date, draft.table, draft.row


def _after(moment: Moment, zero) -> bool:
    """True for a time known to lie after the patient's time zero."""
    if moment.number is not None:
        return moment.number > 0
    return zero is not None and moment.date is not None and moment.date > zero
