"""Trajectories under a plan: latent outputs and hazard integrals at asked times, for all draws at once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy, build_timeline, pad_timeline, solve_patient
from bayestwin.individual import (
    beginning,
    bucket,
    covariate_course,
    covariate_terms,
    first_covariates,
    natural_values,
    outputs_at,
)
from bayestwin.prognosis.departures import future_departures, past_departures, scaling_of, with_departures
from bayestwin.twin.target import hyper_of, in_blocks, initial_states


@partial(jax.jit, static_argnums=(0, 1))
def _solve(model, accuracy: Accuracy, psi, draw, rows, population, timeline, index, terms, changes, state):
    def one(p, d, r, y0):
        values = natural_values(model, p, hyper_of(population, d), terms, r, changes)
        solution = solve_patient(model, values, y0, timeline, accuracy)
        outputs = outputs_at(model, values, timeline, solution, index)
        return outputs, solution.states[index][:, len(model.states) :], solution.ok

    return in_blocks(one, (psi, draw, rows, state))


@partial(jax.jit, static_argnums=(0, 1))
def _solve_states(model, accuracy: Accuracy, psi, draw, rows, population, timeline, index, terms, changes, state):
    """States (P, V, S) alone, and ok (P,)."""

    def one(p, d, r, y0):
        values = natural_values(model, p, hyper_of(population, d), terms, r, changes)
        solution = solve_patient(model, values, y0, timeline, accuracy)
        return solution.states[index][:, : len(model.states)], solution.ok

    return jax.vmap(one)(psi, draw, rows, state)


def what_to_solve(twin, draws, record, times, *, past: bool) -> tuple:
    """What `_solve` needs behind the model and the accuracy, for a record at `times`; see `trajectories`."""
    model = twin.model
    asked = [(float(t), False) for t in times]
    start = beginning(twin.record) if past else twin.time
    timeline, index = build_timeline(
        model, record, start=start, end=float(max(times)), asked=asked, resumed=not past and twin.applied
    )
    size = bucket(len(timeline.start), (128, 256, 512, 1024, 2048))
    padded = bucket(len(times), (64, 96, 192, 384))
    index = np.concatenate([index, np.zeros(padded - len(times), dtype=int)])
    psi, draw, rows = jnp.asarray(draws.psi), jnp.asarray(draws.draw), jnp.asarray(draws.class_rows)
    terms = jnp.asarray(covariate_terms(model, first_covariates(model, twin.record)))
    changes = jax.tree.map(jnp.asarray, covariate_course(model, twin.record, cut=None if past else twin.time))
    if past:
        state = initial_states(model, psi, draw, rows[:, None], twin.population, terms)[:, 0]
    else:
        state = jnp.asarray(np.asarray(twin.particles.state)[np.arange(len(draws.draw)), draws.known])
    line = jax.tree.map(jnp.asarray, pad_timeline(timeline, size))
    return psi, draw, rows, twin.population, line, jnp.asarray(index), terms, changes, state


def past_states(twin, draws, times, *, accuracy: Accuracy = NO_GRADIENT):
    """States (P, V, S) of every draw at `times` from his beginning to the data cut, increasing, and ok (P,)."""
    asked = what_to_solve(twin, draws, twin.record, times, past=True)
    states, ok = _solve_states(twin.model, accuracy, *asked)
    return np.asarray(states)[:, : len(times)], np.asarray(ok)


def trajectories(twin, draws, plan, times, *, past: bool, rng, accuracy: Accuracy = NO_GRADIENT):
    """Latent outputs (P, V, K), hazard integrals (P, V, H) and ok (P,) at `times`, increasing.

    past : True solves from the patient's beginning (for the fit to the past; then `times` hold the times of all labs),
        else from the stored state
    rng : for the paths of serially correlated departures, which the outputs contain
    """
    model = twin.model
    outputs, hazards, ok = _solve(model, accuracy, *what_to_solve(twin, draws, plan.record, times, past=past))
    outputs, hazards, ok = np.asarray(outputs)[:, : len(times)], np.asarray(hazards)[:, : len(times)], np.asarray(ok)
    if model.serial:
        at = np.asarray(times, dtype=float)
        paths = past_departures(twin, draws, at, outputs, rng) if past else future_departures(twin, draws, at, rng)
        sigma = np.asarray(twin.population.sigma)[draws.draw]
        scaling = {
            name: value[:, None] for name, value in scaling_of(model, twin.population, draws.psi, draws.draw).items()
        }
        outputs = with_departures(model, outputs, paths, sigma[:, None, :], scaling)
    return outputs, hazards, ok
