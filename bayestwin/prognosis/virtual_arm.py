"""One arm of virtual patients, simulated by the model's own engine: labs, progression, death, response, for each draw.

A patient's future is solved once per class of response (virtual_patients.py), with the code of the forecast: the same
timeline, solver and outputs, progression coded at the arm's own visits from labs with assay error (endpoint.py),
mortality no lower than the life table where the age is known. Response is coded by the model's folder, if it can
(virtual_response.py). Whoever is not measurable by the criteria at screening is not in the trial. A share of patients
who never start the treatment gets what the arm says instead, from the day of the planned start, or nothing.

What is kept is one cell per draw, patient and class: its weight, its chance of being free of events at each month, and
the response of one life drawn from it. Whole trials are made of them in arm_outcomes.py.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.individual.residuals import standard_noise
from bayestwin.prognosis.assessments import MOMENT, visit_episodes
from bayestwin.prognosis.endpoint import events_seen, seen_of
from bayestwin.prognosis.life_table import background_integral, life_table_of
from bayestwin.prognosis.virtual_course import TOGETHER, Course, Solver, with_paths
from bayestwin.prognosis.virtual_patients import VirtualPatients, class_chances
from bayestwin.prognosis.virtual_response import NO_CODER, SimulatedLabs
from bayestwin.records.record import PatientRecord

PATHS = 2  # of assay errors, over which the chance of no serological progression is averaged


class Cells(NamedTuple):
    """P futures: draw, batch (P,); weight (P,) chance of the class, 0 of who is not in the trial or was not solved.

    A patient of whom either class was not solved is left out with both: one alone would count as all of him.

    entered, failed (P,) : bool; response, complete (P,) : bool, None where the model codes no response
    free, alive (P, L) : chance of neither progression nor death, and of being alive, at each month
    event (P,) : of the life whose response is coded, months, inf where it does not come
    """

    draw: np.ndarray
    batch: np.ndarray
    weight: np.ndarray
    entered: np.ndarray
    failed: np.ndarray
    response: np.ndarray | None
    complete: np.ndarray | None
    free: np.ndarray
    alive: np.ndarray
    event: np.ndarray


def simulate_group(model, people: VirtualPatients, course: Course, coder=NO_CODER, *, rho: float, rng) -> Cells:
    """Every draw, patient and class of one group."""
    rows, chances = class_chances(model, people, course.treatment, rho)
    draw, node, kind = (a.ravel() for a in np.meshgrid(*map(np.arange, chances.shape), indexing="ij"))
    rules = [course.endpoint.rule_for(one) for one in people.covariates]
    floor = _background(model, people, course)
    solved = Solver(model, people, course, coder, [rule.output for rule in rules])
    parts = []
    for first in range(0, len(draw), TOGETHER):
        at = slice(first, first + TOGETHER)
        parts.append(
            _code(
                model,
                people,
                course,
                coder,
                solved(draw[at], node[at], rows[kind[at]]),
                rules,
                floor,
                (draw[at], node[at]),
                rng,
            )
        )
    found = [None if part[0] is None else np.concatenate(part) for part in zip(*parts)]
    entered, failed, *rest = found
    unsolved = (failed.reshape(chances.shape) & (chances > 0.0)).any(axis=-1, keepdims=True)
    weight = np.where(entered & ~np.broadcast_to(unsolved, chances.shape).ravel(), chances.ravel(), 0.0)
    return Cells(draw, people.batch[node], weight, entered, failed, *rest)


def _background(model, people: VirtualPatients, course: Course):
    """The general population's hazard integral of each patient, (N, V), zero where the age is not known; or None."""
    table, days = life_table_of(model), course.visits * (DAYS_PER_MONTH / course.per_month)
    each = [background_integral(table, one, 0.0, days) for one in people.covariates]
    if all(one is None for one in each):
        return None
    return np.stack([np.zeros(len(days)) if one is None else one for one in each])


def _code(model, people, course: Course, coder, solved, rules, floor, which, rng):
    """entered, failed, response, complete, free, alive, event of some futures, in that order."""
    (outputs, hazards, ok, values), (draw, node) = solved, which
    failed = ~(ok & np.isfinite(outputs).all(axis=(1, 2)) & np.isfinite(hazards).all(axis=(1, 2)))
    outputs, hazards = (np.where(failed[:, None, None], 1.0, a) for a in (outputs, hazards))  # they have no weight
    sigma = np.asarray(people.hyper.sigma)[draw]
    outputs = with_paths(model, people, course, outputs, sigma, which, rng)
    marker = np.array([rules[n].output for n in node])
    seen = {}
    for name in dict.fromkeys((*marker, *coder.outputs)):
        latent = outputs[:, :, model.observation_index[name]]
        noise = standard_noise(model, model.observation_index[name], rng, (PATHS, *latent.shape))
        seen[name] = seen_of(model, name, latent, sigma, course.assay_error * noise)
    luck, leaving = rng.standard_exponential((2, len(draw))), np.full(len(draw), np.inf)
    if course.drop_out > 0:
        leaving = rng.standard_exponential(len(draw)) / course.drop_out
    shape = (len(draw), len(course.months))
    free, alive, event = np.empty(shape), np.empty(shape), np.empty(len(draw))
    for rule in dict.fromkeys(rules):
        at = np.array([rules[n] == rule for n in node])
        if not at.any():
            continue
        found = events_seen(
            model,
            rule,
            course.endpoint,
            seen[rule.output][:, at],
            hazards[at],
            course.visits,
            history=[],
            start=course.start,
            landmarks=course.months * course.per_month,
            luck=luck[:, at],
            episode=visit_episodes(model, rule, _Row(course.record(model)), 0.0, course.visits),
            background=None if floor is None else floor[node[at]],
            ways=False,
        )
        free[at], alive[at], event[at] = found.survival, found.alive, found.event
    until = np.minimum(np.minimum(event, leaving), course.response_by + 2 * MOMENT)
    entered, response, complete = _response(model, course, coder, outputs, seen, until, values, rng)
    return entered, failed, response, complete, free, alive, event / course.per_month


def _response(model, course: Course, coder, outputs, seen, until, values, rng):
    """Who is in the trial, who responds and who completely, by labs before `until` (P,), model time."""
    if coder is NO_CODER:
        return np.ones(len(until), dtype=bool), None, None
    known = course.visits < until[:, None] - 1e-9
    first = {name: np.where(known, paths[0], np.nan) for name, paths in seen.items()}
    screening = {name: paths[0][:, 0] for name, paths in seen.items()}
    latent = {name: outputs[:, :, model.observation_index[name]] for name in coder.outputs}
    begin = int(np.searchsorted(course.visits, course.start - 1e-9))
    entered, response, complete = coder.code(SimulatedLabs(screening, first, latent, values, begin, rng))
    if course.treatment is None:  # nothing is no response
        response, complete = np.zeros_like(response), np.zeros_like(complete)
    return entered, response, complete


class _Row(NamedTuple):
    record: PatientRecord
