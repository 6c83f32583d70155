"""What is said of covariates that act on parameters, and what it comes to: the one place that resolves it.

Readers make statements (patient, covariate, value, time, known_time, place):

    patients.csv                from the beginning on
    a row of an event table     at its time; an empty cell says nothing
    events.csv                  a change at its time

Every statement with a time is kept in the record as an event, also one that changes nothing yet, and is corrected,
withdrawn and recognised like any event. The value at a time is what was said last, the first value that of
patients.csv, else that of the first record; a covariate that nothing says by then stands at its reference until
something does. So the record depends on what is said, not on how it is spread over files and readings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bayestwin.labs import OCCASION, RecordSchema
from bayestwin.records.drafts import Draft
from bayestwin.records.first_values import AT_FIRST, IN_ROW, SAID, covariate_in, first_record, from_beginning
from bayestwin.records.identity import Believed
from bayestwin.records.patients import Person, Place
from bayestwin.records.placing import Placed
from bayestwin.records.record import ClinicalEvent, PatientRecord, covariate_event
from bayestwin.records.refusal import Findings, RowRefused, shown_key
from bayestwin.records.row_statements import written_order

EARLIER = "the earlier record"


def says_covariate(body) -> bool:
    """True for a statement with a time."""
    return isinstance(body, ClinicalEvent) and body.event in SAID


def split_base(base: PatientRecord | None) -> tuple[PatientRecord | None, PatientRecord | None]:
    """The earlier record without its statements, and its statements alone."""
    if base is None:
        return None, None
    events = tuple(e for e in base.events if e.event not in (*SAID, AT_FIRST))
    past = tuple(s for s in base.past if not says_covariate(s.row))
    said = tuple(e for e in base.events if e.event in SAID)
    said_past = tuple(s for s in base.past if says_covariate(s.row))
    return replace(base, events=events, past=past), replace(base, labs=(), doses=(), events=said, past=said_past)


def once_per_file(placed: Sequence[Placed]) -> list[Placed]:
    """Statements without those that another row of the same file and time repeats: a visit of several rows.

    Of several occasions that one file says of one time the last written counts: a trough belongs to the occasion before
    the dose of its time, which begins the next one.
    """
    kept: dict[tuple, Placed] = {}
    for k, p in enumerate(placed):
        if p.draft.said is None:
            kept[(k,)] = p
        elif p.draft.said[0] == OCCASION:
            key = (p.draft.file, round(p.body.time, 9), OCCASION)
            if key not in kept or kept[key].draft.row < p.draft.row:
                kept[key] = p
        else:
            kept.setdefault((p.draft.file, round(p.body.time, 9), p.draft.said), p)
    return list(kept.values())


@dataclass
class Resolved:
    """covariates : first values; events : what is said, as the record keeps it"""

    covariates: dict[str, float | str] = field(default_factory=dict)
    events: list[ClinicalEvent] = field(default_factory=list)


def resolve(
    key: str,
    rows: Sequence,
    believed: Believed,
    blanks: Sequence[Placed],
    person: Person,
    base: PatientRecord | None,
    schema: RecordSchema,
    findings: Findings,
) -> Resolved:
    """First values and changes of one patient's covariates that act on parameters, and changes of others.

    rows : labs, doses and events as believed now; believed : statements; blanks : empty cells of used rows
    """
    effects, said = schema.effects, [e for e in believed.rows if isinstance(e, ClinicalEvent)]
    first = first_record((r for r in rows if not isinstance(r, ClinicalEvent)), said)
    always: dict[str, tuple[float | str, Place | None]] = {
        name: (value, None) for name, value in (from_beginning(base) if base else {}).items() if name in effects
    }
    for name in effects:
        if name in person.covariates:
            always[name] = person.covariates[name], person.places.get(name)
    result = Resolved()
    for name in effects:
        mine = [e for e in said if covariate_in(e.value)[0] == name]
        start = next((e for e in mine if e.time == first), None)
        value = always.get(name)
        if start is not None and value is not None and start.event == IN_ROW:
            start, value = _agreed(key, name, start, value, believed.sources.get(id(start)), findings)
            if start is None:
                mine = [e for e in mine if e.time != first]
        at_first = covariate_in(start.value)[1] if start is not None else None
        _note_contradiction(key, name, value, mine, first, findings)
        if value is not None:
            result.covariates[name] = value[0]
            if first is not None and at_first == value[0]:
                result.events.append(replace(covariate_event(name, value[0], AT_FIRST), time=first, known_time=first))
        elif at_first is not None:
            result.covariates[name] = at_first
        elif name not in always:
            if name not in schema.distributed:
                _tell_missing(key, name, first, blanks, mine, schema, findings)
            elif mine and name in schema.acquired and first is not None and min(e.time for e in mine) <= first:
                pass  # known from the beginning
            elif mine and name in schema.acquired:
                findings.note(
                    f"patient {shown_key(key)}: {name} is not said at the first record; until "
                    f"{min(e.time for e in mine):g} it is integrated over the model's distribution."
                )
            elif mine:
                findings.note(
                    f"patient {shown_key(key)}: {name} is not said at the first record; what is said at "
                    f"{min(e.time for e in mine):g} is taken from the beginning."
                )
        result.events += mine
    result.events += [e for e in said if covariate_in(e.value)[0] not in effects]  # eligibility may ask for them
    return result


def _note_contradiction(key: str, name: str, value, mine, first: float | None, findings: Findings) -> None:
    """Say where patients.csv is contradicted at or before the first record: the statement holds from then on."""
    for event in mine:
        said = covariate_in(event.value)[1]
        if (
            value is not None
            and first is not None
            and event.time <= first
            and said != value[0]
            and event.event != AT_FIRST
        ):
            findings.note(
                f"patient {shown_key(key)}: {name} is {value[0]} in patients.csv and {said} at {event.time:g}, "
                "which holds from then on."
            )


def _agreed(key: str, name: str, start: ClinicalEvent, value: tuple, source: Placed | None, findings: Findings):
    """The statement of the first row and the value of patients.csv, without those that contradict each other.

    A first row after time zero is no contradiction but a change, which is noted.
    """
    (said, place), in_row = value, covariate_in(start.value)[1]
    if said == in_row:
        return start, value
    row = EARLIER if source is None else f"{source.draft.file} row {source.draft.row}"
    cell = EARLIER if place is None else f"{place.file} row {place.row}"
    if start.time > 0:
        if source is not None:
            findings.note(
                f"patient {shown_key(key)}: {name} is {said} in {cell} and {in_row} in {row}, the patient's first "
                f"record, at {start.time:g}: read as a change at that time."
            )
        return start, value
    how = {
        "allowed": "one value at the patient's first record",
        "next_step": "Correct the one that is wrong, or leave one of the two empty.",
    }
    if source is not None:
        draft = source.draft
        problem = RowRefused(f"{name} is {in_row} here and {said} in {cell}", column=draft.column, **how)
        findings.refuse(key, draft.file, draft.row, problem, draft.cells, whole=False)
    if place is not None:
        problem = RowRefused(
            f"{name} is {said} here and {in_row} in {row}", column=place.column, value=place.text, **how
        )
        findings.refuse(key, place.file, place.row, problem, whole=False)
    return (None if source is not None else start), (None if place is not None else value)


def _tell_missing(
    key: str,
    name: str,
    first: float | None,
    blanks: Sequence[Placed],
    said: Sequence[ClinicalEvent],
    schema: RecordSchema,
    findings: Findings,
) -> None:
    """Refuse the empty cell of a patient's first row; where no cell is to blame, say from when on it is known."""
    instead = "acts as on the average of patients" if name in schema.averaged else "stands at its reference"
    mine = (p.draft for p in blanks if p.draft.said is not None and p.draft.said[0] == name and p.body.time == first)
    blank = min(mine, key=lambda draft: (draft.table, draft.row), default=None)
    if blank is not None:
        problem = RowRefused(
            f"the covariate {name} is missing at the patient's first record, and "
            f"{'is 1' if name == OCCASION else instead} until it is known",
            column=blank.column,
            allowed="a value in the first row of every patient; later cells may be empty",
            next_step="Fill in the cell, or give the covariate in patients.csv.",
        )
        findings.refuse(key, blank.file, blank.row, problem, blank.cells, whole=False)
    elif said and name != OCCASION:
        findings.note(
            f"patient {shown_key(key)}: {name} is not said at the first record and {instead} until "
            f"{min(e.time for e in said):g}."
        )


def other_covariates(
    statements: Sequence[Draft], person: Person, base: PatientRecord | None, effects: Sequence[str], findings: Findings
) -> dict[str, float | str]:
    """Covariates that act on no parameter: of patients.csv, else of the earlier record, else first in the tables."""
    known = base.covariates if base is not None else {}
    found = {name: value for name, value in known.items() if name not in effects}
    for draft in sorted(statements, key=written_order):
        name, value = draft.said or ("", None)
        if value is not None and found.setdefault(name, value) != value:
            findings.tally(f"{draft.file}: covariate {name} changes in time; the patient's first value is used")
        if name in person.covariates and value not in (None, person.covariates[name]):
            findings.tally(f"{draft.file}: covariate {name} differs from patients.csv, which is used")
    return found | {name: value for name, value in person.covariates.items() if name not in effects}
