"""Exact posteriors of simulated patients by brute force: many courses of the population, weighed by a likelihood.

All patients of a cohort have one treatment and one set of covariates, so one pool of courses serves every one:

    ln w = sum over labs of ln p(lab | course) - H_death(landmark) - H_other(last assessment) + ln p(level) / q(level)

There is no sampler and no forecast in it. The last term: what a course reads at time zero (`LEVELS`: the level of
M-protein, that of light chains above their floor) only scales its labs, is normal in ln given the population draw and
goes with nothing else. Each patient draws it anew for every course, by q about his first lab, which leaves the
posterior what it is and ten to fifty times as many effective courses.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import informative_visits as page
import jax
import numpy as np

from bayestwin.evaluation.visit_mechanisms import Courses, follow_cohort, latent_courses
from bayestwin.individual.residuals import LEFT, NONE, location_and_scale, log_likelihood_of, log_pdf
from bayestwin.records import ClinicalEvent, PatientRecord
from bayestwin.twin import start_twin

CHUNK, COHORT, SPAN, SEED, LUCK = 10_000, 1000, 730.0, 1000, 77
LEVELS = {"myeloma_car_t": {"m_protein": ("P0", ""), "involved_flc": ("FLC0", "FLC_floor")}}
DEGREES, DEFENCE = 4, 0.1  # of q: Student-t about the first lab, and so much of the population's own


class Level(NamedTuple):
    """Of every course (S,): level and floor on the natural scale, mean and SD of ln level given the population draw."""

    own: np.ndarray
    floor: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


class Pool(NamedTuple):
    """S courses at V times, `step` apart: outputs by name (V, S), hazard integrals (V, H, S), sigma (S, R), as the
    compiled likelihood takes it and its median too, levels by output, of those that are drawn anew."""

    model: Any
    step: float
    outputs: dict[str, np.ndarray]
    hazards: np.ndarray
    sigma: np.ndarray
    compiled_sigma: jax.Array
    median_sigma: np.ndarray
    levels: dict[str, Level]

    def between(self, rows, time: float, at=slice(None)) -> np.ndarray:
        """Rows (V, ..., S) at a time between two points of the grid, by a line, of the courses `at`."""
        low, share = int(time // self.step), time % self.step / self.step
        low_row = rows[low][..., at]
        return low_row if share == 0.0 else (1.0 - share) * low_row + share * rows[low + 1][..., at]


def chunk(population, name: str, number: int, work: Path) -> dict:
    """Courses of CHUNK patients, kept in a file: times, out (S, V, outputs), haz (S, V, H), sigma (S, R), draw (S,),
    psi (S, D)."""
    file = work / f"{name}_courses_{number}.npz"
    if not file.is_file():
        _, _, treatment, covariates = page.MODELS[name]
        how = {"span": SPAN, "step": page.STEP, "random_seed": SEED + number, "covariates": covariates}
        made = latent_courses(population, treatment, CHUNK, **how, **few(name))
        at = [population.model.observation_index[o] for o in outputs_of(population.model, name)]
        drawn = {"draw": np.array([t.draw for t in made.truths]), "psi": np.stack([t.psi for t in made.truths])}
        np.savez(file, times=made.times, out=made.outputs[:, :, at], haz=made.hazards, sigma=made.sigma, **drawn)
        print(f"{file.name} is made", flush=True)
    return dict(np.load(file))


def few(name: str) -> dict:
    """Islands and population draws of a model."""
    return {k: page.SIZES[name][k] for k in ("islands", "population_draws")}


def outputs_of(model, name: str) -> tuple[str, ...]:
    """The progression marker and what else the page measures."""
    _, further, _, covariates = page.MODELS[name]
    return (model.progression.rule_for(covariates).output, *further)


def pool_of(population, name: str, chunks) -> Pool:
    """Chunks as one pool, courses along the last axis."""
    model = population.model
    outputs = {
        o: np.concatenate([c["out"][:, :, j] for c in chunks]).T.copy() for j, o in enumerate(outputs_of(model, name))
    }
    hazards = np.concatenate([c["haz"] for c in chunks]).transpose(1, 2, 0).copy()
    psi, draw, sigma = (np.concatenate([c[k] for c in chunks]) for k in ("psi", "draw", "sigma"))
    levels = levels_of(population, name, outputs, psi, draw)
    step = float(chunks[0]["times"][1])
    return Pool(model, step, outputs, hazards, sigma, jax.numpy.asarray(sigma), np.median(sigma, axis=0), levels)


def levels_of(population, name: str, outputs, psi, draw) -> dict[str, Level]:
    """The levels that are drawn anew; refuses one that goes with another parameter of the patient."""
    model, (_, _, treatment, covariates) = population.model, page.MODELS[name]
    start = ClinicalEvent(model.treatment(treatment).starts_with, 0.0, 0.0, treatment)
    record = PatientRecord("SIM", events=(start,), covariates=covariates)
    drawn = start_twin(population, record, particles=400, random_seed=SEED, **few(name)).population
    found = {}
    for output, (level, floor) in LEVELS.get(name, {}).items():
        d = model.individual_names.index(level)
        if drawn.joined is None or d in np.asarray(drawn.joined):
            raise SystemExit(f"{level} goes with other parameters and cannot be drawn anew by itself")
        under = np.exp(psi[:, model.individual_names.index(floor)]) if floor else np.zeros(len(psi))
        own = outputs[output][0] - under
        shift = np.log(own) - psi[:, d]  # what covariates add
        np.testing.assert_allclose(shift, shift[0], atol=1e-6)
        mean, sd = np.asarray(drawn.mean)[draw, d], np.asarray(drawn.scale)[draw, d, d]
        found[output] = Level(own, under, mean + shift, sd)
    return found


def cohorts(model, name: str, first: dict, mechanisms) -> dict[str, tuple]:
    """The cohort followed under each mechanism with the same luck, by its name."""
    courses, how = cohort(model, name, first), {"every": page.EVERY, "outputs": outputs_of(model, name)}
    return {m.name: follow_cohort(courses, m, **how, random_seed=LUCK) for m in mechanisms}


def cohort(model, name: str, first: dict) -> Courses:
    """The first COHORT courses of a chunk as patients who can be followed."""
    _, _, treatment, covariates = page.MODELS[name]
    outputs = np.zeros((COHORT, len(first["times"]), len(model.observations)))
    for j, o in enumerate(outputs_of(model, name)):
        outputs[:, :, model.observation_index[o]] = first["out"][:COHORT, :, j]
    about = (first["haz"][:COHORT], first["sigma"][:COHORT], (None,) * COHORT, covariates, treatment, model)
    return Courses(first["times"], outputs, *about)


class Posterior(NamedTuple):
    """Courses `at` (n,) that carry a patient's posterior, their weights (n,), summing to one; ess of the whole pool."""

    at: np.ndarray
    weights: np.ndarray
    ess: float


