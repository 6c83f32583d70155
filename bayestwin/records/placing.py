"""Drafts of one patient become rows on the patient's own clock: time zero, future, and what tied times mean.

Two clocks are checked here: nothing happens after as-of (dated rows), nothing is known before it happened,
nothing is measured after death.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from math import inf, isclose

from bayestwin.dosing import DoseEvent
from bayestwin.records.clocks import LONGEST_YEARS, Moment
from bayestwin.records.drafts import Draft
from bayestwin.records.event_rows import NEVER_PLANNED, PROOF_OF_LIFE
from bayestwin.records.record import ClinicalEvent, Lab
from bayestwin.records.refusal import Findings, RowRefused, shown_key
from bayestwin.units import convert


@dataclass(frozen=True)
class Placed:
    """A draft whose body carries its times; `known` is its known_time."""

    draft: Draft
    body: Lab | DoseEvent | ClinicalEvent
    known: float


@dataclass(frozen=True)
class Zero:
    """Time zero of one patient. unusable : why dated rows cannot be placed, "" if they can."""

    date: datetime | None = None
    unusable: str = ""
    declared: bool = False


def time_zero(
    drafts: Sequence[Draft], *, declared: datetime | None, refused: bool, base_without_dates: bool, findings: Findings
) -> Zero:
    """`time_zero` of patients.csv, else the patient's earliest dated row, else none."""
    if declared is not None:
        return Zero(declared, declared=True)
    dates = [d.time.date for d in drafts if d.time.date is not None]
    if refused:
        return Zero(unusable="the patient's time zero was refused")
    if base_without_dates and dates:
        return Zero(unusable="the patient's record is in relative time and has no time zero")
    if not dates:
        return Zero(unusable="the patient has no time zero")
    findings.tally(
        "patients without time_zero in patients.csv, whose earliest dated row is time zero (an earlier row that "
        "arrives later will move it): first such patient in " + drafts[0].file
    )
    return Zero(min(dates))


def place(drafts: Sequence[Draft], zero: Zero, as_of: datetime, time_unit: str, findings: Findings) -> list[Placed]:
    """Drafts of one patient with their times; rows that cannot be placed are refused."""
    zoned = {d.time.zoned for d in drafts if d.time.date is not None and not d.time.whole_day}
    if len(zoned) > 1:
        findings.note(
            f"patient {shown_key(drafts[0].patient)}: some times carry a zone and some do not; "
            "those without are read as UTC."
        )
    placed = []
    for draft in drafts:
        try:
            placed.append(_place(draft, zero, as_of, time_unit))
        except RowRefused as problem:
            findings.refuse(draft.patient, draft.file, draft.row, problem, draft.cells)
            if isinstance(draft.body, DoseEvent):
                findings.holes[draft.patient] = None
    return placed


def _place(draft: Draft, zero: Zero, as_of: datetime, time_unit: str) -> Placed:
    time = _on_clock(draft.time, "time", zero, as_of, time_unit)
    known = time
    if draft.known is not None:
        known = _on_clock(draft.known, "known_time", zero, as_of, time_unit)
        if draft.known.covers(draft.time):
            known = max(known, time)  # the day of the specimen, not its first moment
    planned = isinstance(draft.body, DoseEvent) or (
        isinstance(draft.body, ClinicalEvent) and draft.body.event not in NEVER_PLANNED
    )
    if known < time - 1e-9 and not planned and draft.status != "retracted":
        raise RowRefused(
            "it became known before it happened",
            column="known_time",
            value=f"{known:.6g}",
            allowed=f"at least {time:.6g}, the time",
            next_step="Correct one of the two times.",
        )
    if isinstance(draft.body, DoseEvent) and draft.time.date is not None:
        ahead = timedelta(days=convert(draft.body.addl * draft.body.ii, time_unit, "day"))
        if draft.time.date + ahead > as_of:
            raise RowRefused(
                "additional doses lie in the future",
                column="addl",
                value=draft.body.addl,
                allowed=f"doses up to {as_of.date()}",
                next_step="Keep to the doses given; future doses come from treatments.",
            )
    return Placed(draft, replace(draft.body, time=time, known_time=known), known)


