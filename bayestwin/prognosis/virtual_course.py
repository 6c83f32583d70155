"""What one group of an arm goes through, and its futures solved: the timeline and the solver of the forecast.

Always as many futures at once, so that one compiled program serves every arm; outputs are computed only where something
reads them. Futures that fail on the model's grid of steps are solved on finer ones, as in a forecast.
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
from bayestwin.prognosis.assessments import MOMENT, visit_times
from bayestwin.prognosis.departures import carried_on, scaling_of, with_departures
from bayestwin.prognosis.virtual_patients import VirtualPatients
from bayestwin.records.record import ClinicalEvent, PatientRecord
from bayestwin.twin.grid import next_grid

TOGETHER = 1000  # futures solved and coded at once: what they carry stays in the processor's cache
AGAIN = 64  # of them that failed, solved at once on a finer grid


class Course(NamedTuple):
    """What one group of an arm goes through, the same for all its patients.

    treatment : or None; start : model time at which it begins, and from which response and progression count
    visits (V,) : model times, the screening first; months (L,) : at which chances are kept; per_month : model time
    response_by : model time after which no response counts; drop_out : hazard per model time
    assay_error : factor on the labs' residual error
    endpoint : the model's, with the arm's visits
    """

    treatment: str | None
    start: float
    visits: np.ndarray
    months: np.ndarray
    per_month: float
    response_by: float
    drop_out: float
    assay_error: float
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


def course_of(model, arm, treatment: str | None, wait: float, months, per_month: float, endpoint) -> Course:
    """The course of one group of an arm; wait in model time."""
    start = max(wait, MOMENT)
    span = float(max(months)) * per_month
    visits = visit_times(endpoint, start, span)
    if visits[0] > MOMENT:
        visits = np.concatenate([[MOMENT], visits])  # screening
    return Course(
        treatment,
        start,
        visits,
        np.asarray(months, dtype=float),
        per_month,
        np.inf if arm.response_by is None else arm.response_by * per_month,
        arm.drop_out_per_year / (365.25 / DAYS_PER_MONTH * per_month),
        arm.assay_error,
        endpoint,
    )


class Solver:
    """Solves futures of one course, always as many at once, so that one program serves all; those that fail again."""

    def __init__(self, model, people: VirtualPatients, course: Course, coder, markers):
        names = dict.fromkeys((*markers, *coder.outputs, *(model.observations[k].output for k in model.serial)))
        self.model, self.people, self.course = model, people, course
        self.read = tuple(sorted(model.observation_index[name] for name in names))
        self.values = coder.parameters
        self.lines: dict[int, tuple] = {}

    def _line(self, finer: int) -> tuple:
        """The timeline on a grid so many times finer than the model's, and where its visits stand."""
        if finer not in self.lines:
            record, end = self.course.record(self.model), float(self.course.visits[-1])
            asked = [(float(t), False) for t in self.course.visits]
            line, index = build_timeline(self.model, record, start=0.0, end=end, asked=asked, finer=finer)
            size = bucket(len(index), (48, 96, 192, 384))
            index = np.concatenate([index, np.zeros(size - len(index), dtype=int)])
            line = pad_timeline(line, bucket(len(line.start), (256, 512, 1024, 2048)))
            self.lines[finer] = jax.tree.map(jnp.asarray, line), index
        return self.lines[finer]

    def __call__(self, draw, node, rows):
        """Outputs (P, V, K) of what is read, else 0; hazard integrals (P, V, H), ok (P,), values name -> (P,)."""
        found, finer = self._solved(draw, node, rows, 1, TOGETHER), 1
        while not found[2].all() and (finer := next_grid(self.model, finer)):
            failed = np.flatnonzero(~found[2])
            size = bucket(len(failed), (AGAIN, TOGETHER))
            again = self._solved(draw[failed], node[failed], rows[failed], finer, size)
            solved = again[2]
            for old, new in zip((*found[:3], *found[3].values()), (*again[:3], *again[3].values())):
                old[failed[solved]] = new[solved]
        return found

    def _solved(self, draw, node, rows, finer: int, size: int):
        """The same on one grid, `size` futures at once."""
        short = size - len(draw)
        own, patient, classes = (np.concatenate([a, np.repeat(a[-1:], short, axis=0)]) for a in (draw, node, rows))
        psi, visits, hyper = self.people.psi[own, patient], len(self.course.visits), self.people.hyper
        used = [
            None if a is None else np.asarray(a)[own]
            for a in (hyper.typical, hyper.effects, hyper.sigma, hyper.covariates)
        ]
        with jax.enable_x64(True):
            line, index = self._line(finer)
            found = _solve(
                self.model,
                self.read,
                self.values,
                psi,
                classes,
                self.people.terms[patient],
                tuple(used),
                line,
                index,
            )
        read, hazards, ok, values = (np.array(a)[: len(draw)] for a in found)
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
            here = asked_at(model, known, timeline, solution, i)
            return jnp.stack([output_of(model, k, here) for k in read])

        told = jnp.stack([known[name] for name in values]) if values else jnp.zeros(0)
        return jax.vmap(at)(index), solution.states[index][:, len(model.states) :], solution.ok, told

    return jax.vmap(one)(psi, rows, terms, used)


def with_paths(model, people: VirtualPatients, course: Course, outputs, sigma, which, rng):
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
