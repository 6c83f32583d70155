"""One arm of virtual patients, simulated by the model's own engine: labs, progression, death, response, for each draw.

A patient's future is solved once per class of response (virtual_patients.py), with the code of the forecast: the same
timeline, solver and outputs, progression coded at the arm's own visits from labs with assay error (endpoint.py),
mortality no lower than the life table where the age is known. Response is coded by the model's folder, if it can
(virtual_response.py). Whoever is not measurable by the criteria at screening is not in the trial. A share of patients
who never start the treatment gets what the arm says instead, from the first day, or nothing.

What is kept is one cell per draw, patient and class: its weight, its chance of being free of events at each month, and
the response of one life drawn from it. Whole trials are made of them in arm_outcomes.py.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.dynamics import NO_GRADIENT, build_timeline, initial_values, pad_timeline, solve_patient
from bayestwin.errors import ModelError
from bayestwin.individual import Hyper, asked_at, bucket, natural_values, output_of
from bayestwin.individual.residuals import standard_noise
from bayestwin.prognosis.assessments import MOMENT, visit_episodes, visit_times
from bayestwin.prognosis.departures import carried_on, scaling_of, with_departures
from bayestwin.prognosis.endpoint import events_seen, seen_of
from bayestwin.prognosis.life_table import background_integral, life_table_of
from bayestwin.prognosis.virtual_patients import VirtualPatients, class_chances
from bayestwin.prognosis.virtual_response import NO_CODER, SimulatedLabs
from bayestwin.records.record import ClinicalEvent, PatientRecord

TOGETHER = 1000  # futures solved and coded at once: what they carry stays in the processor's cache
PATHS = 2  # of assay errors, over which the chance of no serological progression is averaged


class Course(NamedTuple):
    """What one group of an arm goes through, the same for all its patients.

    treatment : or None; start : model time at which it begins, and from which response and progression count
    visits (V,) : model times, the screening first; months (L,) : at which chances are kept; per_month : model time
    drop_out : hazard per model time; endpoint : the model's, with the arm's visits
    """

    treatment: str | None
    start: float
    visits: np.ndarray
    months: np.ndarray
    per_month: float
    drop_out: float
    endpoint: Any

    def record(self, model) -> PatientRecord:
        """The record of such a patient: the start of the treatment and nothing else."""
        if self.treatment is None:
            return PatientRecord("virtual")
        known = model.treatment(self.treatment)
        if known.starts_with == "dose":
            raise ModelError(
                "a virtual trial starts treatments by an event, and this one starts with its doses",
                subject=f"model {model.name}",
                place=f"treatment {known.name}",
                value=known.starts_with,
                allowed="a treatment with starts_with = 'line_of_therapy' or 'infusion'",
            )
        return PatientRecord("virtual", events=(ClinicalEvent(known.starts_with, self.start, self.start, known.name),))


class Cells(NamedTuple):
    """P futures: draw, batch (P,); weight (P,) chance of the class, 0 of who is not in the trial or was not solved.

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


def course_of(model, arm, treatment: str | None, wait: float, months, per_month: float, endpoint) -> Course:
    """The course of one group of an arm; wait in model time."""
    start = max(wait, MOMENT)
    span = float(max(months)) * per_month
    visits = visit_times(endpoint, start, span)
    if visits[0] > MOMENT:
        visits = np.concatenate([[MOMENT], visits])  # screening
    drop_out = arm.drop_out_per_year / (365.25 / DAYS_PER_MONTH * per_month)
    return Course(treatment, start, visits, np.asarray(months, dtype=float), per_month, drop_out, endpoint)


def simulate_group(model, people: VirtualPatients, course: Course, coder=NO_CODER, *, rho: float, rng) -> Cells:
    """Every draw, patient and class of one group."""
    rows, chances = class_chances(model, people, course.treatment, rho)
    draws, patients, classes = chances.shape
    draw, node, kind = (a.ravel() for a in np.meshgrid(*map(np.arange, chances.shape), indexing="ij"))
    rules = [course.endpoint.rule_for(one) for one in people.covariates]
    floor = _background(model, people, course)
    solved = _Solved(model, people, course, coder, [rule.output for rule in rules])
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
    weight = np.where(entered & ~failed, chances.ravel(), 0.0)
    return Cells(draw, people.batch[node], weight, entered, failed, *rest)


def _background(model, people: VirtualPatients, course: Course):
    """The general population's hazard integral of each patient, (N, V), zero where the age is not known; or None."""
    table, days = life_table_of(model), course.visits * (DAYS_PER_MONTH / course.per_month)
    each = [background_integral(table, one, 0.0, days) for one in people.covariates]
    if all(one is None for one in each):
        return None
    return np.stack([np.zeros(len(days)) if one is None else one for one in each])