def _on_clock(moment: Moment, column: str, zero: Zero, as_of: datetime, time_unit: str) -> float:
    """One moment in the model's unit from time zero."""
    step = "Add time_zero for this patient to patients.csv."
    if moment.date is None:
        if zero.date is not None and not zero.declared:
            raise RowRefused(
                "the patient's other rows are dated, and this one counts from an unknown time zero",
                column=column,
                value=f"{moment.after(None, time_unit):g}",
                allowed="a date",
                next_step=step,
            )
        return moment.after(None, time_unit)
    if moment.date > as_of:
        raise RowRefused(
            "it lies in the future" if column == "time" else "it was not yet known",
            column=column,
            value=moment.date.isoformat(),
            allowed=f"up to {as_of.isoformat(timespec='seconds')}",
            next_step="Correct the date, or give a later as-of.",
        )
    if zero.date is None:
        raise RowRefused(
            f"the date cannot be placed: {zero.unusable}",
            column=column,
            value=moment.date.isoformat(),
            allowed="a number, or a time zero",
            next_step=step,
        )
    value = moment.after(zero.date, time_unit)
    if abs(value) > convert(LONGEST_YEARS, "year", time_unit):
        raise RowRefused(
            "this date is implausibly far from time zero",
            column=column,
            value=moment.date.isoformat(),
            allowed=f"within {LONGEST_YEARS} years of {zero.date.date()}",
            next_step="Correct the date.",
        )
    return value


def settle_ties(
    placed: list[Placed], lagged: Callable[[str], bool] = lambda target: False, earlier: Sequence[DoseEvent] = ()
) -> list[Placed]:
    """Order numbers of labs and doses of one time.

    lagged : True for targets whose doses arrive later by a parameter of the model
    earlier : doses of an earlier record, which may still arrive

    The first dose, or doses in a row, get 0, the next 2 and so on; a lab between them gets the odd number in
    between, a lab before all of them -1. Without a said sequence a lab comes first (a trough): in an event table too,
    where a dose of that time stands in another file. A dose that resets or settles the whole state, and the one after
    it, begin a new number: their order matters. A lab of a tidy file that says a place after the dose stands after all
    doses of its time in the earlier record too, and gets 1 where none is known: an additional or lagged dose may arrive
    then, and a dose may become known later. In an event table a lab at the time of an additional or lagged dose of
    an earlier row is written after it, and gets 0 in the place of -1; so does one after a dose whose lag is a
    parameter, since it might arrive then.
    """
    before = _doses_before(placed)

    def sequence(p: Placed) -> tuple[float, int, int, bool]:
        is_dose, table, row = isinstance(p.body, DoseEvent), p.draft.table, p.draft.row
        if table:
            return (-1.0 if not is_dose and before[id(p)] == 0 else inf, table, row, is_dose)
        said = p.draft.sequence
        return (said if said is not None else 0.0 if is_dose else -1.0, 0, 0, is_dose)

    unique, again = _repeated(placed, before)
    timed = sorted(unique, key=lambda p: (p.body.time, *sequence(p)))
    doses = [*earlier, *(p.body for p in timed if isinstance(p.body, DoseEvent))]
    settled = [p for p in placed if isinstance(p.body, ClinicalEvent)]
    for _, together in groupby(timed, key=lambda p: p.body.time):
        block, after_dose = -1, False
        for p in together:
            is_dose = isinstance(p.body, DoseEvent)
            alone = is_dose and (p.body.reset or p.body.ss > 0)
            if is_dose and (alone or not after_dose):
                block += 1
            after_dose = is_dose and not alone
            order = 2 * block + (0 if is_dose else 1)
            if order < 0 and p.draft.table and _sent_to(p.body.time, doses, lagged):
                order = 0
            if not is_dose and not p.draft.table and (p.draft.sequence or 0) > 0:
                order = max([order, 1, *(d.order + 1 for d in earlier if isclose(d.time, p.body.time, rel_tol=1e-12))])
            for one in (p, *again.get(id(p), ())):
                if not isinstance(one.body, ClinicalEvent):
                    settled.append(replace(one, body=replace(one.body, order=order)))
    return settled


