"""One record, several ways in which it may have become known: the posterior at the end must not depend on the way.

Every way is the same record with other clocks (`known_time`, rows once believed): labs, doses, events and their values
at the end are equal, so the batch posterior is one and the same.

    as drawn         every lab becomes known when it is drawn
    shuffled         labs become known one by one in a random order, treatments and events beforehand
    tenfold error    one lab arrives at ten times its value and is corrected two visits later (of what is graded: at
                     the category furthest away)
    retracted        a lab that never was is learnt, and withdrawn two visits later
"""

from dataclasses import dataclass, replace

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.records import PatientRecord
from bayestwin.records.record import Superseded

WRONG = 2.0  # a wrong sample: twice the value of the lab drawn with it
LATER = 2  # visits until an error is noticed


@dataclass(frozen=True)
class Arrival:
    """A record whose clocks say how it became known; says : what is special about it, for a person."""

    record: PatientRecord
    says: str


def first_part(record, *, until: float | None = None, labs_at_most: int | None = None) -> PatientRecord:
    """Labs and events up to a time, or the first so many labs and events up to the last of them; all doses are kept."""
    labs = [lab for lab in record.labs if until is None or lab.time <= until]
    if labs_at_most is not None and len(labs) > labs_at_most:
        labs = labs[:labs_at_most]
        until = labs[-1].time
    events = tuple(e for e in record.events if until is None or e.time <= until)
    return replace(record, labs=tuple(labs), events=events, past=())


def main_output(model, record, asked: str | None = None) -> str:
    """The output whose labs are tampered with and forecast: as asked, else the model's first that was measured.

    Raises
    ------
    RecordError     no lab of it, or fewer than two measured values
    """
    measured = {lab.output for lab in record.labs}
    candidates = [o.output for o in model.observations if o.output in measured and asked in (None, o.output)]
    if not candidates:
        raise RecordError(
            "nothing to verify: no lab of this output",
            subject=f"patient {record.key}",
            value=asked,
            allowed=f"one of {', '.join(sorted(measured)) or '(the record has no labs)'}",
        )
    chosen = candidates[0]
    known = _measured(record, chosen, model.observations[model.observation_index[chosen]].lab_spec)
    if len(known) < 2:
        raise RecordError(
            f"too few measured values of {chosen} to verify an update",
            subject=f"patient {record.key}",
            value=len(known),
            allowed="two or more that are not beyond a limit",
        )
    return chosen


def as_drawn(record) -> PatientRecord:
    """Every lab known when drawn; events when they happened, those after the last lab together with it."""
    last = max(lab.time for lab in record.labs)
    labs = tuple(replace(lab, known_time=lab.time) for lab in record.labs)
    events = tuple(replace(e, known_time=min(e.time, last)) for e in record.events)
    return replace(record, labs=labs, events=events, past=())


def shuffled(record, rng: np.random.Generator) -> Arrival:
    """Labs one by one in a random order, each later than its time."""
    places = rng.permutation(len(record.labs))
    begin = max(lab.time for lab in record.labs)
    labs = tuple(replace(lab, known_time=begin + 1.0 + place) for lab, place in zip(record.labs, places))
    events = tuple(replace(e, known_time=begin) for e in record.events)
    order = ", ".join(f"{record.labs[k].time:g}" for k in np.argsort(places)[:6])
    says = f"{len(labs)} labs one by one in a random order, the first at times {order}"
    return Arrival(replace(record, labs=labs, events=events, past=()), says)


def tenfold(record, output: str, spec=None) -> Arrival:
    """The middle measured lab of `output` arrives at ten times its value. spec : LabSpec, if counted or graded"""
    drawn = as_drawn(record)
    found = _measured(drawn, output, spec)
    lab = found[len(found) // 2]
    noticed = _visits_later(drawn, lab.time)
    wrong = replace(lab, value=_wrong(lab.value, 10.0, spec))
    labs = tuple(replace(x, known_time=noticed, status="corrected") if x is lab else x for x in drawn.labs)
    says = f"{output} at {lab.time:g} arrived as {wrong.value:.4g}, corrected to {lab.value:.4g} at {noticed:g}"
    return Arrival(replace(drawn, labs=labs, past=(Superseded(wrong, noticed),)), says)


def retracted(record, output: str, spec=None) -> Arrival:
    """A second value of `output`, another patient's say, arrives with one of the first labs and is withdrawn later."""
    drawn = as_drawn(record)
    found = _measured(drawn, output, spec)
    lab = found[(len(found) - 1) // 3]
    noticed = _visits_later(drawn, lab.time)
    wrong = replace(lab, lab_id=f"{lab.lab_id} of somebody else", value=_wrong(lab.value, WRONG, spec))
    says = f"{output} = {wrong.value:.4g} at {lab.time:g} was learnt beside {lab.value:.4g}, withdrawn at {noticed:g}"
    return Arrival(replace(drawn, past=(Superseded(wrong, noticed),)), says)


def _wrong(value: float, factor: float, spec) -> float:
    """A wrong value; of what is counted or graded one that it may have."""
    if spec is None or not spec.whole:
        return factor * value
    if spec.categories:
        return float(max(spec.categories, key=lambda category: abs(category - value)))
    return float(min(round(factor * value), spec.plausible[1]) or factor)


def _measured(record, output: str, spec=None) -> list:
    """Labs of an output with a value that is not beyond a limit, nor, of what is measured, zero."""
    may_be_zero = spec is not None and spec.whole
    found = [lab for lab in record.labs if lab.output == output and lab.censoring == "none"]
    return [lab for lab in found if may_be_zero or lab.value != 0.0]


def _visits_later(record, time: float) -> float:
    """The known time of the visit that comes so much later, of the last one, or, after that, one unit of time more."""
    later = sorted({lab.known_time for lab in record.labs if lab.known_time > time})
    return later[min(LATER, len(later)) - 1] if later else time + 1.0
