"""The only place that calls diffrax: one patient's states at the times they are asked for.

A loop over the timeline's intervals: jumps at the start of each, then one adaptive diffrax solve to its end (the
default), the matrix exponential where the field is linear (`structure.py`), or one single step of the same Runge-Kutta
pair where the model asks for a fixed grid (`Steps`), which is several times faster for thousands of particles; its
embedded error estimate is returned. A linear part that drives the rest is known in closed form meanwhile (`split.py`).
The state is a tuple of scalars throughout. Integrals of the model's hazards are carried along as further states. A
solver that gives up is a value here: `ok` is False and every number is finite, so that a vmapped neighbour is not
harmed (the caller turns it into log-likelihood -inf).

Sources: diffrax documentation; Tsitouras (2011), Computers & Mathematics with Applications 62:770.
"""

from functools import partial
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp

from bayestwin.dynamics.cycle import linear_steady_state, newton_steady_state
from bayestwin.dynamics.drivers import drivers_of
from bayestwin.dynamics.linear import applied, linear_flow
from bayestwin.dynamics.moving import moving_cycles, with_arrivals
from bayestwin.dynamics.names import CHANGED, Doing, listed_state, named_state, parameters_at
from bayestwin.dynamics.split import split_step
from bayestwin.dynamics.structure import solved_exactly
from bayestwin.dynamics.timeline import happens
from bayestwin.specification import Steps

NOT_LINEAR = 1e-6  # a vector field further from linear (relative to 1 + |slope|) was declared Linear wrongly
LARGEST_ERROR = 0.05  # an error estimate of one step above this (relative to 1 + |y|) counts as a failed solve


class Accuracy(NamedTuple):
    """Relative and absolute local error asked of the adaptive solver, and its largest number of steps per interval.

    gradient : False where none is wanted: then the loop ends at the last interval in which something happens, so
        that one compiled program serves short and long histories at no cost for the padding
    """

    rtol: float = 1e-6
    atol: float = 1e-8
    max_steps: int = 512
    gradient: bool = True


NO_GRADIENT = Accuracy(gradient=False)


class Solution(NamedTuple):
    """columns : (G,) of each state and hazard integral at the end of each interval, S + H of them
    places (G,) or None : where each interval's end stands in them
    error () : largest estimate of one step (fixed grid); ok () bool
    """

    columns: tuple
    places: jax.Array | None
    error: jax.Array
    ok: jax.Array

    @property
    def states(self):
        """States at the end of every interval, (G, S + H): for thousands of particles a copy that `at` does without."""
        states = jnp.stack(self.columns, axis=-1)
        return states if self.places is None else states[self.places]

    def at(self, i) -> tuple:
        """States at the end of interval i, S + H scalars."""
        place = i if self.places is None else self.places[i]
        return tuple(column[place] for column in self.columns)

    @property
    def last(self):
        """States at the end, (S + H,)."""
        return jnp.stack(self.at(-1))


def initial_values(model, values: dict):
    """States at time zero followed by zero hazard integrals, (S + H,)."""
    first = {name: value for name, value in values.items() if name != CHANGED}  # covariates as first recorded
    y0 = listed_state(model, model.initial_state(parameters_at(model, first, 0.0)), "initial_state")
    return jnp.concatenate([jnp.stack(y0), jnp.zeros(len(model.hazards))])


