"""Drafts of one patient become rows on the patient's own clock: time zero and future.

Two clocks are checked here: nothing happens after as-of (dated rows), nothing is known before it happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bayestwin.dosing import DoseEvent
from bayestwin.records.clocks import LONGEST_YEARS, Moment
from bayestwin.records.drafts import Draft
from bayestwin.records.event_rows import NEVER_PLANNED
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
    drafts: Sequence[Draft],
    as_of: datetime,
    time_unit: str,
    *,
    declared: datetime | None,
    refused: bool,
    base_without_dates: bool,
    findings: Findings,
) -> Zero:
    """`time_zero` of patients.csv, else the patient's earliest dated row, else none.

    A row that its own dates refuse (it lies in the future, it was known before it happened) moves no other row.
    """
    if declared is not None:
        return Zero(declared, declared=True)
    dates = [d.time.date for d in drafts if d.time.date is not None]
    if refused:
        return Zero(unusable="the patient's time zero was refused")
    if base_without_dates and dates:
        return Zero(unusable="the patient's record is in relative time and has no time zero")
    if not dates:
        return Zero(unusable="the patient has no time zero")
    usable = [d.time.date for d in drafts if d.time.date is not None and _agrees_with_itself(d, as_of, time_unit)]
    if not usable:
        return Zero(min(dates))  # only the refusals count from it
    findings.tally(
        "patients without time_zero in patients.csv, whose earliest dated row is time zero (an earlier row that "
        "arrives later will move it): first such patient in " + drafts[0].file
    )
    return Zero(min(usable))


def _agrees_with_itself(draft: Draft, as_of: datetime, time_unit: str) -> bool:
    """True where a dated row can be placed on the clock that begins with it."""
    try:
        _place(draft, Zero(draft.time.date), as_of, time_unit)
    except RowRefused:
        return False
    return True


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
