"""From a record to intervals of time on which nothing jumps: doses, infusions and treatment starts in order.

Diffrax has no dose events. A patient's history is cut at every dose, infusion end, treatment start, drift knot and
asked-for time; at the start of an interval boluses are added, infusion rates change, a treatment may start (the
model's `at_treatment` jump), then the vector field is integrated to the interval's end. Several events at one time
follow each other in file order. Intervals of zero length cost nearly nothing, so shorter histories are padded.
A model may ask for a fixed step grid (`Steps`): then intervals are also cut so that a step is short after a jump
and grows geometrically to the largest.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bayestwin.dynamics.arrivals import NO_CYCLE, NOTHING, Arrival, Moving, pad_moving, stacked
from bayestwin.dynamics.doses import Happening, dose_happenings
from bayestwin.dynamics.layout import Rows, between_moving, standing
from bayestwin.dynamics.resets import Resets, gather_resets, pad_resets
from bayestwin.records.record import covariate_changes
from bayestwin.specification import Steps

BEFORE, AFTER = -1.0, np.inf  # places among the jumps of one time: a trough, and after all of them
TOGETHER = 1e-12  # times closer than this, relative to 1 + |time|, are one: 0.3 is 0.1 + 0.2


class Timeline(NamedTuple):
    """Arrays of one patient (or stacked over patients): G intervals, S states, X treatments.

    start, end (G,) : times; bolus (G, S) : amounts added at the start; rate (G, S) : infusion rates in force
    jump (G,) : 1 where a treatment starts; active (G, X) : the current treatment; started (G, X) : latest start times
    resets : resets and steady states, or None; moving : doses whose times or amounts are parameters, or None
    """

    start: np.ndarray
    end: np.ndarray
    bolus: np.ndarray
    rate: np.ndarray
    jump: np.ndarray
    active: np.ndarray
    started: np.ndarray
    resets: Resets | None = None
    moving: Moving | None = None


def happens(timeline: Timeline):
    """(G,) True for intervals that last, begin with a bolus or a treatment; not for resets or what moves."""
    return (timeline.end > timeline.start) | (timeline.jump > 0) | (timeline.bolus != 0).any(axis=-1)


def treatment_starts(model, record) -> list[tuple[float, str]]:
    """(time, treatment) of every treatment that has started, by the clinical event that starts it.

    A line of therapy begun again while it is in force goes on since its first start; cells infused again do not. Of two
    that begin at one time a pause comes first and cells last.
    """
    starts = []
    for event in record.events:
        if event.event in ("line_of_therapy", "infusion") and event.value in model.treatment_names:
            if model.treatment(event.value).starts_with == event.event:
                starts.append((event.time, event.value))

    def in_order(start):
        treatment = model.treatment(start[1])
        return start[0], not treatment.pause, treatment.starts_with == "infusion", start[1]

    starts.sort(key=in_order)
    before = (None, *(name for _, name in starts))
    return [s for s, last in zip(starts, before) if s[1] != last or model.treatment(s[1]).starts_with == "infusion"]


def happenings(model, record) -> tuple[list[Happening], list[Arrival]]:
    """Every jump that stands still, in order of time with additional doses written out, and the jumps of doses that
    move with the parameters."""
    found, moving = dose_happenings(model, record)
    for time, name in treatment_starts(model, record):
        found.append(Happening(time, 0.0, treatment=model.treatment_names.index(name)))
    return sorted(found, key=lambda h: (h.time, h.order)), moving


def change_times(model, record) -> list[float]:
    """Times at which a covariate that acts on a parameter changes, each once."""
    return sorted({time for time, _, _ in covariate_changes(record, model.acting_covariates)})


def build_timeline(
    model,
    record,
    *,
    start: float,
    end: float,
    asked=(),
    resumed: bool = False,
    finer: int = 1,
    origin: float | None = None,
):
    """Intervals of a record from `start` to `end`, and where to read the solution.

    asked : sequence of (time, after) at which the state is wanted; after=True means after the jumps of that time,
        False before them, a number after those of a smaller `order` (an event table keeps file order)
    resumed : the state at `start` already contains the jumps of `start` itself; the lasting parts of earlier jumps
        (infusion rates, the current treatment) are carried on in any case
    finer : so many times shorter than the model says are its fixed steps; nothing where it has none
    origin : time of the initial state where `start` lies later: fixed steps then grow on from it and from every jump
        since, so that a solution carried on has the steps of one without a stop; None: they begin anew at `start`

    Jumps at `end` itself are applied only where a state after them is asked for: labs are drawn before the dose of
    the day, and a treatment that starts on the day of the last lab is still to come.

    Returns
    -------
    Timeline, index (len(asked),)     index is the interval at whose end the asked state stands
    """
    asked = [(float(t), _place(after)) for t, after in asked]
    rows, jumps, passed = Rows(model), [], []
    through_end = any(place > BEFORE and time == end for time, place in asked)
    found, arrivals = happenings(model, record)
    known = sorted({start, end, *(t for t, _ in asked)})
    for h in _together(found, known):
        if h.time > end or (h.time == end and not through_end):
            break
        if h.time < start or (resumed and h.time <= start):
            rows.carry_on(h)
            passed.append(h.time)
        else:
            jumps.append(h)
    times = {start, end, *(h.time for h in jumps), *(t for t, _ in asked)}
    times |= {t for d in model.drift for t in d.every * np.arange(1, d.steps + 1) if start < t < end}
    begun = [start] if origin is None else [origin, *passed]
    jump_times = sorted({*begun, *(h.time for h in jumps)})
    times |= {t for t in change_times(model, record) if start < t < end}
    points = _with_steps(sorted(times), jump_times, model.steps, finer)
    moving = None
    if model.dosing:
        where, order = between_moving(rows, points, jumps, asked)
        repeated = [h.steady for _, h in rows.resets if h.steady is not None]
        cycles = stacked(repeated, NO_CYCLE, max(len(repeated), 1)) if rows.resets else None
        jumping = stacked([_moved_onto(known, a) for a in arrivals], NOTHING, max(len(arrivals), 1))
        moving = Moving(order, jumping, cycles, np.array(float(resumed)), np.array(float(through_end)))
    else:
        where = standing(rows, points, jumps, asked)
    resets = gather_resets(rows.resets, len(rows.rows), rows.states) if rows.resets else None
    line = Timeline._make([*rows.columns(), resets, moving])
    return line, np.array([where[one] for one in asked], dtype=int)


def _place(after) -> float:
    """Where among the jumps of one time: a number, or before (False) or after (True) all of them."""
    return (AFTER if after else BEFORE) if isinstance(after, (bool, np.bool_)) else float(after)


def _together(sorted_jumps, times):
    """Jumps that lie a rounding error beside one of `times` are moved onto it."""
    for h in sorted_jumps:
        time = _near(times, h.time)
        yield h if time == h.time else replace(h, time=time)


def _moved_onto(times, a: Arrival) -> Arrival:
    """The same for a jump that moves with the parameters: where the model adds no lag it falls onto that time."""
    said = a.given + a.delay
    return a._replace(rounding=_near(times, said) - said)


def _near(times, time: float) -> float:
    """That of the sorted `times` which lies a rounding error beside `time`, else `time` itself."""
    k = int(np.searchsorted(times, time))
    near = [t for t in times[max(k - 1, 0) : k + 1] if abs(t - time) <= TOGETHER * (1.0 + abs(t))]
    return near[0] if near and time not in near else time


def _with_steps(times, jump_times, steps, finer: int = 1) -> list[float]:
    """The sorted times with further points so that no fixed step is longer than `steps`, so much finer, allows."""
    if not isinstance(steps, Steps):
        return [float(t) for t in times]
    steps = steps.finer(finer)
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


def pad_timeline(
    timeline: Timeline, intervals: int, cycles: int | None = None, arrivals: int | None = None
) -> Timeline:
    """Add zero-length intervals at the end until there are `intervals`.

    cycles, arrivals : steady states and moving jumps to pad to, for a patient stacked with others (0 cycles: nobody has
        a reset or a steady state); None for the next power of two
    """
    extra = intervals - len(timeline.start)
    if extra < 0:
        raise ValueError(f"timeline has {len(timeline.start)} intervals, more than {intervals}")

    def repeat(a, zero=False):
        last = np.zeros_like(a[-1:]) if zero else a[-1:]
        return np.concatenate([a, np.repeat(last, extra, axis=0)])

    resets = pad_resets(timeline.resets, intervals, timeline.bolus.shape[-1], cycles)
    moving = timeline.moving
    if moving is not None:
        moving = pad_moving(moving, intervals, 0 if resets is None else len(resets.cycles.row), arrivals)
    return Timeline(
        start=np.append(timeline.start, np.full(extra, timeline.end[-1])),
        end=repeat(timeline.end),
        bolus=repeat(timeline.bolus, True),
        rate=repeat(timeline.rate),
        jump=repeat(timeline.jump, True),
        active=repeat(timeline.active),
        started=repeat(timeline.started),
        resets=resets,
        moving=moving,
    )