def solve_patient(model, values: dict, y0, timeline, accuracy: Accuracy = Accuracy()) -> Solution:
    """Integrate one patient through a timeline.

    Parameters
    ----------
    values : dict        natural parameter values and drift steps, scalars
    y0 : (S + H,)        state before the first interval's jumps
    timeline : Timeline  G intervals
    """
    n_states, (step, largest_error) = len(model.states), _way_of(model)

    def advance(carry, row):
        (y, error, ok), (interval, dosing) = carry, row
        middle = 0.5 * (interval.start + interval.end)
        p, rhs = _field(model, values, middle, interval)
        if model.at_treatment is not None:
            # where nothing starts the jump is computed for the first treatment and thrown away:
            # its gradient stays finite
            starting = jnp.where(interval.jump > 0, interval.active, jnp.eye(len(model.treatments))[0])
            u = Doing(model, interval.start, starting, interval.started)
            after = listed_state(model, model.at_treatment(named_state(model, y), p, u), "at_treatment")
            y = tuple(jnp.where(interval.jump > 0, new, old) for new, old in zip((*after, *y[n_states:]), y))
        if dosing is not None:
            y = (*_after_reset(model, p, y[:n_states], dosing), *y[n_states:])
        y = (*(value + bolus for value, bolus in zip(y, jnp.unstack(interval.bolus))), *y[n_states:])
        y, gap, good = step(rhs, y, interval.start, interval.end, accuracy)
        return (y, jnp.maximum(error, gap), ok & good), y

    plain, dosing, gap, settled = _reset_rows(model, values, timeline, accuracy)
    places = count = None
    if plain.moving is not None:
        plain, dosing, places, count = with_arrivals(model, values, plain, dosing)
    # a tuple of scalars, not one array: under vmap each becomes one contiguous vector (seven times faster, measured)
    good = jnp.isfinite(y0).all()
    # everything carried depends on y0 from the start: vmap else traces the loop again and again to find that it does
    begin = (tuple(y0[k] for k in range(n_states + len(model.hazards))), jnp.where(good, 0.0, 0.0), good)
    if accuracy.gradient and isinstance(model.steps, Steps):
        # kept slopes of all stages outgrow the cache: computing them again halves the time of a gradient (measured)
        advance = jax.checkpoint(advance, prevent_cse=False)
    through = jax.lax.scan if accuracy.gradient else partial(_until_last, count=count)
    (_, error, ok), states = through(advance, begin, (plain, dosing))
    if dosing is not None:
        error, ok = jnp.maximum(error, gap), ok & settled
    return Solution(states, places, error, ok & (error < largest_error))


def _field(model, values: dict, middle, interval):
    """Parameters in force during an interval, and its right-hand side: slopes, infusion rates, hazards."""
    p, doing = parameters_at(model, values, middle), Doing(model, middle, interval.active, interval.started)
    rates = jnp.unstack(interval.rate)

    def rhs(t, y, args):
        u, state = doing.at(t), named_state(model, y)
        slopes = listed_state(model, model.vector_field(t, state, p, u), "vector_field")
        hazards = (model.hazards[name](t, state, p, u) for name in model.hazard_names)
        flows = (slope + rate for slope, rate in zip(slopes, rates))
        return tuple(jnp.asarray(d, dtype=float) for d in (*flows, *hazards))

    return p, rhs


class DosingRows(NamedTuple):
    """What a dose does to the whole state, per interval. restart (G,), put (G,) as in `Resets`; steady (G, S)."""

    restart: jax.Array
    put: jax.Array
    steady: jax.Array


def _reset_rows(model, values, timeline, accuracy) -> tuple:
    """(the timeline without its resets, DosingRows or None, error, ok): steady states, computed before the loop."""
    resets, plain = timeline.resets, timeline._replace(resets=None)
    if resets is None:
        return plain, None, 0.0, True
    frozen, cycles, within = jax.lax.stop_gradient(values), resets.cycles, None
    if plain.moving is not None:
        cycles, within = moving_cycles(model, values, plain.moving.repeated, cycles)
    fixed = plain._replace(moving=None)

    def one(cycle):
        interval = jax.tree.map(lambda a: a[cycle.row], fixed)
        flow = _through_cycle(model, values, interval, cycle, accuracy)
        still = _through_cycle(model, frozen, interval, jax.lax.stop_gradient(cycle), accuracy)
        real, n = cycle.length.sum() > 0, len(model.states)
        brought = jnp.where(real, (jnp.abs(cycle.bolus) + jnp.abs(cycle.rate) * cycle.length[:, None]).sum(), 1.0)
        if solved_exactly(model):
            found, gap, good = linear_steady_state(flow, n, brought)
        else:
            found, gap, good = newton_steady_state(flow, still, initial_values(model, frozen)[:n], brought)
        return jnp.where(good & real, found, 0.0), jnp.where(real, gap, 0.0), good | ~real

    found, gaps, good = jax.vmap(one)(cycles)
    rows, gap = DosingRows(resets.restart, resets.put, found[resets.which]), gaps.max()
    return plain, rows, gap, good.all() if within is None else good.all() & within


