"""Doses that move with the parameters: dated and sorted inside the solve, so that gradients flow through their times.

A timeline keeps its G intervals; the M jumps of `arrivals.py` fall into them where the parameters say. Sorted by time
and place they give G + M intervals whose number never changes, which the solver runs through like any others:

    start (G + M) = sort(start of the intervals, time of the jumps)        end = the next start
    rate in force = that of the interval it falls into + what moving infusions add

The state is continuous in the time of an infusion's begin and end and jumps by the amount at a bolus, so the gradient
through the sorted times is right wherever no jump falls on the very time at which a state is asked for.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayestwin.dynamics.arrivals import (
    BOLUS,
    CONSTANT,
    EARLIER,
    FIXED_DURATION,
    FIXED_RATE,
    MODELLED_CONSTANT,
    MODELLED_DURATION,
    MODELLED_RATE,
    PADDING,
)
from bayestwin.dynamics.cycle import TOLERANCE, Cycles
from bayestwin.dynamics.names import parameters_at

UNSAID = {"lag": 0.0, "bioavailability": 1.0, "rate": 1.0, "duration": 1.0}  # a rate or duration unsaid is unused


class Given(NamedTuple):
    """What parameters make of a dose: lag, amount that arrives, rate and length of its infusion (0 for a bolus)."""

    lag: jax.Array
    amount: jax.Array
    rate: jax.Array
    length: jax.Array


def as_given(model, values, given, state, amount, size, kind) -> Given:
    """One dose, scalars: given, the time at which parameters are read."""
    p, mine = parameters_at(model, values, given), {name: jnp.asarray(value) for name, value in UNSAID.items()}
    for position, one in model.dosing_of.items():
        own = {name: getattr(p, parameter) for name, parameter in one.named.items()}
        mine |= {name: jnp.where(state == position, value, mine[name]) for name, value in own.items()}
    whole, positive = amount * mine["bioavailability"], jnp.where(size > 0, size, 1.0)
    lengths = {
        FIXED_DURATION: size,
        FIXED_RATE: whole / positive,
        MODELLED_RATE: whole / mine["rate"],
        MODELLED_DURATION: mine["duration"],
    }
    rates = {
        FIXED_DURATION: whole / positive,
        FIXED_RATE: size,
        MODELLED_RATE: mine["rate"],
        MODELLED_DURATION: whole / mine["duration"],
        CONSTANT: size,
        MODELLED_CONSTANT: mine["rate"],
    }
    length, rate = (
        jnp.stack([jnp.where(kind == k, value, 0.0) for k, value in cases.items()]).sum() for cases in (lengths, rates)
    )
    return Given(mine["lag"], whole, rate, length)


def _every(model, values, doses) -> Given:
    """`as_given` for every row of arrays that hold the same columns."""

    def one(given, state, amount, size, kind):
        return as_given(model, values, given, state, amount, size, kind)

    return jax.vmap(one)(doses.given, doses.state, doses.amount, doses.size, doses.kind)


def moving_cycles(model, values, repeated, cycles: Cycles) -> tuple[Cycles, jax.Array]:
    """The cycles of steady states whose doses move, and whether lag and duration stay within what they may span.

    As `cycle.dosing_cycle`, with its cuts in the order in which they come:
    up to the dose or to the end of an infusion that began a cycle earlier, then to the other of the two, then the rest.
    """
    made, interval = _every(model, values, repeated), repeated.interval
    real = interval > 0
    every, states = jnp.where(real, interval, 1.0), len(model.states)
    lag = jnp.where(_constant(repeated.kind), 0.0, repeated.delay + made.lag)
    wait = _beyond_whole(lag, every)
    length = jnp.where(_constant(repeated.kind), every, made.length)
    part = _beyond_whole(length, every)
    whole = jnp.round((length - part) / every)
    over = wait + part > every  # the infusion runs on into the next cycle
    end = wait + part - jnp.where(over, every, 0.0)
    first, second = jnp.minimum(wait, end), jnp.maximum(wait, end)
    bolus = repeated.kind == BOLUS
    lengths = jnp.stack([first, second - first, every - second], axis=-1) * real[:, None]
    running = jnp.stack([over, ~over, over], axis=-1) & (part > 0)[:, None]
    rates = jnp.where(bolus[:, None], 0.0, (whole[:, None] + running) * made.rate[:, None])
    arrives = jnp.stack([jnp.zeros_like(bolus), bolus, jnp.zeros_like(bolus)], axis=-1)
    amounts = jnp.where(arrives, made.amount[:, None], 0.0)
    where = jax.nn.one_hot(repeated.state, states) * real[:, None]
    found = cycles._replace(
        length=lengths, bolus=amounts[:, :, None] * where[:, None, :], rate=rates[:, :, None] * where[:, None, :]
    )
    within = _constant(repeated.kind) | (lag + made.length <= repeated.most * every * (1.0 + TOLERANCE))
    return found, (within | ~real).all()


def _constant(kind):
    return (kind == CONSTANT) | (kind == MODELLED_CONSTANT)


def _beyond_whole(length, every):
    """What is left of a length beyond whole intervals, 0 where a rounding error is."""
    left = length - every * jax.lax.stop_gradient(jnp.floor(length / every + TOLERANCE))
    return jnp.maximum(left, 0.0)


class Sorted(NamedTuple):
    """Jumps of moving doses, M: time within the timeline, place among what happens then, bolus and change of rate."""

    time: jax.Array
    order: jax.Array
    bolus: jax.Array
    rate: jax.Array


def dated(model, values, timeline) -> Sorted:
    """When each jump happens, and what it does; nothing for one that is over before the start or never comes."""
    moving, jumps = timeline.moving, timeline.moving.arrivals
    begin, end = timeline.start[0], timeline.end[-1]
    made, constant = _every(model, values, jumps), _constant(jumps.kind)
    arrival = jumps.given + jnp.where(constant, 0.0, jumps.delay + made.lag)
    arrival = arrival + jnp.where(constant, 0.0, jumps.rounding)
    length = jnp.where(constant, jumps.delay + made.lag, made.length)
    arrives = (arrival <= jumps.latest) & (jumps.order < PADDING)
    time = jnp.where(jumps.ending > 0, jnp.minimum(arrival + length, jumps.latest), arrival)
    implied = jumps.interval > 0
    in_time = ~implied | (arrival >= jumps.given - TOLERANCE * jumps.interval)
    order = jnp.where(implied & (time > jumps.given), EARLIER, jumps.order)
    time = jnp.where(implied, jnp.maximum(time, jumps.given), time)
    over = (time < begin) | ((time == begin) & (moving.resumed > 0))
    to_come = (time > end) | ((time == end) & (moving.through == 0))
    bolus = jnp.where((jumps.kind == BOLUS) & arrives & in_time & ~over & ~to_come, made.amount, 0.0)
    rate = jnp.where(arrives, jnp.where(jumps.ending > 0, -1.0, 1.0) * made.rate, 0.0)
    where = jax.nn.one_hot(jumps.state, len(model.states))
    return Sorted(
        jnp.clip(time, begin, end),
        jnp.where(over, -jnp.inf, order),  # what runs already is in force before anything else happens
        bolus[:, None] * where,
        rate[:, None] * where,
    )


def with_arrivals(model, values, timeline, dosing):
    """The timeline with its moving doses in place.

    dosing : DosingRows of the timeline's intervals, or None

    Returns
    -------
    Timeline, DosingRows     of G + M intervals
    places (G,)              the interval whose end is that of each interval of the timeline
    count ()                 intervals that are no padding; they come first
    """
    intervals, found = len(timeline.start), dated(model, values, timeline)
    moving, total = timeline.moving, len(timeline.start) + len(found.time)
    time = jnp.concatenate([timeline.start, found.time])
    order = jnp.concatenate([moving.order, found.order])
    keys = jax.lax.stop_gradient((time, order))
    (*_, sequence) = jax.lax.sort((*keys, jnp.arange(total)), num_keys=2, is_stable=True)
    within = jnp.cumsum(sequence < intervals) - 1  # the interval of the timeline in which each one lies
    start = time[sequence]

    def merged(own, others):
        return jnp.concatenate([own, others.astype(own.dtype)])[sequence]

    nothing = jnp.zeros(len(found.time))
    line = timeline._replace(
        start=start,
        end=jnp.append(start[1:], timeline.end[-1]),
        bolus=merged(timeline.bolus, found.bolus),
        rate=timeline.rate[within] + jnp.cumsum(merged(jnp.zeros_like(timeline.rate), found.rate), axis=0),
        jump=merged(timeline.jump, nothing),
        active=timeline.active[within],
        started=timeline.started[within],
        moving=None,
    )
    if dosing is not None:
        blank = (nothing, nothing, jnp.zeros((len(found.time), len(model.states))))
        dosing = type(dosing)(*map(merged, dosing, blank))
    position = jnp.zeros(total, dtype=int).at[sequence].set(jnp.arange(total))[:intervals]
    count = (moving.order < PADDING).sum() + (moving.arrivals.order < PADDING).sum()
    return line, dosing, jnp.append(position[1:], total) - 1, count
