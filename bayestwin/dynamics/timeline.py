"""From a record to intervals of time on which nothing jumps: doses, infusions and treatment starts in order.

Diffrax has no dose events. A patient's history is cut at every dose, infusion end, treatment start, drift knot and
asked-for time; at the start of an interval boluses are added, infusion rates change, a treatment may start (the
model's `at_treatment` jump), then the vector field is integrated to the interval's end. Several events at one time
follow each other in file order. Intervals of zero length cost nearly nothing, so shorter histories are padded.
A model may ask for a fixed step grid (`Steps`): then intervals are also cut so that a step is short after a jump
and grows geometrically to the largest.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.specification import Steps

NEVER = 1.0e9  # start time of a treatment that has not started


class Timeline(NamedTuple):
    """Arrays of one patient (or stacked over patients): G intervals, S states, X treatments.

    start, end (G,) : times; bolus (G, S) : amounts added at the start; rate (G, S) : infusion rates in force
    jump (G,) : 1 where a treatment starts; active (G, X) : the current treatment; started (G, X) : latest start times
    """

    start: np.ndarray
    end: np.ndarray
    bolus: np.ndarray
    rate: np.ndarray
    jump: np.ndarray
    active: np.ndarray
    started: np.ndarray


@dataclass(frozen=True)
class Happening:
    """One jump: what changes at `time`; `order` breaks ties."""

    time: float
    order: float
    bolus: tuple[int, float] | None = None
    rate: tuple[int, float] | None = None
    treatment: int | None = None


def treatment_starts(model, record) -> list[tuple[float, str]]:
    """(time, treatment) of every treatment that has started, by the clinical event that starts it."""
    starts = []
    for event in record.events:
        if event.event in ("line_of_therapy", "infusion") and event.value in model.treatment_names:
            if model.treatment(event.value).starts_with == event.event:
                starts.append((event.time, event.value))
    return sorted(starts)


def happenings(model, record) -> list[Happening]:
    """Every jump of a record in order of time; additional doses written out."""
    found = []
    for dose in record.doses:
        compartment = model.routes.get(dose.target, dose.target)
        if compartment not in model.states:
            raise RecordError(
                "a dose goes nowhere",
                subject=f"patient {record.key}",
                place=f"dose at {dose.time:g}",
                value=dose.target,
                allowed=f"a route ({', '.join(model.routes)}) or a compartment ({', '.join(model.states)})",
            )
        if dose.ss:
            raise RecordError(
                "steady-state doses are not supported yet",
                subject=f"patient {record.key}",
                place=f"dose at {dose.time:g}",
                value=f"ss={dose.ss}",
                next_step="Write the doses out, or give addl and ii.",
            )
        k = model.states.index(compartment)
        for one in dose.expanded():
            if one.duration > 0:
                rate = one.amount / one.duration
                found += [
                    Happening(one.time, one.order, rate=(k, rate)),
                    Happening(one.time + one.duration, one.order, rate=(k, -rate)),
                ]
            else:
                found.append(Happening(one.time, one.order, bolus=(k, one.amount)))
    for time, name in treatment_starts(model, record):
        found.append(Happening(time, 0.0, treatment=model.treatment_names.index(name)))
    return sorted(found, key=lambda h: (h.time, h.order))


def build_timeline(model, record, *, start: float, end: float, asked=(), resumed: bool = False):
    """Intervals of a record from `start` to `end`, and where to read the solution.

    asked : sequence of (time, after) at which the state is wanted; after=True means after the jumps of that time
    resumed : the state at `start` already contains the jumps of `start` itself; the lasting parts of earlier jumps
        (infusion rates, the current treatment) are carried on in any case

    Jumps at `end` itself are applied only where a state after them is asked for: labs are drawn before the dose of
    the day, and a treatment that starts on the day of the last lab is still to come.

    Returns
    -------
    Timeline, index (len(asked),)     index is the interval at whose end the asked state stands
    """
    rate, active = np.zeros(len(model.states)), np.zeros(len(model.treatments))
    started, jumps = np.full(len(model.treatments), NEVER), []
    through_end = any(after and time == end for time, after in asked)
    for h in happenings(model, record):
        if h.time > end or (h.time == end and not through_end):
            break
        if h.time < start or (resumed and h.time <= start):
            _carry_on(h, rate, active, started)
        else:
            jumps.append(h)
    times = {start, end, *(h.time for h in jumps), *(t for t, _ in asked)}
    times |= {t for d in model.drift for t in d.every * np.arange(1, d.steps + 1) if start < t < end}
    jump_times = sorted({start, *(h.time for h in jumps)})
    points = _with_steps(sorted(times), jump_times, model.steps)

    rows, where = [], {}
    before = rate.copy(), active.copy(), started.copy()  # what was being done when the timeline starts

    def add(t0, t1, bolus=None, treatment=False):
        rows.append(
            (
                t0,
                t1,
                np.zeros(len(model.states)) if bolus is None else bolus,
                rate.copy(),
                float(treatment),
                active.copy(),
                started.copy(),
            )
        )

    for k, point in enumerate(points):
        if k > 0:
            add(points[k - 1], point)
        where[point, False] = max(len(rows) - 1, 0)
        for h in (h for h in jumps if h.time == point):
            _carry_on(h, rate, active, started)
            bolus = np.zeros(len(model.states))
            if h.bolus:
                bolus[h.bolus[0]] = h.bolus[1]
            add(point, point, bolus, h.treatment is not None)
        if k == 0 and not rows:
            add(point, point)
        where[point, True] = len(rows) - 1
    if (
        (start, False) in where
        and any(h.time == start for h in jumps)
        and any(t == start and not after for t, after in asked)
    ):
        rows.insert(0, (start, start, np.zeros(len(model.states)), before[0], 0.0, *before[1:]))
        where = {key: (0 if key == (start, False) else value + 1) for key, value in where.items()}
    stacked = Timeline(*(np.array(column, dtype=float) for column in zip(*rows)))
    return stacked, np.array([where[float(t), bool(after)] for t, after in asked], dtype=int)


def _carry_on(h: Happening, rate, active, started) -> None:
    """Apply the lasting part of a jump to the running arrays."""
    if h.rate:
        rate[h.rate[0]] += h.rate[1]
    if h.treatment is not None:
        active[:] = 0.0
        active[h.treatment], started[h.treatment] = 1.0, h.time


def _with_steps(times, jump_times, steps) -> list[float]:
    """The sorted times with further points so that no fixed step is longer than `steps` allows."""
    if not isinstance(steps, Steps):
        return [float(t) for t in times]
    points = [float(times[0])]
    for target in times[1:]:
        while points[-1] < target:
            since = points[-1] - max(t for t in jump_times if t <= points[-1])
            largest = min(steps.first + (steps.growth - 1.0) * since, steps.largest)
            left = (target - points[-1]) / largest
            points.append(
                float(target)
                if left <= 1.0 + 1e-9
                else points[-1] + (target - points[-1]) / np.ceil(left)
                if left <= 2
                else points[-1] + largest
            )
    return points


def pad_timeline(timeline: Timeline, intervals: int) -> Timeline:
    """Add zero-length intervals at the end until there are `intervals`."""
    extra = intervals - len(timeline.start)
    if extra < 0:
        raise ValueError(f"timeline has {len(timeline.start)} intervals, more than {intervals}")

    def repeat(a, zero=False):
        last = np.zeros_like(a[-1:]) if zero else a[-1:]
        return np.concatenate([a, np.repeat(last, extra, axis=0)])

    return Timeline(
        start=np.append(timeline.start, np.full(extra, timeline.end[-1])),
        end=repeat(timeline.end),
        bolus=repeat(timeline.bolus, True),
        rate=repeat(timeline.rate),
        jump=repeat(timeline.jump, True),
        active=repeat(timeline.active),
        started=repeat(timeline.started),
    )