def _through_cycle(model, values, interval, cycle, accuracy):
    """The function x -> (x after one interval of dosing, error, ok); hazards do not count here."""
    n, start = len(model.states), interval.start
    step = _exact if solved_exactly(model) else _driven(model, _adaptive, _adaptive_rest)
    # what one cycle gets wrong adds up over all cycles before: tighter than one patient's course
    fine = accuracy._replace(rtol=min(accuracy.rtol, 1e-9), atol=min(accuracy.atol, 1e-10), max_steps=4096)

    def part(carried, piece):
        (y, error, ok), (length, bolus, rate) = carried, piece
        _, rhs = _field(model, values, start, interval._replace(rate=rate))
        y = (*(y[k] + bolus[k] for k in range(n)), *y[n:])
        y, gap, good = step(rhs, y, start, start + length, fine)
        return (y, jnp.maximum(error, gap), ok & good), None

    def flow(x):
        nothing = x.sum() * 0.0  # what is carried depends on x from the start, as in solve_patient
        y = (*(x[k] for k in range(n)), *[nothing] * len(model.hazards))
        begin = y, nothing, jnp.isfinite(x).all()
        (y, error, ok), _ = jax.lax.scan(part, begin, (cycle.length, cycle.bolus, cycle.rate))
        return jnp.stack(y[:n]), error, ok

    return flow


def _after_reset(model, p, y: tuple, dosing: DosingRows) -> tuple:
    """The states after a reset to their initial values, and after a steady state was put in place or added."""
    fresh = listed_state(model, model.initial_state(p), "initial_state")
    y = tuple(jnp.where(dosing.restart > 0, new, old) for new, old in zip(fresh, y))
    steady = jnp.unstack(dosing.steady)
    return tuple(jnp.where(dosing.put == 0, old, new + (dosing.put == 2) * old) for new, old in zip(steady, y))


def _way_of(model) -> tuple:
    """How one interval is solved, and from which error on the solve has failed."""
    if solved_exactly(model):
        return _exact, NOT_LINEAR
    if isinstance(model.steps, Steps):
        return _driven(model, _single_step, _single_step_of_rest), LARGEST_ERROR
    return _driven(model, _adaptive, _adaptive_rest), jnp.inf


def _driven(model, step, step_of_rest):
    """A step that knows the course of what drives the rest, where the model has such a part; else that of the whole."""
    drivers = drivers_of(model)
    return split_step(drivers, step_of_rest) if drivers else step


def _until_last(advance, begin, rows, count=None):
    """As `jax.lax.scan`, but only through the last interval in which something happens; later states repeat.

    count : number of intervals to go through, where the timeline moves with the parameters and cannot say. A loop that
    ends there would have to keep what a scan stacks: 64 intervals of 4,000 solves cost a third of their time (measured)
    """
    timeline, dosing = rows
    something = happens(timeline)
    if dosing is not None:
        something |= (dosing.restart > 0) | (dosing.put > 0)
    places = jnp.arange(len(timeline.start))
    count = _of_all(jnp.max(jnp.where(something, places + 1, 0)) if count is None else count)

    def one(carry, row):
        k, interval = row
        carry = jax.lax.cond(k < count, lambda: advance(carry, interval)[0], lambda: carry)
        return carry, carry[0]

    return jax.lax.scan(one, begin, (places, rows))


@jax.custom_batching.custom_vmap
def _of_all(count):
    """The largest count of all that are solved together: a branch that all take alike is taken, not computed twice."""
    return count


@_of_all.def_vmap
def _largest(axis_size, in_batched, count):
    return _of_all(count.max(axis=0) if in_batched[0] else count), False


def _single_step(rhs, y, start, end, accuracy):
    """One Tsitouras 5(4) step; its embedded error estimate relative to 1 + |y|.

    Diffrax's own step loops over the stages of any method; with its table of this method written out the compiler
    fuses the stages (three times faster, measured). A test holds the two equal.
    """
    return _stages(lambda k, share, z: rhs(start + share * (end - start), z, None), y, end - start)


