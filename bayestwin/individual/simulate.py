"""What given parameters and doses say: every output of a model at the rows of a schedule, no data and no error.

The same timeline and the same solver as the likelihood, so what is simulated here is what a fit believes.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import Accuracy, build_timeline, initial_values, named_state, pad_timeline, parameters_at
from bayestwin.dynamics.names import CHANGED, ChangedCovariates, Doing, shifted
from bayestwin.dynamics.solve import solve_patient
from bayestwin.errors import ModelError
from bayestwin.individual.data import bucket
from bayestwin.individual.occasions import check_occasions, occasion_shifts
from bayestwin.individual.parameters import covariate_course, covariate_terms
from bayestwin.labs import OCCASION
from bayestwin.records.record import PatientRecord, covariate_event


class NotSolved(ModelError):
    """The model runs, and these values and doses have no solution."""


FINE = Accuracy(rtol=1e-9, atol=1e-10, max_steps=16_384, gradient=False)
ALLOWED = {"log": (0.0, float("inf")), "logit": (0.0, 1.0), "identity": (float("-inf"), float("inf"))}


def parameter_bounds(model) -> dict[str, tuple[float, float]]:
    """Parameter -> (low, high), both excluded, on the natural scale."""
    return {p.name: ALLOWED[p.scale] for p in model.parameters}


def drift_steps(model) -> dict[str, float]:
    """Drift steps and effects of occasions of a model -> 0, their value where nobody says another."""
    steps = [name for drift in model.drift for name in drift.names]
    return dict.fromkeys((*steps, *(model.occasions.names if model.occasions else ())), 0.0)


def simulate_outputs(model, values, doses, asked, *, occasions=(), accuracy: Accuracy = FINE) -> np.ndarray:
    """Outputs of one individual.

    Parameters
    ----------
    values : dict        parameter -> natural value; drift steps and effects of occasions too
    doses : tuple        DoseEvents in the model's units
    asked : sequence     (time, place): place as in `build_timeline`, for a row of a table its number
    occasions : sequence of (time, number of the occasion from then on); the first holds from the beginning

    Returns
    -------
    (len(asked), K)      K outputs in the order of `model.outputs`

    Raises
    ------
    NotSolved            the solver gave up, or a steady state does not exist
    ModelError           the model file itself is wrong
    """
    if not len(asked):
        return np.zeros((0, len(model.outputs)))
    times = [float(t) for t, _ in asked]
    said = [replace(covariate_event(OCCASION, float(k)), time=float(t), known_time=float(t)) for t, k in occasions]
    first = {OCCASION: occasions[0][1]} if said else {}
    record = PatientRecord("simulated", doses=tuple(doses), events=tuple(said), covariates=first)
    check_occasions(model, record)
    start = min([0.0, *times, *(d.time for d in doses)])
    line, index = build_timeline(model, record, start=start, end=max(times), asked=asked)
    size = bucket(len(index), (32, 128, 512, 2048))
    index = np.concatenate([index, np.zeros(size - len(index), dtype=int)])
    with jax.enable_x64(True):
        given = {name: jnp.asarray(value, dtype=float) for name, value in values.items()}
        if model.occasions:
            given = _by_occasion(model, given, record)
        steady = None if line.resets is None else bucket(len(line.resets.cycles.row), (4, 16, 64))
        moves = None if line.moving is None else bucket(len(line.moving.arrivals.given), (32, 128, 512, 2048))
        length = bucket(len(line.start), (256, 512, 1024, 2048))
        padded = jax.tree.map(jnp.asarray, pad_timeline(line, length, steady, moves))
        outputs, ok = _solve(model, accuracy, given, padded, jnp.asarray(index))
        outputs, ok = np.asarray(outputs), bool(ok)
    if not ok or not np.isfinite(outputs[: len(asked)]).all():
        raise NotSolved(
            "the equations could not be solved, or the asked steady state does not exist",
            subject=f"model {model.name}",
            value=", ".join(f"{k} = {v:g}" for k, v in values.items()),
            next_step="Look for extreme parameters, and for steady states without elimination.",
        )
    return outputs[: len(asked)]


def _by_occasion(model, given: dict, record) -> dict:
    """The values with the first occasion's effects in them, and what the others change."""
    shifts = occasion_shifts(model, jnp.stack([given[name] for name in model.occasions.names]))
    count, course = len(model.effects), covariate_course(model, record)
    occasions = slice(count, count + model.occasions.count)
    first, found = covariate_terms(model, record.covariates)[occasions], dict(given)
    for k in model.occasional:
        one = model.parameters[k]
        found[one.name] = shifted(given[one.name], first @ shifts[:, k], one.scale)
    if course is not None:
        found[CHANGED] = ChangedCovariates(jnp.asarray(course.times), (course.terms[:, occasions] - first) @ shifts)
    return found


@partial(jax.jit, static_argnums=(0, 1))
def _solve(model, accuracy, values, timeline, index):
    solution = solve_patient(model, values, initial_values(model, values), timeline, accuracy)

    def one(i):
        t, y = timeline.end[i], named_state(model, solution.at(i))
        p, u = parameters_at(model, values, t), Doing(model, t, timeline.active[i], timeline.started[i])
        return jnp.stack([jnp.asarray(output(t, y, p, u), dtype=float) for output in model.outputs.values()])

    return jax.vmap(one)(index), solution.ok
