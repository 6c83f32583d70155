"""events.csv: what happened to the patient besides labs and doses."""

from bayestwin.labs import RecordSchema
from bayestwin.records.cells import one_of, status_of
from bayestwin.records.covariates import MISSING, column_of
from bayestwin.records.drafts import Clock, Draft, collect, patient_of
from bayestwin.records.record import COVARIATE, ClinicalEvent, covariate_event
from bayestwin.records.refusal import Findings, RowRefused
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
    COVARIATE,
    "other",
)
STARTS_TREATMENT = ("line_of_therapy", "infusion")
# Nobody knows these before they happen; the others may have been planned.
NEVER_PLANNED = ("assessed", "progression", "death", "last_known_alive")
# Only the living are given a treatment or looked at; what is later than its known_time was planned (`proves_life`).
PROOF_OF_LIFE = ("assessed", "progression", "last_known_alive", "imaging", "transfusion", *STARTS_TREATMENT)
# Before the beginning these say nothing that a model reads: somebody was alive, and looked at.
SAYS_NOTHING_BEFORE = ("leukapheresis", "assessed", "last_known_alive", "imaging", "transfusion", "other")


def proves_life(event: ClinicalEvent) -> bool:
    """True for what is only done with the living; a treatment, imaging or transfusion known before it is a plan."""
    done = event.event in NEVER_PLANNED or event.time <= event.known_time
    return event.event in PROOF_OF_LIFE and done


def event_drafts(table: Table, schema: RecordSchema, clock: Clock, keys, findings: Findings) -> list[Draft]:
    """Every readable row of events.csv; the others are refused in `findings`."""
    table.note_ignored(COLUMNS, findings)
    return collect(table, findings, lambda row: _draft(row, schema, clock, keys, findings))


def _draft(row: Row, schema: RecordSchema, clock: Clock, keys, findings: Findings) -> Draft:
    patient, status = patient_of(row, keys), status_of(row)
    event = one_of(row["event"], "event", EVENTS, "the event", next_step="Use `other` with a value for anything else.")
    if event == "infusion" and status != "retracted" and row["value"] in schema.treatments:
        _check_infused(row["value"], schema)
    if event in STARTS_TREATMENT and status != "retracted" and (schema.treatments or not row["value"]):
        one_of(
            row["value"],
            "value",
            (event == "infusion" and schema.infused) or schema.treatments,
            "the treatment",
            next_step="Treatments are those of the model; an earlier line it does not know is left out.",
        )
    value = _change(row, schema, findings) if event == COVARIATE else row["value"]
    time, known_time = clock.read(row)
    body = ClinicalEvent(event, 0.0, 0.0, value, status)
    return Draft(patient, row.file, row.number, body, time, known_time, status, cells=row.cells, column="value")


def _check_infused(treatment: str, schema: RecordSchema) -> None:
    """Refuse the infusion of what is no cell product: nothing would begin with it."""
    if treatment not in schema.infused:
        raise RowRefused(
            f"{treatment} does not begin with an infusion of cells",
            column="value",
            value=treatment,
            allowed=f"one of {', '.join(schema.infused)}" if schema.infused else "no infusion in this model",
            next_step=f"Write the event line_of_therapy with the value {treatment}; doses go into doses.csv.",
        )


def _change(row: Row, schema: RecordSchema, findings: Findings) -> str:
    """What a covariate becomes, checked like a cell of patients.csv."""
    name, said = (part.strip() for part in (*row["value"].partition("=")[::2],))
    if name not in schema.changing or said.lower() in ("", *MISSING):
        raise RowRefused(
            "this says no change of a covariate that acts on a parameter or says who may have a treatment",
            column="value",
            value=row["value"],
            allowed=f"name = value, with one of {', '.join(schema.changing) or '(none in this model)'}",
            next_step="Write for example weight_kg = 72.5, in the unit of the name.",
        )
    column = column_of("value", name, schema)
    value = column.read(said)
    column.note_reference(value, row.file, findings)
    return covariate_event(name, value).value
