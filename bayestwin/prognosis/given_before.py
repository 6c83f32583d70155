"""Treatments of a row that the patient has had before the one in force: from when to when, and what was observed.

The forecast of such a row knows of that time through its labs alone; whoever reads the row is told.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from bayestwin.dynamics import treatment_starts
from bayestwin.prognosis.observed_endpoints import recorded_progression
from bayestwin.prognosis.plan import Plan
from bayestwin.prognosis.response import codes_response, response_table


class GivenBefore(NamedTuple):
    """One time on a treatment that has ended: model times from its start to the start of what came next.

    response : best confirmed category by the model's criteria, "" where none is confirmed, None where none is coded
    progressed : model time of progression under it, None without
    """

    treatment: str
    start: float
    end: float
    response: str | None
    progressed: float | None


def given_before(model, plan: Plan, now: float) -> tuple[GivenBefore, ...]:
    """Every time on a treatment of this row that has ended, in order; () of what was never given or goes on, and of a
    pause, in which nothing is."""
    own = plan.treatments if plan.new else ()  # the record of a row that starts now holds that start
    events = tuple(e for e in plan.record.events if e.time <= now and not (e.time >= plan.start and e.value in own))
    labs = tuple(lab for lab in plan.record.labs if lab.time <= now)
    record, begun = replace(plan.record, labs=labs, events=events), list[tuple[float, str]]()
    for time, name in treatment_starts(model, record):
        if not begun or begun[-1][1] != name:  # begun again while in force, it goes on
            begun.append((time, name))
    return tuple(
        GivenBefore(name, start, end, *_observed(model, record, start, end))
        for (start, name), (end, _) in zip(begun, begun[1:])
        if name in plan.treatments and not model.treatment(name).pause
    )


def _observed(model, record, start: float, end: float) -> tuple[str | None, float | None]:
    """(best confirmed category, time of progression) of what was given from start to end."""
    found = [recorded_progression(record, start)]
    best: str | None = None
    if codes_response(model):
        coded = response_table(model, record, start=start).coded
        best = coded.best
        found.append(coded.progression)
    return best, min((event.time for event in found if event is not None and event.time <= end), default=None)


def given_before_words(model, plan: Plan, now: float, when: Callable[[float], str]) -> str:
    """ "given before: day 5 to day 52, best response SD"; "" where nothing was. when : how a model time is said"""
    said = [_words(model, one, when, named=len(plan.treatments) > 1) for one in given_before(model, plan, now)]
    return f"given before: {'; '.join(said)}" if said else ""


def _words(model, one: GivenBefore, when, *, named: bool) -> str:
    parts = [f"{when(one.start)} to {when(one.end)}"]
    if one.response is not None:
        parts.append(f"best response {one.response}" if one.response else "no response confirmed")
    if one.progressed is not None:
        parts.append(f"progression on {when(one.progressed)}")
    return f"{model.treatment(one.treatment).label} " * named + ", ".join(parts)
