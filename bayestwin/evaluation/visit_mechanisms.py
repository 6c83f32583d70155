"""Simulated follow-up that depends on how the patient does: three ways in which a record is no random sample.

    visits          a visit comes with a rate that grows with the marker that progression is read from, x its ln:
                    proportional to exp(b x), held within a quarter and four times that of a middle x; as many visits
                    in all as without
    next therapy    once the true marker has risen half way to progression, the next therapy starts with a constant
                    hazard: the record ends before a progression can be coded
    drop-out        a patient is lost with a hazard that goes with a power of his own hazard of the model's events
                    over the middle one: the unfit leave

All depend on what nobody measured on that day, so a twin that takes visits and ends as ignorable is wrong about them.
With every strength at zero they are ignorable. The courses are those of the model itself: particles of a twin that has
learnt nothing, one per patient, so any model with an endpoint can be asked (tests/validation/informative_visits.py).
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from bayestwin.errors import ModelError
from bayestwin.evaluation.verification.simulated import Truth
from bayestwin.individual.residuals import draw_observation
from bayestwin.prognosis.endpoint import code_progression
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.rises import exceeds
from bayestwin.prognosis.simulate import trajectories
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.twin import start_twin

LEAST, MOST = 0.25, 4.0  # visit rate over the base
HALF_WAY = 0.5  # of the rise that is called progression


@dataclass(frozen=True)
class Mechanism:
    """How follow-up depends on the patient; all zero: not at all.

    visits : b, per unit of ln marker; next_therapy : hazard, 1 / time unit, once half way to progression
    drop_out : hazard of a patient in the middle, 1 / time unit; unfit : power of his own hazard over the middle one
    """

    name: str
    visits: float = 0.0
    next_therapy: float = 0.0
    drop_out: float = 0.0
    unfit: float = 0.0


class Courses(NamedTuple):
    """Latent courses of N patients on the grid `times` (V,): outputs (N, V, K), hazard integrals (N, V, H).

    sigma (N, R) ; truths : what each was simulated with; covariates, treatment, start : of all
    """

    times: np.ndarray
    outputs: np.ndarray
    hazards: np.ndarray
    sigma: np.ndarray
    truths: tuple[Truth, ...]
    covariates: dict
    treatment: str
    model: Any


class Followed(NamedTuple):
    """A record and how it ended: progression, other progression, death, next therapy, lost, end of study."""

    record: PatientRecord
    truth: Truth
    ended: str
    end: float


def latent_courses(
    population, treatment: str, patients: int, *, span: float, step: float, random_seed: int, covariates=None, **sizes
) -> Courses:
    """Courses of patients drawn from the population, all under one treatment from time zero.

    step : of the grid, model's time unit; visits and ends fall on it; sizes : population_draws, islands
    """
    model, covariates = population.model, dict(covariates or {})
    if model.progression is None:
        raise ModelError("visit mechanisms need a model with an endpoint", subject=f"model {model.name}")
    start = ClinicalEvent(model.treatment(treatment).starts_with, 0.0, 0.0, treatment)
    record = PatientRecord("SIM", events=(start,), covariates=covariates)
    twin = start_twin(population, record, particles=patients, random_seed=random_seed, **sizes)
    rng = np.random.default_rng([random_seed, 31])
    times = np.arange(int(span // step) + 1) * step
    with jax.enable_x64(True):
        draws = forecast_draws(twin, twin.rho, rng)
        (plan,) = make_plans(model, record, [treatment], 0.0, applied=twin.applied, span=span)
        outputs, hazards, ok = trajectories(twin, draws, plan, times, past=False, rng=rng)
    kept = np.flatnonzero(ok)
    truths = tuple(Truth(draws.psi[n], int(draws.draw[n]), int(draws.known[n])) for n in kept)
    sigma = np.asarray(twin.population.sigma)[draws.draw]
    return Courses(times, outputs[kept], hazards[kept], sigma[kept], truths, covariates, treatment, model)


def follow_cohort(
    courses: Courses, mechanism: Mechanism, *, every: float, outputs: tuple[str, ...], random_seed: int
) -> tuple[Followed, ...]:
    """The records that a mechanism leaves of the courses; the same seed gives the same luck under every mechanism.

    every : mean time between visits of a patient in the middle; outputs : what is measured at each visit
    """
    marker = _marker(courses)
    own = np.log(np.maximum(courses.hazards[:, -1].sum(axis=-1), 1e-12)) if courses.hazards.shape[-1] else None
    unfit = np.zeros(len(marker)) if own is None else own - np.median(own)
    relative = _relative_rate(courses, marker, mechanism.visits)
    found = []
    for n in range(len(marker)):
        rng = np.random.default_rng([random_seed, n])
        visit, therapy, lost = rng.random((3, len(courses.times)))
        luck = _Luck(visit, therapy, lost, rng.standard_exponential(1 + courses.hazards.shape[-1]), rng)
        found.append(_follow(courses, n, marker[n], relative[n] / every, unfit[n], mechanism, outputs, luck))
    return tuple(found)


class _Luck(NamedTuple):
    """Uniform numbers of every day on the grid, and one exponential for each way to end."""

    visit: np.ndarray
    therapy: np.ndarray
    lost: np.ndarray
    ways: np.ndarray
    rng: np.random.Generator


def _relative_rate(courses, marker, strength: float) -> np.ndarray:
    """Visit rate over its mean, (N, V); the mean is over patients until they truly progress."""
    rule = courses.model.progression.rule_for(courses.covariates)
    before = ~np.maximum.accumulate(exceeds(rule, marker, np.minimum.accumulate(marker, axis=1)), axis=1)
    x = np.log(marker)
    relative = np.clip(np.exp(strength * (x - x[before].mean())), LEAST, MOST)
    return relative / relative[before].mean()


def _follow(courses, n, marker, rate, unfit, mechanism, outputs, luck) -> Followed:
    """One patient from time zero, where the first visit is, to whatever ends the record first."""
    model, times, endpoint = courses.model, courses.times, courses.model.progression
    rule, step = endpoint.rule_for(courses.covariates), float(times[1])
    visit = luck.visit < rate * step  # a chance per grid point, so the mean rate is kept
    visit[0] = True
    nadir = np.minimum.accumulate(marker)
    rising = (
        (times > 0)
        & (marker - nadir >= HALF_WAY * rule.absolute)
        & (marker >= (1.0 + HALF_WAY * rule.relative) * nadir)
    )
    therapy = rising & (luck.therapy < 1.0 - np.exp(-mechanism.next_therapy * step))
    lost = (times > 0) & (luck.lost < 1.0 - np.exp(-mechanism.drop_out * np.exp(mechanism.unfit * unfit) * step))
    names = list(model.hazards)
    death = _first(courses.hazards[n], names, endpoint.death_hazards, luck.ways)
    other = _first(courses.hazards[n], names, endpoint.progression_hazards, luck.ways)
    last = len(times)  # index of the first grid point that is not followed any more
    ended = "end of study"
    for why, index in (("next therapy", _at(therapy)), ("lost", _at(lost)), ("death", death)):
        if index < last:
            last, ended = index, why
    seen = np.flatnonzero(visit[:last])
    late = seen[seen >= other]
    if len(late):  # other progression is found at the next visit
        seen, ended = seen[seen <= late[0]], "other progression"
    labs = {o: _measured(courses, n, o, seen, luck.rng) for o in outputs}
    values = np.array([lab.level for lab in labs[rule.output]])
    coded = (
        int(code_progression(values, rule, first_valid=1, confirmations=endpoint.confirmations))
        if len(values) > 1
        else -1
    )
    if coded >= 0:
        stop = coded + endpoint.confirmations - 1
        seen, ended = seen[: stop + 1], "progression"
    found_at_visit = ended in ("progression", "other progression")
    end = float(times[seen[-1]] if found_at_visit else times[min(last, len(times) - 1)])
    began = float(times[seen[coded]]) if ended == "progression" else end
    rows = [lab for o in outputs for lab in labs[o][: len(seen)]]
    clear = times[seen[:-1] if found_at_visit else seen]
    events = _events(courses, clear, ended, began, end)
    record = PatientRecord(f"SIM-{n:04d}", labs=tuple(rows), events=events, covariates=courses.covariates)
    return Followed(record, courses.truths[n], ended, end)


def _events(courses, clear, ended: str, began: float, end: float) -> tuple[ClinicalEvent, ...]:
    """Start of treatment, visits without progression, and the end of the record: what it is, when, when known."""
    start = courses.model.treatment(courses.treatment).starts_with
    events = [ClinicalEvent(start, 0.0, 0.0, courses.treatment)]
    events += [ClinicalEvent("assessed", float(t), float(t)) for t in clear]
    closing = {"death": ("death", ""), "other progression": ("progression", "imaging")}
    event, value = (closing | {"progression": ("progression", "serological")}).get(ended, ("last_known_alive", ""))
    return (*events, ClinicalEvent(event, began, end, value))


def _marker(courses: Courses) -> np.ndarray:
    """What progression is read from (N, V), positive."""
    rule = courses.model.progression.rule_for(courses.covariates)
    return np.maximum(courses.outputs[:, :, courses.model.observation_index[rule.output]], 1e-6)


def _first(hazards, names, wanted, ways) -> int:
    """First grid point by which one of the wanted hazards has come true; the length of the grid where none has."""
    found = [_at(hazards[:, names.index(h)] >= ways[names.index(h)]) for h in wanted]
    return min(found, default=len(hazards))


def _at(holds) -> int:
    return int(np.argmax(holds)) if holds.any() else len(holds)


def _measured(courses, n, output, seen, rng) -> list[Lab]:
    """Labs at the visits, with assay error, censored under the lower limit."""
    model, labs = courses.model, []
    k = model.observation_index[output]
    limit = model.observations[k].lower_limit
    values = draw_observation(model, k, rng, courses.outputs[n, :, k], courses.sigma[n])
    for i in seen:
        t, value = float(courses.times[i]), float(np.asarray(values)[i])
        lab = Lab(f"{output} {t:g}", output, t, value, t)
        low = limit is not None and value < limit
        labs.append(replace(lab, value=limit, censoring="left", limit=limit) if low else lab)
    return labs
