"""events.csv: what happened to the patient besides labs and doses."""

from bayestwin.labs import RecordSchema
from bayestwin.records.cells import one_of, status_of
from bayestwin.records.drafts import Clock, Draft, collect, patient_of
from bayestwin.records.record import ClinicalEvent
from bayestwin.records.refusal import Findings
from bayestwin.records.tables import Row, Table

REQUIRED = ("patient", "time", "event")
COLUMNS = (*REQUIRED, "known_time", "value", "status")
EVENTS = (
    "line_of_therapy",
    "leukapheresis",
    "infusion",
    "assessed",
    "progression",
    "death",
    "last_known_alive",
    "imaging",
    "transfusion",
    "other",
)
STARTS_TREATMENT = ("line_of_therapy", "infusion")
# Nobody knows these before they happen; the others may have been planned.
NEVER_PLANNED = ("assessed", "progression", "death", "last_known_alive")


def event_drafts(table: Table, schema: RecordSchema, clock: Clock, keys, findings: Findings) -> list[Draft]:
    """Every readable row of events.csv; the others are refused in `findings`."""
    table.note_ignored(COLUMNS, findings)
    return collect(table, findings, lambda row: _draft(row, schema, clock, keys))


def _draft(row: Row, schema: RecordSchema, clock: Clock, keys) -> Draft:
    patient, status = patient_of(row, keys), status_of(row)
    event = one_of(row["event"], "event", EVENTS, "the event", next_step="Use `other` with a value for anything else.")
    if event in STARTS_TREATMENT and status != "retracted" and (schema.treatments or not row["value"]):
        one_of(
            row["value"],
            "value",
            schema.treatments,
            "the treatment",
            next_step="Treatments are those of the model; an earlier line it does not know is left out.",
        )
    time, known = clock.read(row)
    body = ClinicalEvent(event, 0.0, 0.0, row["value"], status)
    return Draft(patient, row.file, row.number, body, time, known, status, cells=row.cells)
