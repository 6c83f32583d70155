"""How a record's jumps and asked times become rows of intervals: where every jump stands still, and where doses move.

Standing still: intervals between the points of time, and after each an interval of no length for every jump there but
the last, which begins the interval that follows, unless a state is asked for right after it.
Moving: a row for every jump and every asked place, each lasting to the next one, so that a dose that arrives at the
time of a lab by chance falls before or after it as their places say (`arrivals.EARLIER`).
"""

import numpy as np

from bayestwin.dynamics.arrivals import LAST
from bayestwin.dynamics.doses import Happening

NEVER = 1.0e9  # start time of a treatment that has not started


class Rows:
    """Intervals so far, and what is being done meanwhile: infusion rates, the current treatment."""

    def __init__(self, model):
        self.states = len(model.states)
        self.rate, self.active = np.zeros(self.states), np.zeros(len(model.treatments))
        self.started = np.full(len(model.treatments), NEVER)
        self.rows, self.resets = [], []  # the intervals; (interval, jump) of resets and steady states

    def carry_on(self, h: Happening) -> None:
        """Apply the lasting part of a jump."""
        if h.clear:
            self.rate[:] = 0.0
        if h.rate:
            self.rate[h.rate[0]] += h.rate[1]
        if h.treatment is not None:
            self.active[:] = 0.0
            self.active[h.treatment], self.started[h.treatment] = 1.0, h.time

    def add(self, t0: float, t1: float, h: Happening | None = None) -> None:
        """One more interval, begun by the jump `h`."""
        bolus, jump = np.zeros(self.states), 0.0
        if h is not None and h.bolus:
            bolus[h.bolus[0]] = h.bolus[1]
        if h is not None:
            jump = float(h.treatment is not None)
            if h.restart or h.steady is not None:
                self.resets.append((len(self.rows), h))
        self.rows.append((t0, t1, bolus, self.rate.copy(), jump, self.active.copy(), self.started.copy()))

    def columns(self) -> list[np.ndarray]:
        """start, end, bolus, rate, jump, active, started as arrays."""
        return [np.array(column, dtype=float) for column in zip(*self.rows)]


def standing(rows: Rows, points, jumps, asked) -> dict[tuple[float, float], int]:
    """Lay out the rows of a record whose jumps all stand still: (time, place) asked for -> its interval."""
    where: dict[tuple[float, float], int] = {}
    last = None  # the jump that begins the next interval
    for k, point in enumerate(points):
        here = sorted((h for h in jumps if h.time == point), key=lambda h: h.order)
        places = sorted({place for t, place in asked if t == point})
        if k > 0:
            rows.add(points[k - 1], point, last)
        elif not here or any(place <= here[0].order for place in places):
            rows.add(point, point)
        last = None
        for h in here:
            where.update({(point, p): len(rows.rows) - 1 for p in places if p <= h.order and (point, p) not in where})
            rows.carry_on(h)
            # at the first point a treatment may still be put after the jumps (policies)
            if h is here[-1] and 0 < k < len(points) - 1 and all((point, p) in where for p in places):
                last = h
            else:
                rows.add(point, point, h)
        where.update({(point, p): len(rows.rows) - 1 for p in places if (point, p) not in where})
    return where


def between_moving(rows: Rows, points, jumps, asked) -> tuple[dict[tuple[float, float], int], np.ndarray]:
    """Lay out the rows of a record with doses that move: as `standing`, and each row's place at its time, (G,)."""
    marks: list[tuple[float, float, Happening | None]] = [(points[0], -np.inf, None)]
    where: dict[tuple[float, float], int] = {}
    for point in points:
        here = [(h.order, 1, h) for h in jumps if h.time == point]
        here += [(place, 0, None) for place in {place for t, place in asked if t == point}]
        if not here and point > points[0]:
            marks.append((point, -np.inf, None))
        open_place = None  # an asked place that the next jump may share
        for order, _, h in sorted(here, key=lambda mark: mark[:2]):
            if h is None:
                where[point, order] = len(marks) - 1
                marks.append((point, min(order, LAST), None))
            elif open_place is not None and h.adds:
                marks[-1] = (point, open_place, h)  # doses commute with those that move
            else:
                marks.append((point, order, h))
            open_place = min(order, LAST) if h is None else None
    for (time, _, h), (following, _, _) in zip(marks, [*marks[1:], (points[-1], 0.0, None)]):
        if h is not None:
            rows.carry_on(h)
        rows.add(time, following, h)
    return where, np.array([order for _, order, _ in marks])
