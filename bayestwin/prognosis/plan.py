"""What each treatment row means for this patient: when it starts, who it holds for, what stays planned."""

from dataclasses import dataclass, replace

from bayestwin.dosing import Regimen
from bayestwin.dynamics import treatment_starts
from bayestwin.errors import ModelError
from bayestwin.records.record import ClinicalEvent, PatientRecord


@dataclass(frozen=True)
class Plan:
    """One row of a forecast.

    start : model time at which the treatment starts (the data cut for one that goes on); new : it has not started yet
    record : the patient's record with this treatment's events and doses added and other plans removed
    refused : why there is no number, or "" ; unknown : eligibility rules that could not be checked
    """

    name: str
    label: str
    role: str
    start: float
    new: bool
    record: PatientRecord
    refused: str = ""
    unknown: tuple[str, ...] = ()
    evidence: str = ""
    assumption: str = ""


def current_treatment(model, record, now: float) -> tuple[float, str] | None:
    """(start, name) of the latest treatment started by `now`, or None."""
    started = [s for s in treatment_starts(model, record) if s[0] <= now]
    return started[-1] if started else None


def eligibility(model, treatment, record, now: float) -> tuple[str, tuple[str, ...]]:
    """(first rule the patient is outside of, or ""; rules that could not be checked)."""
    seen = dict(record.covariates)
    for _, name in treatment_starts(model, record):
        if name != treatment.name:
            seen.update(dict(model.treatment(name).sets))
    checks = [(str(rule), rule.check(seen)) for rule in treatment.eligibility]
    outside = next((text for text, ok in checks if ok is False), "")
    return (f"the evidence holds for: {outside}" if outside else ""), tuple(text for text, ok in checks if ok is None)


def make_plans(model, record, treatments, now: float) -> tuple[Plan, ...]:
    """Plans for the asked treatments.

    treatments : None (all of the model), names, or name -> Regimen (None for the model's own)
    """
    if treatments is None:
        treatments = {name: None for name in model.treatment_names}
    elif not hasattr(treatments, "items"):
        treatments = {name: None for name in ([treatments] if isinstance(treatments, str) else treatments)}
    if not treatments:
        raise ModelError(
            "no treatment was asked for", subject=f"model {model.name}", allowed=", ".join(model.treatment_names)
        )
    now_on = current_treatment(model, record, now)
    return tuple(_plan(model, record, name, regimen, now, now_on) for name, regimen in treatments.items())


def _plan(model, record, name, regimen, now, now_on) -> Plan:
    if name not in model.treatment_names and regimen is None:
        model.treatment(name)  # raises with the names allowed
    known = model.treatment(name) if name in model.treatment_names else None
    if known is None or known.starts_with == "dose":
        regimen = regimen or (known.regimen if known else Regimen.none())
        doses = regimen.events(
            start=now,
            time_unit=model.time_unit,
            dose_unit=model.dose_unit,
            covariates=record.covariates,
            treatment=name,
        )
        past = tuple(d for d in record.doses if d.time <= now)
        return Plan(name, known.label if known else name, "option", now, True, replace(record, doses=(*past, *doses)))
    if now_on and now_on[1] == name:
        return Plan(
            name,
            known.label,
            "current",
            now_on[0],
            False,
            _without_plans(model, record, now),
            evidence=known.evidence,
            assumption="continued as it is",
        )
    refused, unknown = eligibility(model, known, record, now)
    planned = [t for t, n in treatment_starts(model, record) if n == name and t > now]
    apheresis = [e.time for e in record.events if e.event == "leukapheresis" and e.time <= now]
    begun = max(apheresis) if known.cell_therapy and apheresis else now
    start = planned[0] if planned else max(begun + known.wait, now)
    kept = _without_plans(model, record, now)
    event = ClinicalEvent(known.starts_with, start, now, name)
    return Plan(
        name,
        known.label,
        "planned" if planned else "option",
        start,
        True,
        replace(kept, events=(*kept.events, event)),
        refused,
        unknown,
        known.evidence,
        known.assumption,
    )


def _without_plans(model, record, now):
    """The record without treatment starts after `now`."""
    later = {(t, n) for t, n in treatment_starts(model, record) if t > now}
    return replace(record, events=tuple(e for e in record.events if (e.time, e.value) not in later))
