"""The steady state of a dose that has always been repeated: one interval of dosing, and the state it returns to.

One cycle is the interval that ends at the time of the row: a lag moves the dose inside it, an infusion longer than
the interval overlaps with the next. Phi maps a state through the cycle; the steady state is its fixed point,

    x = Phi(x)          linear: Phi(x) = M x + b, so (I - M) x = b

and for other models Newton's method, x <- x - (J - I)^-1 (Phi(x) - x), after a few cycles from the initial state.
J is a difference quotient; a last Newton step outside of the loop carries the gradient (implicit function theorem).
A cycle that does not return to the state counts as a failed solve.
"""

from dataclasses import dataclass
from math import floor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

PARTS = 3  # pieces of one cycle: up to the dose, during the infusion, after it, in the order in which they come
TOLERANCE = 1e-9  # of the interval: arrivals and ends of infusions closer than that fall together
FIRST_CYCLES, NEWTON_STEPS = 4, 8
NOT_STEADY = 1e-5  # change over one cycle as a share of what a cycle brings, above which there is no steady state
SLACK, MOST_SLACK = 1e-4, 50.0  # of the state (solver noise of large ones), up to so many times what a cycle brings


@dataclass(frozen=True)
class Cycle:
    """One interval of dosing: pieces of length (PARTS,), each begun by a bolus and run at a rate, (PARTS, S)."""

    length: np.ndarray
    bolus: np.ndarray
    rate: np.ndarray


class Cycles(NamedTuple):
    """The cycles of a timeline, E (padded), as arrays. row (E,) : the interval that begins with the steady state."""

    row: np.ndarray
    length: np.ndarray
    bolus: np.ndarray
    rate: np.ndarray


def dosing_cycle(states: int, state: int, amount: float, duration: float, interval: float, lag: float):
    """The cycle of a dose repeated every `interval`, seen from the time at which one is given.

    Returns
    -------
    Cycle
    running : time left of each infusion that an earlier dose began (arrivals before that time)
    pending : time to wait for each earlier dose that has not arrived (a lag as long as the interval or longer)
    """
    tiny = TOLERANCE * interval
    wait = lag - interval * floor(lag / interval + TOLERANCE)
    wait = 0.0 if wait < tiny else wait
    whole = floor(duration / interval + TOLERANCE)
    part = duration - whole * interval
    part = 0.0 if part < tiny else part
    cuts = sorted({0.0, wait, (wait + part) % interval, interval})
    cuts = [c for k, c in enumerate(cuts) if k == 0 or c - cuts[k - 1] > tiny]
    length, bolus, rate = np.zeros(PARTS), np.zeros((PARTS, states)), np.zeros((PARTS, states))
    for k, (begin, end) in enumerate(zip(cuts, [*cuts[1:], interval])):
        if k == PARTS:
            break
        length[k] = end - begin
        if duration > 0:
            since = (0.5 * (begin + end) - wait) % interval
            rate[k, state] = (whole + (since < part)) * amount / duration
        elif abs(begin - wait) <= tiny:
            bolus[k, state] = amount
    before = floor(lag / interval + TOLERANCE)  # earlier doses that have not arrived
    pending = [max(lag - k * interval, 0.0) for k in range(1, before + 1)]
    arrived = (lag - k * interval for k in range(before + 1, before + whole + 3))
    running = [duration + at for at in arrived if duration + at > tiny]
    return Cycle(length, bolus, rate), running, pending


def empty_cycle(states: int) -> Cycle:
    """A cycle in which no time passes."""
    return Cycle(np.zeros(PARTS), np.zeros((PARTS, states)), np.zeros((PARTS, states)))


def stacked_cycles(rows, cycles, states: int, size: int) -> Cycles:
    """Cycles as arrays, padded to `size` with cycles in which no time passes."""
    padded = [*cycles, *[empty_cycle(states)] * (size - len(cycles))]
    return Cycles(
        np.array([*rows, *[0] * (size - len(cycles))], dtype=int),
        np.stack([c.length for c in padded]),
        np.stack([c.bolus for c in padded]),
        np.stack([c.rate for c in padded]),
    )


def linear_steady_state(flow, size: int, brought):
    """The fixed point of a cycle Phi(x) = M x + b, exactly: (I - M) x = b.

    flow(x) -> (x after the cycle, error, ok) for a state x (S,); brought () : amount that one cycle brings

    Returns
    -------
    x (S,), error (), ok ()
    """
    constant, error, good = flow(jnp.zeros(size))
    columns, errors, goods = jax.vmap(flow)(jnp.eye(size))
    matrix = jnp.eye(size) - (columns - constant).T
    good &= goods.all() & jnp.isfinite(jnp.linalg.solve(*jax.lax.stop_gradient((matrix, constant)))).all()
    found = jnp.linalg.solve(jnp.where(good, matrix, jnp.eye(size)), jnp.where(good, constant, 0.0))
    after, _, _ = flow(jax.lax.stop_gradient(found))
    return found, jnp.maximum(error, errors.max()), good & _returns(found, after, brought)


def newton_steady_state(flow, frozen, begin, brought):
    """The fixed point of any cycle; see the module text.

    flow, frozen : the cycle, and the same with parameters that carry no gradient; begin (S,) : a state to start from

    Returns
    -------
    x (S,), error (), ok ()
    """
    found, slopes = _newton(frozen, jax.lax.stop_gradient(begin))
    good = jnp.isfinite(found).all() & jnp.isfinite(slopes).all()
    good &= jnp.isfinite(jnp.linalg.solve(slopes, found)).all()
    found, slopes = jnp.where(good, found, 0.0), jnp.where(good, slopes, -jnp.eye(len(begin)))
    after, error, solved = flow(found)
    found = found - jnp.linalg.solve(slopes, after - found)
    after, _, again = frozen(jax.lax.stop_gradient(found))
    tolerated = jnp.clip(SLACK * jnp.abs(found), brought, MOST_SLACK * brought)
    return found, error, good & solved & again & _returns(found, after, tolerated)


def _newton(flow, begin):
    """(fixed point, Jacobian of Phi - identity there) by difference quotients over a share of the state's size."""
    size = len(begin)
    x = jax.lax.fori_loop(0, FIRST_CYCLES, lambda _, y: flow(y)[0], begin)

    def improved(_, carried):
        x, _ = carried
        width = 1e-3 * (1.0 + jnp.abs(x).max())
        after, *moved = jax.vmap(lambda way: flow(x + width * way)[0])(jnp.eye(size + 1, size, -1))
        moved = jnp.stack(moved)
        slopes = ((moved - after) / width).T - jnp.eye(size)
        return x - jnp.linalg.solve(slopes, after - x), slopes

    return jax.lax.fori_loop(0, NEWTON_STEPS, improved, (x, -jnp.eye(size)))


def _returns(state, after, brought):
    """True where a cycle leads back to the state it began with."""
    gap = jax.lax.stop_gradient(jnp.abs(after - state) / brought)
    return jnp.isfinite(state).all() & (gap < NOT_STEADY).all()
