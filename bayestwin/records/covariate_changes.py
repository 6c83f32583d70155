"""Covariates that change in time: each change is an event of the record, and holds until the next.

The first value stands among the record's covariates; a later one is a `ClinicalEvent("covariate", value="weight_kg =
72.5")`, which like every event has two clocks and can be corrected or withdrawn. Only covariates that act on
parameters change in time; of others the first value is used.
"""

from collections.abc import Iterable

from bayestwin.labs import RecordSchema
from bayestwin.records.clocks import parse_moment
from bayestwin.records.covariates import MISSING, Column
from bayestwin.records.drafts import Clock, Draft
from bayestwin.records.record import COVARIATE, ClinicalEvent, covariate_in
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.tables import Row, Table


def covariate_changes(record, names: Iterable[str]) -> list[tuple[float, str, float | str]]:
    """(time, covariate, value from then on) of the covariates named, in order of time."""
    found = [
        (e.time, *covariate_in(e.value)) for e in record.events if e.event == COVARIATE and e.status != "retracted"
    ]
    return sorted((one for one in found if one[1] in names), key=lambda one: one[:2])


def covariate_event(name: str, value: float | str) -> ClinicalEvent:
    """The event of a change, its times left at 0."""
    return ClinicalEvent(
        COVARIATE, 0.0, 0.0, f"{name} = {value!r}" if isinstance(value, float) else f"{name} = {value}"
    )


def change_drafts(
    table: Table,
    columns: list[Column],
    schema: RecordSchema,
    clock: Clock,
    keys,
    first: dict,
    earlier,
    findings: Findings,
):
    """Changes of covariates that act on parameters, from one row of a patient to the next; a cell left empty changes
    nothing. A covariate missing at the patient's first row is refused there, and stands at its reference until known.

    first : patient -> first covariates, from whatever file; earlier : patients of an earlier record, of whom the
        table's first row may be a change
    """
    acting = [column for column in columns if column.name in schema.effects]
    reached: dict[tuple[str, str], float | str] = {}
    begun: set[str] = set()
    drafts = []
    for row in table.rows:
        patient = row["id"]
        if not acting or not patient or (keys is not None and patient not in keys):
            continue
        begins, known = patient not in begun, first.get(patient, {})
        begun.add(patient)
        for column in acting:
            value = _read(row, column)
            if value is None:
                if begins and column.name not in known and _empty(row[column.column]):
                    findings.refuse(patient, table.file, row.number, _missing(row, column), row.cells)
                continue
            before = reached.get((patient, column.name), known.get(column.name))
            if before != value and (not begins or patient in earlier):
                try:
                    moment = parse_moment(row["time"], "time", clock.file_unit, clock.time_unit)
                except RowRefused:
                    continue  # refused where the row itself is read
                body = covariate_event(column.name, value)
                drafts.append(Draft(patient, row.file, row.number, body, moment, None, cells=row.cells))
            reached[patient, column.name] = value
    return drafts


def _read(row: Row, column: Column) -> float | str | None:
    """The value of a cell, None where it is missing or was refused already."""
    text = row[column.column]
    try:
        return None if _empty(text) else column.read(text)
    except RowRefused:
        return None


def _empty(text: str) -> bool:
    return not text or text.lower() in MISSING


def _missing(row: Row, column: Column) -> RowRefused:
    return RowRefused(
        f"the covariate {column.name} is missing at the patient's first record, and stands at its reference until it "
        "is known",
        column=column.column,
        value=row[column.column],
        allowed="a value in the first row of every patient; later cells may be empty",
        next_step="Fill in the cell, or give the covariate in patients.csv.",
    )
