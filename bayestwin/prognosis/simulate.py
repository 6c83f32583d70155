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
from bayestwin.twin.grid import BORNE, next_grid
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


def what_to_solve(twin, draws, record, times, *, past: bool, finer: int = 1) -> tuple:
    """What `_solve` needs behind the model and the accuracy, for a record at `times`; see `trajectories`."""
    model = twin.model
    asked = [(float(t), False) for t in times]
    start = beginning(twin.record) if past else twin.time
    timeline, index = build_timeline(
        model, record, start=start, end=float(max(times)), asked=asked, resumed=not past and twin.applied, finer=finer
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
    asked = what_to_solve(twin, draws, twin.record, times, past=True, finer=twin.finer)
    states, ok = _solve_states(twin.model, accuracy, *asked)
    return np.asarray(states)[:, : len(times)], np.asarray(ok)


def _solved(twin, draws, record, times, past: bool, accuracy: Accuracy, finer: int, only=None):
    """Latent outputs (P, V, K), hazard integrals (P, V, H) and ok (P,) on a grid so many times finer than the model's.

    only : positions of the draws that are asked for; None for all
    """
    psi, draw, rows, *shared, state = what_to_solve(twin, draws, record, times, past=past, finer=finer)
    if only is not None:  # so many are asked for that few programs are compiled
        some = np.resize(only, bucket(len(only), (64, 256, 1024, 4096)))
        psi, draw, rows, state = (a[some] for a in (psi, draw, rows, state))
    found = _solve(twin.model, accuracy, psi, draw, rows, *shared, state)
    count = len(found[2]) if only is None else len(only)
    outputs, hazards, ok = (np.asarray(a)[:count] for a in found)
    return outputs[:, : len(times)], hazards[:, : len(times)], ok


def trajectories(twin, draws, plan, times, *, past: bool, rng, accuracy: Accuracy = NO_GRADIENT):
    """Latent outputs (P, V, K), hazard integrals (P, V, H) and ok (P,) at `times`, increasing.

    Draws that the model's fixed grid of steps cannot carry, where they are more than BORNE of all, are solved on finer
    ones: a patient with IgA, who clears fast, failed in 16 % of his draws before cells, in 1.2 and 0 % on grids of half
    and a quarter of the step.

    past : True solves from the patient's beginning (for the fit to the past; then `times` hold the times of all labs),
        else from the stored state
    rng : for the paths of serially correlated departures, which the outputs contain; None: outputs without them
    """
    model, finer = twin.model, twin.finer if past else 1
    outputs, hazards, ok = _solved(twin, draws, plan.record, times, past, accuracy, finer)
    while (~ok).mean() > BORNE and (finer := next_grid(model, finer)):
        failed = np.flatnonzero(~ok)
        *again, solved = _solved(twin, draws, plan.record, times, past, accuracy, finer, failed)
        outputs, hazards, ok = (a.copy() for a in (outputs, hazards, ok))
        outputs[failed[solved]], hazards[failed[solved]] = (new[solved] for new in again)
        ok[failed] = solved
    if model.serial and rng is not None:
        at = np.asarray(times, dtype=float)
        paths = past_departures(twin, draws, at, outputs, rng) if past else future_departures(twin, draws, at, rng)
        outputs = departed(twin, draws, outputs, paths)
    return outputs, hazards, ok


def departed(twin, draws, outputs, paths):
    """Outputs (P, V, K) with departures (P, V, W)."""
    model, sigma = twin.model, np.asarray(twin.population.sigma)[draws.draw]
    scaling = scaling_of(model, twin.population, draws.psi, draws.draw)
    each = {name: value[:, None] for name, value in scaling.items()}
    return with_departures(model, outputs, paths, sigma[:, None, :], each)


def with_repeats(twin, draws, outputs, times, marker: int, at, repeats: int, rng):
    """Outputs (P, V, K) at `times` with a path of every departure, and of one of them, `marker`, at times[at] a path
    for each repeat of the assay errors (R, P, N), the first that of the outputs; (1, P, N) where it does not depart.

    One path for all repeats would count as a patient's own what nobody can know of him.
    """
    first, seen = outputs, []
    for repeat in range(repeats if marker in twin.model.serial else 1):
        path = outputs
        if twin.model.serial:
            path = departed(twin, draws, outputs, future_departures(twin, draws, times, rng))
        first = path if repeat == 0 else first
        seen.append(path[:, at, marker])
    return first, np.stack(seen)
