"""Trajectories under a plan: latent outputs and hazard integrals at asked times, for all draws at once."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy, build_timeline, initial_values, pad_timeline, solve_patient
from bayestwin.individual import beginning, bucket, covariate_terms, natural_values, outputs_at
from bayestwin.twin.target import hyper_of


@lru_cache(maxsize=32)
def _solver(model, accuracy: Accuracy, resumed: bool):
    def solve(psi, draw, rows, population, timeline, index, terms, state=None):
        def one(p, d, r, y0):
            values = natural_values(model, p, hyper_of(population, d), terms, r)
            solution = solve_patient(
                model, values, initial_values(model, values) if y0 is None else y0, timeline, accuracy
            )
            return (
                outputs_at(model, values, timeline, solution.states, index),
                solution.states[index][:, len(model.states) :],
                solution.ok,
            )

        if state is None:
            return jax.vmap(lambda p, d, r: one(p, d, r, None))(psi, draw, rows)
        return jax.vmap(one)(psi, draw, rows, state)

    return jax.jit(solve)


def trajectories(twin, draws, plan, times, *, past: bool, accuracy: Accuracy = NO_GRADIENT):
    """Latent outputs (P, V, K), hazard integrals (P, V, H) and ok (P,) at `times`.

    past : True solves from the patient's beginning (for the fit to the past), else from the stored state
    """
    model = twin.model
    asked = [(float(t), False) for t in times]
    start = beginning(twin.record) if past else twin.time
    timeline, index = build_timeline(
        model, plan.record, start=start, end=float(max(times)), asked=asked, resumed=not past and twin.applied
    )
    size = bucket(len(timeline.start), (256, 512, 1024, 2048))
    padded = bucket(len(times), (96, 192, 384))
    index = np.concatenate([index, np.zeros(padded - len(times), dtype=int)])
    state = None if past else twin.particles.state[jnp.arange(len(draws.draw)), draws.known]
    arguments = (
        draws.psi,
        draws.draw,
        draws.class_rows,
        twin.population,
        jax.tree.map(jnp.asarray, pad_timeline(timeline, size)),
        jnp.asarray(index),
        jnp.asarray(covariate_terms(model, twin.record.covariates)),
    )
    outputs, hazards, ok = _solver(model, accuracy, not past)(*arguments, *(() if past else (state,)))
    keep = len(times)
    return np.asarray(outputs[:, :keep]), np.asarray(hazards[:, :keep]), np.asarray(ok)
