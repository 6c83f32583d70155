"""Panels: what a forecaster knows before each set of labs that it must predict.

All labs that became known at one time form one panel and are predicted before any of them is learnt. The twin and
its rivals go through the same panels, so that they are scored on the same labs. Doses of the record, past and
scheduled, stay known, as a prescriber knows them, and so is what the first record says of covariates; clinical events
come with their panel.

With `reveal_until` only labs of that time or earlier are learnt, in one go as far as forecasts are concerned, and all
later ones are predicted; starts of treatments then stay known like doses, and no other later event is.
"""

from dataclasses import dataclass, replace

from bayestwin.records import PatientRecord
from bayestwin.records.first_values import AT_FIRST, SAID, first_record
from bayestwin.records.record import Lab

TREATMENT_EVENTS = ("line_of_therapy", "infusion", "leukapheresis")


@dataclass(frozen=True)
class Panel:
    """Labs to predict, and what is known before.

    known : PatientRecord      labs and events learnt before; with what is planned
    newer : PatientRecord      the same with this panel's rows (and, of a `final` panel, every lab to predict)
    labs : the labs to predict, in the order of the record
    final : nothing is learnt from this panel (it lies beyond `reveal_until`)
    """

    known: PatientRecord
    newer: PatientRecord
    labs: tuple[Lab, ...]
    final: bool = False


def panels(record, *, reveal_until: float | None = None, doses_known_until: float | None = None) -> tuple[Panel, ...]:
    """The panels of one patient in the order in which they became known.

    reveal_until : labs of a later time are predicted and never learnt; doses_known_until : later doses are hidden

    A row that corrects or withdraws what was learnt has nothing to predict: its panel has no labs.
    """
    whole = _hiding_doses(record, doses_known_until)
    learnt = whole if reveal_until is None else _until(whole, reveal_until)
    found, known = [], _before_any(learnt)
    labs = (*learnt.labs, *(s.row for s in learnt.past if isinstance(s.row, Lab)))
    for moment in sorted({lab.known_time for lab in labs} | {s.until for s in learnt.past}):
        newer = believed_at(learnt, moment)
        if newer != known:
            found.append(Panel(known, newer, _fresh(known, newer)))
            known = newer
    if reveal_until is not None and len(whole.labs) > len(learnt.labs):
        everything = replace(known, labs=(*known.labs, *(lab for lab in whole.labs if lab.time > reveal_until)))
        found.append(Panel(known, everything, _fresh(known, everything), final=True))
    return tuple(found)


def _before_any(record) -> PatientRecord:
    """What is known before the first panel: the doses, and what is said of covariates at the first record.

    A covariate that only a row says (of an event table, say) is part of the patient who is to be forecast; if it came
    with the first panel, that panel would change the past and none of its labs would have a forecast.
    """
    known = replace(believed_at(record, float("-inf")), labs=())
    first = first_record((*record.labs, *record.doses), (e for e in record.events if e.event in SAID))
    if first is None:
        return known
    then = record.known_at(first)
    said = tuple(e for e in then.events if e.event in (*SAID, AT_FIRST) and e.time == first and e not in known.events)
    return replace(known, covariates=then.covariates, events=(*known.events, *said))


def believed_at(record, known_time: float) -> PatientRecord:
    """The record as it stood at `known_time`, with every dose that it holds today."""
    return replace(record.known_at(known_time), doses=record.doses)


def _fresh(known, newer):
    """Labs of `newer` that `known` lacks; none where the panel changes what was known."""
    before = {(lab.lab_id, lab.output, lab.time): lab for lab in known.labs}
    now = {(lab.lab_id, lab.output, lab.time): lab for lab in newer.labs}
    if any(now.get(name) != lab for name, lab in before.items()):
        return ()
    return tuple(lab for name, lab in now.items() if name not in before)


def _until(record, time):
    """Labs and events up to `time`; every treatment event and dose, known from the beginning."""
    planned = [replace(e, known_time=float("-inf")) if e.time > time else e for e in record.events]
    events = tuple(e for e in planned if e.time <= time or e.event in TREATMENT_EVENTS)
    labs = tuple(lab for lab in record.labs if lab.time <= time)
    past = tuple(s for s in record.past if s.row.time <= time)
    return replace(record, labs=labs, events=events, past=past)


def _hiding_doses(record, time):
    """The record without doses after `time`; of a repeated dose the later ones are cut off."""
    if time is None:
        return record
    given = (dose.until(time) for dose in record.doses)  # cut, not written out: a reset cancels what is pending
    return replace(record, doses=tuple(dose for dose in given if dose is not None))
