"""What would have been seen of death and progression in the same patients, simulated many times.

In replicate r one population draw serves all patients; each gets a new psi and response class, as in replicates.py, and
of death and of progression by imaging or symptoms a time T with H(T) = e, e ~ Exponential(1), H the integral of their
hazards under the patient's own doses. What is then seen of it is what would have been seen of this patient:

    death         until the end of follow-up; whose follow-up ended by death would have been followed for a time drawn
                  from the others' (Kaplan-Meier of the end of follow-up, given that it came later)
    progression   at the first assessment after it, while alive and followed; after the last recorded assessment of who
                  progressed or died at the model's `visit_every`

Time counts from where a patient's record begins. Progression that is read from labs is not simulated here: the VPC of
those labs speaks of it. Treatments that a record has after its event are taken as they are, and none are added.

Source: Bender, Augustin and Blettner (2005), Stat Med 24:1713 (times from integrated hazards).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, build_timeline, pad_timeline, solve_patient
from bayestwin.errors import FitError
from bayestwin.evaluation.observed_events import DEATH, PROGRESSION, Course, end_of, events_seen, kaplan_meier
from bayestwin.individual import (
    beginning,
    bucket,
    class_log_probability,
    compile_record,
    first_state,
    natural_values,
)
from bayestwin.twin.particles import population_for
from bayestwin.twin.target import hyper_of

POINTS = 64  # at which hazard integrals are asked, between them linear


class EventReplicates(NamedTuple):
    """courses : of each patient; horizon : longest follow-up; times (event -> (R, N)) and happened (R, N) of the
    simulated cohorts; failures : share of solves that failed, whose patients stay censored at 0"""

    courses: tuple
    horizon: float
    times: dict
    happened: dict
    failures: float


def event_replicates(population, cohort, *, random_seed: int, count: int = 300) -> EventReplicates:
    """Simulate what would have been seen of death and of progression in the same patients, `count` times.

    Raises
    ------
    FitError        the model has no hazard of death or progression, or nothing is known of anybody's events
    """
    model, rng = population.model, np.random.default_rng(random_seed)
    ways = ways_of(model)
    if not ways:
        raise FitError(
            "the model has no hazards of death or progression, so there is no event to check",
            subject=f"model {model.name}",
            place="endpoints",
            next_step="Give its Progression a death_hazard or progression_hazards.",
        )
    known = list(cohort)
    courses = tuple(events_seen(model, record) for record in known)
    horizon = max((end_of(course) for course in courses), default=0.0)
    if horizon <= 0:
        raise FitError(
            "nothing is known of these patients' events",
            subject=f"model {model.name}",
            next_step="Give events.csv with rows last_known_alive, assessed, progression or death.",
        )
    longer = _follow_up_after_death(courses)
    shape = (count, len(known))
    times, happened, failed = ({e: np.zeros(shape) for e in ways}, {e: np.zeros(shape, bool) for e in ways}, 0.0)
    with jax.enable_x64(True):
        hyper, _ = population.hyper_draws(count)
        draws = np.resize(np.arange(len(np.asarray(hyper.sigma))), count)
        for n, (record, course) in enumerate(zip(known, courses)):
            latent, ok = _latent(model, record, hyper, draws, population.rho, horizon, ways, rng)
            failed += float((~ok).mean()) / len(known)
            until = longer(course, rng, count)
            dead = latent.get(DEATH, np.full(count, np.inf))
            for event in ways:
                if event == DEATH:
                    seen, when = dead <= until, np.minimum(dead, until)
                else:
                    seen, when = _assessed(model, course, latent[event], np.minimum(dead, until))
                times[event][:, n], happened[event][:, n] = np.where(ok, when, 0.0), seen & ok
    return EventReplicates(courses, horizon, times, happened, failed)


def ways_of(model) -> dict[str, tuple[str, ...]]:
    """Event -> the hazards that bring it; without those that the model does not have."""
    endpoint = model.progression
    if endpoint is None:
        return {}
    deaths = endpoint.death_hazards if endpoint.death_hazard is not None else ()
    return {event: names for event, names in ((DEATH, deaths), (PROGRESSION, endpoint.progression_hazards)) if names}


def _follow_up_after_death(courses):
    """(course, rng, count) -> how long each replicate of a patient is followed."""
    died = np.array([np.isfinite(c.died) for c in courses])
    ends = np.array([end_of(c) for c in courses])
    grid = np.unique(ends)
    left = kaplan_meier(ends, ~died, grid)  # chance to be followed beyond each end
    chance = np.append(-np.diff(np.concatenate([[1.0], left])), left[-1])  # the last: as long as anybody was
    grid = np.append(grid, grid[-1])

    def until(course, rng, count):
        if not np.isfinite(course.died):
            return np.full(count, end_of(course))
        own = np.where(grid > course.died, chance, 0.0)
        own[-1] = max(own[-1], 1e-12)
        return np.maximum(rng.choice(grid, size=count, p=own / own.sum()), course.died)

    return until


def _assessed(model, course: Course, latent, until):
    """(seen (R,), when (R,)) of progression that comes at `latent` in patients seen until `until`."""
    visits, every = course.assessed, model.progression.visit_every
    if np.isfinite(course.died) or np.isfinite(course.progressed):  # who was seen no more would have been
        last = visits.max(initial=0.0)
        visits = np.concatenate([visits, np.arange(last + every, until.max() + every, every)])
    visits = np.append(visits, np.inf)
    place = np.searchsorted(visits, latent)
    detected = visits[np.minimum(place, len(visits) - 1)]
    before = np.concatenate([[0.0], visits])[np.searchsorted(visits, until, side="right")]
    seen = detected <= until
    return seen, np.where(seen, detected, before)


def _latent(model, record, hyper, draws, rho, horizon, ways, rng):
    """event -> (R,) when it comes, inf after the horizon; (R,) which solves succeeded."""
    data = jax.tree.map(jnp.asarray, compile_record(model, record))
    pop, begin = population_for(model, hyper, data.terms), beginning(record)
    draws = pop.with_level(draws, rng)
    mean, scale = (np.asarray(a)[draws] for a in (pop.mean, pop.scale))
    psi = jnp.asarray(mean + np.einsum("pde,pe->pd", scale, rng.standard_normal(mean.shape)))
    chance = np.exp(np.asarray(_class_chances(model, psi, draws, pop, data, rho)))
    which = (rng.random((len(draws), 1)) > np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)[:, :-1]).sum(1)
    grid = np.linspace(0.0, horizon, POINTS + 1)
    asked = [(begin + float(t), False) for t in grid[1:]]
    timeline, index = build_timeline(model, record, start=begin, end=begin + horizon, asked=asked)
    line = jax.tree.map(jnp.asarray, pad_timeline(timeline, bucket(len(timeline.start), (128, 256, 512, 1024, 2048))))
    solved = _integrals(model, psi, draws, data.classes[which], pop, line, jnp.asarray(index), data.terms, data.changes)
    integrals, ok = np.asarray(solved[0]), np.asarray(solved[1]) & np.isfinite(np.asarray(solved[0])).all(axis=(1, 2))
    names, found = list(model.hazard_names), {}
    for event, hazards in ways.items():
        total = integrals[:, :, [names.index(h) for h in hazards]].sum(axis=-1)
        total = np.concatenate([np.zeros((len(total), 1)), total], axis=1)
        found[event] = np.array([_reached(h, grid, e) for h, e in zip(total, rng.exponential(size=len(total)))])
    return found, ok


def _reached(integral, grid, level: float) -> float:
    """When a rising integral reaches a level, inf where it does not."""
    if not integral[-1] >= level:
        return np.inf
    return float(np.interp(level, integral, grid))


@partial(jax.jit, static_argnums=0)
def _class_chances(model, psi, draw, population, data, rho):
    """ln chance of every response class, (R, C)."""

    def one(p, d):
        hyper = hyper_of(population, d)
        return jax.vmap(lambda c: class_log_probability(model, p, hyper, data.terms, c, data.relevant, rho))(
            data.classes
        )

    return jax.vmap(one)(psi, draw)


@partial(jax.jit, static_argnums=0)
def _integrals(model, psi, draw, rows, population, timeline, index, terms, changes):
    """Integrals of the hazards (R, POINTS, H), and which solves succeeded (R,)."""

    def one(p, d, row):
        hyper = hyper_of(population, d)
        values = natural_values(model, p, hyper, terms, row, changes)
        solution = solve_patient(model, values, first_state(model, values, hyper.sigma), timeline, NO_GRADIENT)
        count = len(model.states)
        return solution.states[index][:, count : count + len(model.hazards)], solution.ok

    return jax.vmap(one)(psi, draw, rows)
