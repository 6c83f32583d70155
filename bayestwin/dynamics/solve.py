"""The only place that calls diffrax: one patient's states at the times they are asked for.

A scan over the timeline's intervals: jumps at the start of each, then either one adaptive diffrax solve to its end
(the default) or one single step of the same Runge-Kutta pair where the model asks for a fixed grid (`Steps`), which
is several times faster for thousands of particles; its embedded error estimate is returned. Integrals of the
model's hazards are carried along as further states. A solver that gives up is a value here: `ok` is False and every
number is finite, so that a vmapped neighbour is not harmed (the caller turns it into log-likelihood -inf).

Sources: diffrax documentation; Tsitouras (2011), Computers & Mathematics with Applications 62:770.
"""

from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp

from bayestwin.dynamics.names import Doing, named_state, parameters_at, stack_state

LARGEST_ERROR = 0.05  # an error estimate of one step above this (relative to 1 + |y|) counts as a failed solve


class Accuracy(NamedTuple):
    """Relative and absolute local error asked of the adaptive solver, and its largest number of steps per interval."""

    rtol: float = 1e-6
    atol: float = 1e-8
    max_steps: int = 512
    forward_mode: bool = False


class Solution(NamedTuple):
    """states (G, S + H) at the end of each interval; error () largest estimate of one step (fixed grid); ok () bool."""

    states: jax.Array
    error: jax.Array
    ok: jax.Array


def initial_values(model, values: dict):
    """States at time zero followed by zero hazard integrals, (S + H,)."""
    y0 = stack_state(model, model.initial_state(parameters_at(model, values, 0.0)), "initial_state")
    return jnp.concatenate([y0, jnp.zeros(len(model.hazards))])


def solve_patient(model, values: dict, y0, timeline, accuracy: Accuracy = Accuracy()) -> Solution:
    """Integrate one patient through a timeline.

    Parameters
    ----------
    values : dict        natural parameter values and drift steps, scalars
    y0 : (S + H,)        state before the first interval's jumps
    timeline : Timeline  G intervals
    """
    n_states = len(model.states)

    def advance(carry, interval):
        y, error, ok = carry
        middle = 0.5 * (interval.start + interval.end)
        p = parameters_at(model, values, middle)

        def rhs(t, y, args):
            u, state = Doing(model, t, interval.active, interval.started), named_state(model, y)
            dy = stack_state(model, model.vector_field(t, state, p, u), "vector_field") + interval.rate
            hazards = [model.hazards[name](t, state, p, u) for name in model.hazard_names]
            return jnp.concatenate([dy, jnp.stack(hazards)]) if hazards else dy

        if model.at_treatment is not None:
            # where nothing starts the jump is computed for the first treatment and thrown away:
            # its gradient stays finite
            starting = jnp.where(interval.jump > 0, interval.active, jnp.eye(len(model.treatments))[0])
            u = Doing(model, interval.start, starting, interval.started)
            after = stack_state(model, model.at_treatment(named_state(model, y), p, u), "at_treatment")
            y = jnp.where(interval.jump > 0, jnp.concatenate([after, y[n_states:]]), y)
        y = y.at[:n_states].add(interval.bolus)
        step = _adaptive if model.steps is None else _single_step
        y, gap, good = step(rhs, y, interval.start, interval.end, accuracy)
        return (y, jnp.maximum(error, gap), ok & good), y

    begin = (y0, jnp.zeros(()), jnp.isfinite(y0).all())
    (_, error, ok), states = jax.lax.scan(advance, begin, timeline)
    return Solution(states, error, ok & (error < LARGEST_ERROR) if model.steps is not None else ok)


def _single_step(rhs, y, start, end, accuracy):
    """One Tsitouras 5(4) step; its embedded error estimate relative to 1 + |y|."""
    solver, term = diffrax.Tsit5(), diffrax.ODETerm(rhs)
    state = solver.init(term, start, end, y, None)
    after, gap, _, _, _ = solver.step(term, start, end, y, None, state, made_jump=False)
    good = jnp.isfinite(after).all() & jnp.isfinite(gap).all()
    return jnp.where(good, after, y), jnp.where(good, jnp.max(jnp.abs(gap) / (1.0 + jnp.abs(y))), 0.0), good


def _adaptive(rhs, y, start, end, accuracy):
    """An adaptive solve to `end`; the state is kept, finite, where the solver gave up."""
    real = end > start
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rhs),
        diffrax.Tsit5(),
        start,
        jnp.where(real, end, start + 1e-6),
        None,
        y,
        saveat=diffrax.SaveAt(t1=True),
        stepsize_controller=diffrax.PIDController(rtol=accuracy.rtol, atol=accuracy.atol),
        adjoint=diffrax.ForwardMode() if accuracy.forward_mode else diffrax.RecursiveCheckpointAdjoint(),
        max_steps=accuracy.max_steps,
        throw=False,
    )
    after = solution.ys[0]
    good = (solution.result == diffrax.RESULTS.successful) & jnp.isfinite(after).all()
    return jnp.where(good & real, jnp.where(good, after, y), y), jnp.zeros(()), good | ~real