class Patient:
    """One patient before the pool: his levels drawn anew for every course, and ln p of each of his labs kept."""

    def __init__(self, pool: Pool, record, rng: np.random.Generator):
        self.pool, self.rng, self._of_labs = pool, rng, dict[tuple, np.ndarray]()
        self.ratio, self.gain = dict[str, np.ndarray](), np.zeros(len(pool.sigma))
        for output, level in pool.levels.items():
            first = [x for x in record.labs if x.output == output and x.time == 0.0 and x.censoring == "none"]
            if first:
                ratio, gain = level_anew(pool, output, level, first[0].value, rng)
                self.ratio[output], self.gain = ratio, self.gain + gain

    def predicted(self, output: str, time: float, at=slice(None)) -> np.ndarray:
        """The output at a time on the courses `at`, under this patient's levels."""
        found = self.pool.between(self.pool.outputs[output], time, at)
        if output not in self.ratio:
            return found
        floor = self.pool.levels[output].floor[at]
        return floor + (found - floor) * self.ratio[output][at]

    def of_lab(self, lab, form: str) -> np.ndarray:
        """ln density of a lab ("density"), or ln chance to be below it ("limit"), given every course, (S,)."""
        key = (lab.lab_id, lab.value, form)
        if key not in self._of_labs:
            k, predicted = self.pool.model.observation_index[lab.output], self.predicted(lab.output, lab.time)
            found = _log_likelihood(self.pool.model, k, form, predicted, lab.value, self.pool.compiled_sigma)
            self._of_labs[key] = np.asarray(found)
        return self._of_labs[key]

    def log_weights(self, known, landmark: float) -> np.ndarray:
        """ln weights of the courses given what was known at the landmark, up to a constant, (S,)."""
        pool, endpoint = self.pool, self.pool.model.progression
        found = self.gain.copy()
        for lab in known.labs:
            found += self.of_lab(lab, "limit" if lab.censoring == "left" else "density")
        seen = max((e.time for e in known.events if e.event == "assessed"), default=0.0)
        for names, time in ((endpoint.death_hazards, landmark), (endpoint.progression_hazards, seen)):
            at = [list(pool.model.hazards).index(h) for h in names]
            found -= pool.between(pool.hazards, time)[at].sum(axis=0)
        return found

    def posterior(self, known, landmark: float, rng: np.random.Generator, most: int = 4000) -> Posterior:
        """The courses given what was known at the landmark; see `thinned`."""
        weights = normalised(self.log_weights(known, landmark))
        at, kept = thinned(weights, rng, most)
        return Posterior(at, kept, effective(weights))


def level_anew(pool: Pool, output: str, level: Level, value: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """A level for every course, drawn about the lab of time zero: its ratio to the course's own, ln p / q, (S,)."""
    model, k = pool.model, pool.model.observation_index[output]
    _, scale = location_and_scale(model, k, np.array(value), pool.median_sigma, xp=np)
    width = float(scale if model.observations[k].log_scale else scale / value)
    centre = np.log(np.maximum(value - level.floor, 0.05 * value))
    about = centre + width * rng.standard_t(DEGREES, len(centre))
    anyone = level.mean + level.sd * rng.standard_normal(len(centre))
    new = np.where(rng.random(len(centre)) < DEFENCE, anyone, about)
    prior = log_pdf((new - level.mean) / level.sd, None, xp=np) - np.log(level.sd)
    near = log_pdf((new - centre) / width, DEGREES, xp=np) - np.log(width)
    q = np.logaddexp(np.log(DEFENCE) + prior, np.log1p(-DEFENCE) + near)
    return np.exp(new) / level.own, prior - q


def normalised(log_weights) -> np.ndarray:
    """Weights that sum to one."""
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def effective(weights) -> float:
    """Effective number of weights that sum to one."""
    return float(1.0 / (weights**2).sum())


def thinned(weights, rng: np.random.Generator, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Fewer courses that stand for all: positions and weights, summing to one.

    Those heavier than 1 / most stay as they are; a lighter one stays with chance `most` times its weight and then has
    weight 1 / most, so that every mean is kept but for chance (Fearnhead and Clifford 2003).
    """
    least = 1.0 / most
    at = np.flatnonzero(rng.random(len(weights)) * least < weights)
    kept = np.maximum(weights[at], least)
    return at, kept / kept.sum()


@partial(jax.jit, static_argnums=(0, 1, 2))
def _log_likelihood(model, k: int, form: str, predicted, value, sigma):
    return log_likelihood_of(model, k, predicted, value, NONE if form == "density" else LEFT, sigma, form=form)
