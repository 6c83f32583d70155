"""One patient's record from the rows of all files, the row of patients.csv and the earlier record."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from bayestwin.dosing import DoseEvent
from bayestwin.labs import RecordSchema
from bayestwin.records.after_death import refuse_after_death, time_of_death
from bayestwin.records.clocks import Moment, parse_zero, zero_text
from bayestwin.records.copies import with_copies
from bayestwin.records.dose_plausibility import note_changed_size
from bayestwin.records.drafts import Draft
from bayestwin.records.event_rows import SAYS_NOTHING_BEFORE
from bayestwin.records.identity import Kind, believe
from bayestwin.records.names import Body, spoken
from bayestwin.records.patients import Person
from bayestwin.records.placing import Placed, Zero, place, time_zero
from bayestwin.records.record import COVARIATE, IN_ROW, ClinicalEvent, Lab, PatientRecord
from bayestwin.records.refusal import Findings, shown_key
from bayestwin.records.statements import once_per_file, other_covariates, resolve, says_covariate, split_base
from bayestwin.records.ties import note_troughs_of_steady_states, settle_ties


def whole_record_of(tables: Mapping[str, str], covariates: Iterable[str]) -> dict[str, tuple[Kind, ...]]:
    """Kinds of rows of which a snapshot is the whole record, by file.

    tables : file -> name of its table
    covariates : those that an event table has a column for; of others it says nothing and takes nothing back
    """
    kinds: dict[str, tuple[Kind, ...]] = {
        "labs": (Lab,),
        "doses": (DoseEvent,),
        "events": (ClinicalEvent, COVARIATE),
        "event_table": (Lab, DoseEvent, *((IN_ROW, name) for name in covariates)),
    }
    return {file: kinds.get(name, ()) for file, name in tables.items()}


def _held(key: str, snapshot_of: Mapping[str, tuple[Kind, ...]], findings: Findings) -> set[Kind]:
    """Kinds of which a row of this patient was refused: what it would have named is not absent.

    A refused cell of a row that is used otherwise, a covariate in an event table, holds back covariates alone.
    """
    held: set[Kind] = set()
    for refusal in findings.refusals:
        if refusal.key == key:
            whole = (refusal.file, refusal.row) in findings.set_aside
            held |= {kind for kind in snapshot_of.get(refusal.file, ()) if whole or isinstance(kind, tuple)}
    return held


def one_record(
    key: str,
    drafts: list[Draft],
    person: Person,
    base: PatientRecord | None,
    snapshot_of: Mapping[str, tuple[Kind, ...]],
    as_of: datetime,
    schema: RecordSchema,
    findings: Findings,
) -> tuple[PatientRecord, int]:
    """The record as believed now, and how many rows the earlier record held already.

    drafts : readable rows, and what they say of covariates
    snapshot_of : file -> kinds whose rows there are the whole record
    """
    rows = [d for d in drafts if not says_covariate(d.body)]
    telling = [d for d in drafts if d.said is None or _tells(d, schema) and (d.file, d.row) not in findings.set_aside]
    zero = _zero(key, telling, person, base, as_of, schema.time_unit, findings)
    placed = place(rows, zero, as_of, schema.time_unit, findings)
    placed = settle_ties(placed, lambda target: schema.says(target, "lag"), base.doses if base is not None else ())
    placed = with_copies(placed, base, schema.routes, findings)
    withdrawn_at = max((p.known for p in placed), default=0.0)
    if zero.date:
        withdrawn_at = Moment(date=as_of).after(zero.date, schema.time_unit)
    elif base is not None:
        withdrawn_at = max(withdrawn_at, base.last_time)
    withdrawing = dict.fromkeys((kind for kinds in snapshot_of.values() for kind in kinds), withdrawn_at)
    known_rows, known_said = split_base(base)
    found = believe(placed, known_rows, withdrawing, schema.routes, findings, _held(key, snapshot_of, findings))
    _note_older(key, placed, found.absent, findings)
    death = time_of_death(found.rows)
    kept = refuse_after_death(found.rows, death, found.sources, schema.time_unit, findings)
    statements = [d for d in drafts if says_covariate(d.body) and (d.file, d.row) not in findings.set_aside]
    others = [d for d in statements if d.said is not None and d.said[0] not in schema.effects]
    statements = [d for d in statements if d.said is None or d.said[0] in schema.effects]
    stated = _placed_statements(statements, zero, as_of, schema.time_unit, findings)
    acting = [p for p in stated if p.draft.said is None or _tells(p.draft, schema)]
    held = _held(key, snapshot_of, findings)
    said = believe(once_per_file(acting), known_said, withdrawing, schema.routes, findings, held)
    said.rows = refuse_after_death(said.rows, death, said.sources, schema.time_unit, findings)
    blanks = [p for p in stated if p.draft.said is not None and p.draft.said[1] is None]
    first = resolve(key, kept, said, blanks, person, base, schema, findings)
    covariates = first.covariates | other_covariates(others, person, base, schema.effects, findings)
    note_troughs_of_steady_states(kept, found.sources, findings)
    if any(r.time < 0 for r in kept if not (isinstance(r, ClinicalEvent) and r.event in SAYS_NOTHING_BEFORE)):
        findings.tally(
            "rows before the patient's time zero, so that the model's initial state is that of the earliest lab, "
            "dose or start of a treatment, in patients with such rows; see docs/files.md"
        )
    elif any(r.time < 0 for r in kept):
        findings.tally(
            "visits and other events before the patient's time zero, which say nothing, in patients with such rows"
        )
    events = [*(r for r in kept if isinstance(r, ClinicalEvent)), *first.events]
    record = PatientRecord(
        key=key,
        labs=tuple(r for r in kept if isinstance(r, Lab)),
        doses=tuple(
            sorted((r for r in kept if isinstance(r, DoseEvent)), key=lambda d: (d.time, d.order, d.target, d.amount))
        ),
        events=tuple(sorted(events, key=lambda e: (e.time, e.event, e.value))),
        covariates=covariates,
        time_zero=zero_text(zero.date) if zero.date and (zero.declared or placed or stated) else "",
        past=tuple(sorted([*found.past, *said.past], key=lambda s: (s.row.time, s.until, repr(s.row)))),
    )
    note_changed_size(base, record, findings)
    return record, found.unchanged + said.unchanged


def _note_older(key: str, placed: list[Placed], absent: list[Body], findings: Findings) -> None:
    """Say where a snapshot lacks what became known after every row of it: an older file looks like that."""
    newest = max((p.known for p in placed), default=float("-inf"))
    later = sorted((row for row in absent if row.known_time > newest), key=lambda row: row.known_time)
    if later:
        findings.tally("rows that became known after every row of the snapshot were withdrawn; is it an older file?")
        said = f"newest row became known at {newest:g}" if placed else "files hold no row"
        findings.older[key] = (
            f"the snapshot's {said}, the earlier record's at {later[-1].known_time:g}: {spoken(later[-1])}"
        )


def _tells(draft: Draft, schema: RecordSchema) -> bool:
    """True for a row that says the value of a covariate that acts on a parameter."""
    return draft.said is not None and draft.said[0] in schema.effects and draft.said[1] is not None


def _zero(
    key: str,
    drafts: list[Draft],
    person: Person,
    base: PatientRecord | None,
    as_of: datetime,
    time_unit: str,
    findings: Findings,
) -> Zero:
    """Time zero: as the earlier record has it, as patients.csv says, or the first dated row.

    An earlier record without rows has nothing that counts from its time zero: patients.csv may say another.
    """
    declared = person.zero
    counts = base is not None and bool(base.labs or base.doses or base.events or base.past)
    if base is not None and base.time_zero and (counts or declared is None):
        before = parse_zero(base.time_zero).date
        if declared is not None and declared != before:
            findings.note(
                f"patient {shown_key(key)}: time_zero differs from that of the earlier record, which is kept "
                f"({base.time_zero}); rebuild the record from all files to move it."
            )
        declared = before
    if not drafts:
        return Zero(declared, declared=True)
    return time_zero(
        drafts,
        as_of,
        time_unit,
        declared=declared,
        refused=person.zero_refused,
        findings=findings,
        base_without_dates=base is not None and not base.time_zero and counts,
    )


def _placed_statements(
    statements: list[Draft], zero: Zero, as_of: datetime, time_unit: str, findings: Findings
) -> list[Placed]:
    """Statements of rows that are used, on the patient's clock; a row that cannot be placed is refused once."""
    aside = Findings()
    placed = place(statements, zero, as_of, time_unit, aside)
    for refusal in aside.refusals:
        if (refusal.file, refusal.row) not in findings.set_aside:
            findings.set_aside.add((refusal.file, refusal.row))
            findings.refusals.append(refusal)
    return placed
