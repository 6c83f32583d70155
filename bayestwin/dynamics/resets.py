"""What doses do to the whole state of a patient: resets and steady states, as arrays beside a timeline.

A timeline without any holds None instead, so that models and patients that need nothing of this compile the same
program as if it did not exist.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.dynamics.cycle import Cycle, Cycles, empty_cycle, stacked_cycles


class Resets(NamedTuple):
    """What doses do to the whole state at the start of an interval; None in the timeline of a patient without.

    restart (G,) : 1 back to the initial state; put (G,) : 1 replaced by a steady state, 2 a steady state is added
    which (G,) : which of the cycles, E (padded)
    """

    restart: np.ndarray
    put: np.ndarray
    which: np.ndarray
    cycles: Cycles


def gather_resets(found, intervals: int, states: int) -> Resets:
    """Arrays from (interval, jump) of every jump that resets or settles the state.

    The cycle of a dose that moves with the parameters is left empty here: `moving.moving_cycles` fills it.
    """
    restart, put, which = (np.zeros(intervals, dtype=int) for _ in range(3))
    steady = [(row, h) for row, h in found if h.steady is not None]
    for row, h in found:
        restart[row] = h.restart
    for k, (row, h) in enumerate(steady):
        put[row], which[row] = 1 if h.clear else 2, k
    known = [h.steady if isinstance(h.steady, Cycle) else empty_cycle(states) for _, h in steady]
    cycles = stacked_cycles([row for row, _ in steady], known, states, max(len(steady), 1))
    return Resets(restart, put, which, cycles)


def pad_resets(resets: Resets | None, intervals: int, states: int, cycles: int | None) -> Resets | None:
    """Resets for a longer timeline and `cycles` steady states (None: the next power of two; 0: nobody has any)."""
    if cycles == 0 or (resets is None and cycles is None):
        return None
    if resets is None:
        resets = gather_resets([], intervals, states)
    extra = intervals - len(resets.put)
    known = len(resets.cycles.row)
    size = 1 << (known - 1).bit_length() if cycles is None else cycles
    more = stacked_cycles([], [], states, size - known) if size > known else None
    joined = resets.cycles if more is None else Cycles(*map(np.concatenate, zip(resets.cycles, more)))
    restart, put, which = (np.append(a, np.zeros(extra, dtype=int)) for a in resets[:3])
    return Resets(restart, put, which, joined)