class _Solved:
    """Solves futures of one course, always as many at once, so that one program serves all."""

    def __init__(self, model, people: VirtualPatients, course: Course, coder, markers):
        names = dict.fromkeys((*markers, *coder.outputs, *(model.observations[k].output for k in model.serial)))
        self.model, self.people, self.course = model, people, course
        self.read = tuple(sorted(model.observation_index[name] for name in names))
        self.values = coder.parameters
        asked = [(float(t), False) for t in course.visits]
        line, index = build_timeline(model, course.record(model), start=0.0, end=float(course.visits[-1]), asked=asked)
        size = bucket(len(index), (48, 96, 192, 384))
        self.index = np.concatenate([index, np.zeros(size - len(index), dtype=int)])
        self.line = pad_timeline(line, bucket(len(line.start), (256, 512, 1024, 2048)))

    def __call__(self, draw, node, rows):
        """Outputs (P, V, K) of what is read, else 0; hazard integrals (P, V, H), ok (P,), values name -> (P,)."""
        short = TOGETHER - len(draw)
        own, patient, classes = (np.concatenate([a, np.repeat(a[-1:], short, axis=0)]) for a in (draw, node, rows))
        psi, visits, hyper = self.people.psi[own, patient], len(self.course.visits), self.people.hyper
        used = [
            None if a is None else np.asarray(a)[own]
            for a in (hyper.typical, hyper.effects, hyper.sigma, hyper.covariates)
        ]
        with jax.enable_x64(True):
            found = _solve(
                self.model,
                self.read,
                self.values,
                psi,
                classes,
                self.people.terms[patient],
                tuple(used),
                jax.tree.map(jnp.asarray, self.line),
                self.index,
            )
        read, hazards, ok, values = (np.asarray(a)[: len(draw)] for a in found)
        outputs = np.zeros((len(draw), visits, len(self.model.observations)))
        outputs[:, :, self.read] = read[:, :visits]
        return outputs, hazards[:, :visits], ok, dict(zip(self.values, values.T))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _solve(model, read, values, psi, rows, terms, used, timeline, index):
    def one(p, row, term, own):
        typical, effects, sigma, covariates = own
        known = natural_values(model, p, Hyper(typical, effects, 0.0, 0.0, sigma, covariates), term, row)
        solution = solve_patient(model, known, initial_values(model, known), timeline, NO_GRADIENT)

        def at(i):
            here = asked_at(model, known, timeline, solution.states, i)
            return jnp.stack([output_of(model, k, here) for k in read])

        told = jnp.stack([known[name] for name in values]) if values else jnp.zeros(0)
        return jax.vmap(at)(index), solution.states[index][:, len(model.states) :], solution.ok, told

    return jax.vmap(one)(psi, rows, terms, used)


def _code(model, people, course: Course, coder, solved, rules, floor, which, rng):
    """entered, failed, response, complete, free, alive, event of some futures, in that order."""
    (outputs, hazards, ok, values), (draw, node) = solved, which
    failed = ~(ok & np.isfinite(outputs).all(axis=(1, 2)) & np.isfinite(hazards).all(axis=(1, 2)))
    outputs, hazards = (np.where(failed[:, None, None], 1.0, a) for a in (outputs, hazards))  # they have no weight
    sigma = np.asarray(people.hyper.sigma)[draw]
    outputs = _departed(model, people, course, outputs, sigma, which, rng)
    marker = np.array([rules[n].output for n in node])
    seen = {}
    for name in dict.fromkeys((*marker, *coder.outputs)):
        latent = outputs[:, :, model.observation_index[name]]
        noise = standard_noise(model, model.observation_index[name], rng, (PATHS, *latent.shape))
        seen[name] = seen_of(model, name, latent, sigma, noise)
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
    entered, response, complete = np.ones(len(draw), dtype=bool), None, None
    if coder is not NO_CODER:
        until = np.minimum(event, leaving)
        known = course.visits < until[:, None] - 1e-9
        first = {name: np.where(known, paths[0], np.nan) for name, paths in seen.items()}
        screening = {name: paths[0][:, 0] for name, paths in seen.items()}
        latent = {name: outputs[:, :, model.observation_index[name]] for name in coder.outputs}
        begin = int(np.searchsorted(course.visits, course.start - 1e-9))
        entered, response, complete = coder.code(SimulatedLabs(screening, first, latent, values, begin, rng))
        if course.treatment is None:
            response, complete = np.zeros_like(response), np.zeros_like(complete)
    return entered, failed, response, complete, free, alive, event / course.per_month


class _Row(NamedTuple):
    record: PatientRecord


def _departed(model, people: VirtualPatients, course: Course, outputs, sigma, which, rng):
    """Outputs with a path of every serially correlated departure in them."""
    if not model.serial:
        return outputs
    draw, node = which
    scaling = scaling_of(model, people.hyper, people.psi[draw, node], draw)
    now, before, path = np.zeros((len(draw), len(model.serial))), -np.inf, []
    for time in course.visits:
        now, before = carried_on(model, now, min(float(time) - before, 1e9), sigma, rng), float(time)
        path.append(now)
    scaling = {name: value[:, None] for name, value in scaling.items()}
    return with_departures(model, outputs, np.stack(path, axis=1), sigma[:, None, :], scaling)
