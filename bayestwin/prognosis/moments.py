"""The same future counted from leukapheresis or from infusion, among those who get there alive.

From the data cut everybody counts who sets out on a treatment. Trials of cells often count from infusion, so that who
died or dropped out before is not in their numbers. With t the moment, a_i the chance of draw i to reach it:

    S(h | moment reached) = sum_i w_i a_i S_i(t + h) / alive_i(t) / sum_i w_i a_i
"""

from typing import NamedTuple

import numpy as np

MOMENTS = LEUKAPHERESIS, INFUSION = "leukapheresis", "infusion"


class Moment(NamedTuple):
    """One moment ahead, `at` months from the data cut.

    reached (P,) : chance of every draw to get there alive; survival, alive (P, L) given that, landmarks counted from
    there, not a number past the horizon; squared, alive_squared : unbiased estimates of their squares
    """

    at: float
    reached: np.ndarray
    survival: np.ndarray
    squared: np.ndarray
    alive: np.ndarray
    alive_squared: np.ndarray


def times_of(plan, now: float) -> dict[str, float]:
    """Moments of a plan that lie ahead: name -> model time from the data cut."""
    infused = any(e.event == INFUSION and e.value in plan.treatments for e in plan.record.events)
    if plan.start <= now or not plan.new or not infused:
        return {}
    found = {} if plan.leukapheresis is None else {LEUKAPHERESIS: plan.leukapheresis - now}
    return found | {INFUSION: plan.start - now}


def marks_of(times: dict[str, float], landmarks) -> np.ndarray:
    """Landmarks from the data cut, then of each moment the moment itself and the landmarks counted from it."""
    marks = np.asarray(landmarks, dtype=float)
    return np.concatenate([marks, *(np.concatenate([[t], t + marks]) for t in times.values())])


def without_moments(events, count: int):
    """Events at the first `count` landmarks alone."""
    cut = ("survival", "squared", "free", "alive", "alive_squared", "first")
    return events._replace(**{k: getattr(events, k)[:, :count] for k in cut if getattr(events, k) is not None})


def moment_of(events, number: int, at: float, landmarks, span: float, per_month: float, still) -> Moment:
    """The moment of this number from events at `marks_of`; still (P,) : chance to be on the way then, if alive."""
    count = len(landmarks)
    first = count + number * (count + 1)
    late = np.asarray(landmarks) + at > span + 1e-9
    reached = events.alive[:, first]

    def given(values, by):
        return np.where(late, np.nan, values[:, first + 1 : first + 1 + count] / np.maximum(by, 1e-300)[:, None])

    return Moment(
        at / per_month,
        reached * still,
        given(events.survival, reached),
        given(events.squared, reached**2),
        given(events.alive, reached),
        given(events.alive_squared, reached**2),
    )
