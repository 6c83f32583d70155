"""Which states of a model drive the others and follow a closed form: a drug before its response.

Looked for is the largest set of states whose slopes are linear with coefficients that stand still between events and
depend on no other state; what is left of the model is solved with their course known at any time (`course.py`).
Found once per model, from the same reading of the vector field as `structure.py`; a state about which there is doubt
stays with the rest, which is never wrong, only slower.
"""

from functools import lru_cache
from typing import NamedTuple

from bayestwin.dynamics.signs import feeds
from bayestwin.dynamics.structure import (
    CONSTANT,
    LINEAR,
    MOST_STATES,
    NEITHER,
    kinds_of_slopes,
    program_of,
    solved_exactly,
)
from bayestwin.specification import Adaptive


class Driver(NamedTuple):
    """One linear part that depends on nothing else: positions of its states, and groups of positions within these, each
    one state or two that exchange, which depend on themselves and the groups before."""

    states: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def drivers_of(model) -> tuple[Driver, ...]:
    """The parts of a model that are stepped in closed form while the rest is solved; none where it says Adaptive()."""
    if isinstance(model.steps, Adaptive) or solved_exactly(model):
        return ()
    return _found(model)


@lru_cache(maxsize=256)
def _found(model) -> tuple[Driver, ...]:
    program, first = program_of(model)
    linear = _linear_alone(program, first, len(model.states))
    sources: dict[int, set[int]] = {i: set() for i in linear}
    for j in linear:
        one = [LINEAR if k == j else CONSTANT for k in range(len(model.states))]
        slopes = kinds_of_slopes(program, first, one)
        for i in linear:
            if i != j and slopes[i] == LINEAR:
                sources[i].add(j)

    def exchange(i, j) -> bool:
        return feeds(model, program, first, i, j) and feeds(model, program, first, j, i)

    return tuple(_joined(_groups(sources, exchange), sources))


def _linear_alone(program, first, states: int) -> list[int]:
    """The largest set of states whose slopes are linear in them and free of all others and of the time."""
    kept = set(range(states))
    while True:
        slopes = kinds_of_slopes(program, first, [LINEAR if k in kept else NEITHER for k in range(states)])
        wrong = {k for k in kept if slopes[k] == NEITHER}
        if not wrong:
            return sorted(kept)
        kept -= wrong


def _groups(sources, exchange) -> list[tuple[int, ...]]:
    """States, or pairs that exchange, each after all that it depends on; what swings or exchanges in threes is left out
    with all that depends on it."""
    before = {i: _ancestors(i, sources) for i in sources}
    found: list[tuple[int, ...]] = []
    for i in sorted(sources, key=lambda i: (len(before[i] | {i}), i)):
        together = tuple(sorted({i} | {j for j in before[i] if i in before[j]}))
        known = {k for group in found for k in group}
        if i in known or len(together) > 2 or not before[i] - set(together) <= known:
            continue
        if len(together) == 1 or exchange(*together):
            found.append(together)
    return found


def _ancestors(state, sources) -> set[int]:
    found: set[int] = set()
    waiting = set(sources[state])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting |= sources[one]
    return found


def _joined(groups, sources):
    """Groups that have to do with each other as one driver, of MOST_STATES at most; what is too much is left out."""
    parts: list[list[tuple[int, ...]]] = []
    placed: set[int] = set()
    for group in groups:
        needed = {j for i in group for j in sources[i]} - set(group)
        if not needed <= placed:
            continue
        mine = [part for part in parts if needed & {k for other in part for k in other}]
        joined = [other for part in mine for other in part] + [group]
        if sum(map(len, joined)) <= MOST_STATES:
            parts = [part for part in parts if part not in mine] + [joined]
            placed |= set(group)
    for part in parts:
        states = tuple(k for group in part for k in group)
        yield Driver(states, tuple(tuple(states.index(k) for k in group) for group in part))
