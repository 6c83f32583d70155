"""Doses whose time or amount is a parameter of the model, as arrays: what the row says, before any parameter is known.

    arrival = time + lag of the row + lag(psi)       amount = share of the row * share(psi) * amount given
    bolus, or an infusion of fixed duration, fixed rate, modelled rate or modelled duration

Each becomes one jump (a bolus) or two (an infusion begins, and ends); `moving.py` dates and sorts them inside the
solve. A reset or SS = 1 cancels what has not arrived by then and ends what is running: `latest`. The steady state of
such a dose is a cycle whose pieces depend on parameters too; what its implied earlier doses still bring after the row
are jumps not earlier than the row (`interval`), as many as `EARLIER_DOSES` intervals beyond what the row says.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np

EARLIER = -0.5  # order of what an earlier row sends to a time: after a trough (-1), before the rows of that time (0 up)
EARLIER_DOSES = 5
ANY_INTERVAL = 100.0  # a constant infusion has none; its steady state is the same for all
LAST, PADDING = 1e18, np.inf  # places among what happens at one time: after all of it, and beyond the record
FAR = 1e12  # time of a jump that never comes

BOLUS, FIXED_DURATION, FIXED_RATE, MODELLED_RATE, MODELLED_DURATION, CONSTANT, MODELLED_CONSTANT = range(7)


class Arrival(NamedTuple):
    """One jump of one dose; or arrays of M of them, padded with boluses of nothing that never arrive.

    given : time of the dose, at which parameters are read; delay : from there to its arrival, without the model's lag
    state : compartment; amount : without the model's bioavailability; size : duration, or rate, by `kind`
    ending : 1 for the end of an infusion; order : place among what happens at its time
    interval : of an implied dose of a steady state, which cannot come before `given`; else 0
    latest : time of the next reset, which cancels what comes later
    rounding : what a time asked for is more than given + delay, where that is no more than a rounding error
    """

    given: Any
    delay: Any
    state: Any
    amount: Any
    size: Any
    kind: Any
    order: Any = EARLIER
    ending: Any = 0
    interval: Any = 0.0
    latest: Any = np.inf
    rounding: Any = 0.0


class Repeated(NamedTuple):
    """A dose that has always been repeated, for its steady state; or arrays of E of them, padded with intervals of 0.

    interval : between doses; most : how many intervals lag and duration may span, beyond which the solve has failed;
    the others as in `Arrival`
    """

    given: Any
    delay: Any
    state: Any
    amount: Any
    size: Any
    kind: Any
    interval: Any
    most: Any


class Moving(NamedTuple):
    """What of a timeline moves with the parameters.

    order (G,) : place of each interval's jump among what happens at its time, PADDING for padding
    arrivals : the jumps, M; repeated : behind the steady states, E, or None where the timeline holds none
    resumed () : 1 where the state at the start holds the jumps of that time
    through () : 1 where those at the end count
    """

    order: np.ndarray
    arrivals: Arrival
    repeated: Repeated | None
    resumed: np.ndarray
    through: np.ndarray


NOTHING = Arrival(given=0.0, delay=FAR, state=0, amount=0.0, size=0.0, kind=BOLUS, order=PADDING)
NO_CYCLE = Repeated(given=0.0, delay=0.0, state=0, amount=0.0, size=0.0, kind=BOLUS, interval=0.0, most=1)


def arrivals_of(dose, state: int, *, lagged: bool) -> tuple[list[Arrival], Repeated | None]:
    """The jumps of one dose and its additional doses, and what its steady state repeats (None without).

    lagged : the model has a lag for this compartment, so that no dose arrives at the time of its row
    """
    kind, size = _kind(dose)
    amount = dose.bioavailability * dose.amount
    if kind in (CONSTANT, MODELLED_CONSTANT):
        # it has always run, and runs on for the length of the lag
        begun = Arrival(dose.time, dose.lag, state, 0.0, size, kind, order=dose.order)
        return _both(begun), Repeated(dose.time, 0.0, state, 0.0, size, kind, ANY_INTERVAL, 1)
    found, repeated = [], None
    if dose.ss:
        lasting = size if kind == FIXED_DURATION else amount / size if kind == FIXED_RATE else 0.0
        most = EARLIER_DOSES + ceil((dose.lag + lasting) / dose.ii)
        repeated = Repeated(dose.time, dose.lag, state, amount, size, kind, dose.ii, most)
        for k in range(1, most + 1):
            delay = dose.lag - k * dose.ii
            found += _both(Arrival(dose.time, delay, state, amount, size, kind, dose.order, interval=dose.ii))
    for k in range(dose.addl + 1):
        order = dose.order if k == 0 and dose.lag == 0 and not lagged else EARLIER
        found += _both(Arrival(dose.time + k * dose.ii, dose.lag, state, amount, size, kind, order))
    return found, repeated


def _kind(dose) -> tuple[int, float]:
    """Kind of a dose, and the duration or rate that goes with it."""
    if dose.amount == 0:
        return (MODELLED_CONSTANT, 0.0) if dose.modelled == "rate" else (CONSTANT, dose.rate)
    if dose.modelled:
        return (MODELLED_RATE if dose.modelled == "rate" else MODELLED_DURATION), 0.0
    if dose.rate > 0:
        return FIXED_RATE, dose.rate
    return (FIXED_DURATION, dose.duration) if dose.duration > 0 else (BOLUS, 0.0)


def _both(begun: Arrival) -> list[Arrival]:
    """A bolus, or the beginning and the end of an infusion."""
    if begun.kind == BOLUS:
        return [begun]
    return [begun, begun._replace(ending=1, order=begun.order if begun.interval > 0 else EARLIER)]


def cancelled_after(arrivals: list[Arrival], time: float) -> list[Arrival]:
    """The jumps of earlier doses as a reset at `time` leaves them."""
    return [a._replace(latest=min(a.latest, time)) for a in arrivals if a.given <= time]


def stacked[Made: (Arrival, Repeated)](found: Sequence[Made], blank: Made, size: int) -> Made:
    """Jumps or repeated doses as arrays, padded to `size` with blanks."""
    rows = [*found, *[blank] * (size - len(found))]
    columns = (
        np.array([row[k] for row in rows], dtype=int if isinstance(one, int) else float) for k, one in enumerate(blank)
    )
    return type(blank)(*columns)


def pad_moving(moving: Moving, intervals: int, cycles: int, arrivals: int | None) -> Moving:
    """The same for a longer timeline, `cycles` steady states and `arrivals` jumps (None: the next power of two)."""
    now = len(moving.arrivals.given)
    more = (1 << (now - 1).bit_length() if arrivals is None else arrivals) - now
    if more < 0:
        raise ValueError(f"the doses make {now} jumps, more than {arrivals}")
    jumps = Arrival(*map(np.concatenate, zip(moving.arrivals, stacked([], NOTHING, more))))
    known = stacked([], NO_CYCLE, 0) if moving.repeated is None else moving.repeated
    further = stacked([], NO_CYCLE, cycles - len(known.given))
    return moving._replace(
        order=np.append(moving.order, np.full(intervals - len(moving.order), PADDING)),
        arrivals=jumps,
        repeated=Repeated(*map(np.concatenate, zip(known, further))) if cycles else None,
    )