def _doses_before(placed: list[Placed]) -> dict[int, int]:
    """How many doses of its time stand above a row in its own event table, by id."""
    found: dict[int, int] = {}
    given: dict[tuple[int, float], int] = {}
    for p in sorted(placed, key=lambda p: p.draft.row):
        where = p.draft.table, p.body.time
        found[id(p)] = given.get(where, 0)
        given[where] = found[id(p)] + isinstance(p.body, DoseEvent)
    return found


def _repeated(placed: list[Placed], before: dict[int, int]) -> tuple[list[Placed], dict[int, list[Placed]]]:
    """Labs and doses once each, and by the id of such a row those that repeat it in another event table.

    Tables overlap; a lab is repeated where it follows as many doses of its time there, and they must not count twice.
    """
    once: list[Placed] = []
    again: dict[int, list[Placed]] = {}
    first: dict[tuple, Placed] = {}
    for p in sorted(placed, key=lambda p: (p.draft.table, p.draft.row)):
        if isinstance(p.body, ClinicalEvent):
            continue
        what = repr(p.body), None if isinstance(p.body, DoseEvent) else before[id(p)]
        twin = first.setdefault(what, p) if p.draft.table else p
        if twin.draft.table == p.draft.table:
            once.append(p)
        else:
            again.setdefault(id(twin), []).append(p)
    return once, again


def _sent_to(time: float, doses: Sequence[DoseEvent], lagged: Callable[[str], bool]) -> bool:
    """True where an additional or lagged dose of an earlier time arrives at `time`, or might."""
    for dose in doses:
        if dose.time < time and lagged(dose.target):
            return True
        if dose.time < time and (dose.addl or dose.lag):
            if any(isclose(one.time + one.lag, time, rel_tol=1e-12) for one in dose.expanded()):
                return True
    return False


def time_of_death(rows: Sequence) -> float | None:
    """When the patient died, None where no row says so."""
    return min((r.time for r in rows if isinstance(r, ClinicalEvent) and r.event == "death"), default=None)


def latest_after_death(death: float, time_unit: str) -> float:
    """Until when something may be said to have happened to one who died: a death known by its date counts from the
    first moment of that day."""
    return death + convert(1.0, "day", time_unit)


def _proves_life(body: Lab | DoseEvent | ClinicalEvent) -> bool:
    return isinstance(body, Lab) or (isinstance(body, ClinicalEvent) and body.event in PROOF_OF_LIFE)


def refuse_after_death(
    rows: list, death: float | None, sources: dict[int, Placed], time_unit: str, findings: Findings
) -> list:
    """Drop what is said to have happened more than a day after death.

    rows : bodies as believed now; sources : id of a body -> where it stands, for rows read now
    """
    if death is None:
        return rows
    kept, latest = [], latest_after_death(death, time_unit)
    for body in rows:
        source = sources.get(id(body))
        if source is None or body.time <= latest:
            if source is not None and body.time > death and _proves_life(body):
                findings.tally(
                    "labs and events within a day after the patient's death, which counts from the last of them"
                )
            kept.append(body)
            continue
        findings.refuse(
            source.draft.patient,
            source.draft.file,
            source.draft.row,
            RowRefused(
                "it is said to have happened after the patient's death",
                column="time",
                value=f"{body.time:.6g}",
                allowed=f"up to {latest:.6g}, a day after the death",
                next_step="Correct this time or the time of death.",
            ),
            source.draft.cells,
        )
    return kept