def _single_step_of_rest(slope, at, z, length, accuracy, first):
    """The same step where the drivers are known: their values at all stages in one go, which compiles once."""
    shares = jnp.array([0.0, *diffrax.Tsit5.tableau.c])
    known = [jnp.unstack(values) for values in at(length * shares)]
    return _stages(lambda k, share, z: slope(share * length, [x[k] for x in known], z), z, length)


def _stages(slope_at, y, length):
    """The step from the slopes at stage k, slope_at(k, share of the length, state)."""
    table = diffrax.Tsit5.tableau

    def combined(weights, slopes):
        return sum(float(w) * k for w, k in zip(weights, slopes) if w != 0)

    after, stages = y, [slope_at(0, 0.0, y)]
    for k, (weights, share) in enumerate(zip(table.a_lower, table.c), start=1):
        after = tuple(y0 + length * combined(weights, k) for y0, *k in zip(y, *stages))
        stages.append(slope_at(k, float(share), jax.lax.optimization_barrier(after)))
    gap = [length * combined(table.b_error, k) for k in zip(*stages)]
    after, gap = jax.lax.optimization_barrier((after, gap))
    good = jnp.stack([jnp.isfinite(a) & jnp.isfinite(g) for a, g in zip(after, gap)]).all()
    worst = jnp.stack([jnp.abs(g) / (1.0 + jnp.abs(y0)) for g, y0 in zip(gap, y)]).max()
    return tuple(jnp.where(good, a, y0) for a, y0 in zip(after, y)), jnp.where(good, worst, 0.0), good


def _exact(rhs, y, start, end, accuracy):
    """A linear vector field A y + b exactly; the error is how far it is from linear."""
    size, length, middle = range(len(y)), end - start, 0.5 * (start + end)

    def slope(t, values):
        return rhs(t, tuple(jnp.asarray(value, dtype=float) for value in values), None)

    constant = slope(start, [0.0 for _ in size])
    columns = [slope(start, [float(k == j) for k in size]) for j in size]
    matrix = tuple(tuple(column[i] - constant[i] for column in columns) for i in size)
    claimed = tuple(a + b for a, b in zip(applied(matrix, y), constant))
    gaps = [jnp.abs(f - c) / (1.0 + jnp.abs(c)) for f, c in zip(slope(middle, y), claimed)]
    error = jnp.stack(gaps).max()
    matrix, constant = jax.tree.map(lambda x: length * x, (matrix, constant))
    growth, gain, solvable = linear_flow(matrix, constant, gradient=accuracy.gradient)
    after = tuple(a + b for a, b in zip(applied(growth, y), gain))
    good = solvable & jnp.stack([jnp.isfinite(x) for x in (*after, error)]).all()
    return tuple(jnp.where(good, new, old) for new, old in zip(after, y)), jnp.where(good, error, 0.0), good


def _adaptive_rest(slope, at, z, length, accuracy, first):
    return _adaptive(lambda t, z, args: slope(t, at(t), z), z, jnp.zeros_like(length), length, accuracy, first)


def _adaptive(rhs, y, start, end, accuracy, first=None):
    """An adaptive solve to `end`; the state is kept, finite, where the solver gave up.

    first : the first step at most, where the right-hand side knows of changes that a longer one would pass over
    """
    real = end > start
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rhs),
        diffrax.Tsit5(),
        start,
        jnp.where(real, end, start + 1e-6),
        None if first is None else jnp.minimum(jax.lax.stop_gradient(first), jnp.where(real, end - start, 1e-6)),
        y,
        saveat=diffrax.SaveAt(t1=True),
        stepsize_controller=diffrax.PIDController(rtol=accuracy.rtol, atol=accuracy.atol),
        max_steps=accuracy.max_steps,
        # without reverse slopes nothing is kept for them, and slopes may be taken forward
        adjoint=diffrax.RecursiveCheckpointAdjoint() if accuracy.gradient else diffrax.ForwardMode(),
        throw=False,
    )
    after = tuple(value[0] for value in solution.ys)
    good = (solution.result == diffrax.RESULTS.successful) & jnp.isfinite(jnp.stack(after)).all()
    safe = (jnp.where(good, new, old) for new, old in zip(after, y))
    return tuple(jnp.where(good & real, new, old) for new, old in zip(safe, y)), jnp.zeros(()), good | ~real
