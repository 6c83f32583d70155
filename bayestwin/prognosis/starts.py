"""The record as a row of a forecast sees it: starts and doses added at and after the data cut, other plans left out."""

from dataclasses import replace
from typing import NamedTuple

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import treatment_starts
from bayestwin.prognosis.assessments import MOMENT
from bayestwin.prognosis.eligibility import cells_taken
from bayestwin.records.record import ClinicalEvent, PatientRecord


class Cut(NamedTuple):
    """The data cut: its time, whether the twin's state holds the jumps of that time, the treatment in force as
    (start, name) or None, and how far the forecast goes."""

    now: float
    applied: bool
    in_force: tuple[float, str] | None
    span: float


def leukapheresis_of(model, treatment, record, now: float) -> float:
    """When a treatment's leukapheresis was, or is planned, or would be if it were chosen at `now`; `now` for one that
    has none."""
    if not treatment.cell_therapy:
        return now
    if (done := cells_taken(model, record, now)) is not None:
        return done
    planned = [e.time for e in record.events if e.event == "leukapheresis" and e.time > now]
    delay = treatment.to_leukapheresis + sum(d.of(record.covariates) for d in treatment.delays)
    return min(planned) if planned else now + max(delay, 0.0)


def earliest_start(model, treatment, record, now: float) -> float:
    """When a treatment would start if it were chosen at `now`, or was chosen before its leukapheresis was done."""
    return max(leukapheresis_of(model, treatment, record, now) + treatment.wait, now)


def doses_of(model, record, name, regimen, start: float):
    """A regimen's dose events from `start`, in the model's units."""
    how = {"time_unit": model.time_unit, "dose_unit": model.dose_unit, "covariates": record.covariates}
    return regimen.events(start=start, treatment=name, **how)


def doses_until(record, now: float) -> tuple[DoseEvent, ...]:
    """The doses given by `now`; of a row with additional doses those of them."""
    return tuple(given for dose in record.doses if (given := dose.until(now)) is not None)


def with_start(model, record, treatment, start: float, cut: Cut) -> PatientRecord:
    """The record with the start of a treatment added."""
    event = ClinicalEvent(treatment.starts_with, begin(model, record, cut, start), cut.now, treatment.name)
    return replace(record, events=(*record.events, event))


def begin(model, record, cut: Cut, start: float) -> float:
    """Where a start stands in the record.

    At the data cut it must follow what the state holds of that very time, and what the record itself starts then:
    a moment later, else it would be taken as done already, or the alphabet would decide which of two came last.
    """
    taken = cut.applied or any(t == start for t, _ in treatment_starts(model, record))
    return start + MOMENT if start == cut.now and taken else start


def without_plans(model, record, now):
    """The record without treatment starts after `now`."""
    later = {(t, n) for t, n in treatment_starts(model, record) if t > now}
    return replace(record, events=tuple(e for e in record.events if (e.time, e.value) not in later))
