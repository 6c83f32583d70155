"""Simulated patients of any model, so that its updates can be proved without data.

A patient is drawn from one of the population draws the twin rests on: psi, response classes, labs with their residual
error, values under a lower limit as censored. Visits lie denser at the beginning, every output is measured at each.
Treatments take turns from patient to patient, and every second patient changes treatment halfway.
Labs that the model derives from others of the same visit are not simulated: the twin learns nothing from them.

Nobody dies on the way: a patient who would have is drawn again, so that he is conditioned on being alive at every
visit, as in the likelihood. So is one with a lab that no reader would accept; of the labs that remain, his posterior is
the same with and without that condition.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.errors import ModelError
from bayestwin.individual import compile_record, informative_labs
from bayestwin.individual.residuals import draw_observation
from bayestwin.prognosis.departures import along_labs, scaling_of
from bayestwin.records import PatientRecord
from bayestwin.records.record import ClinicalEvent, Lab
from bayestwin.twin.particles import population_for
from bayestwin.twin.target import evaluator
from bayestwin.units import convert

SPAN = {"h": 24.0, "day": 365.0}  # shortest follow-up by the model's time unit
FIRST = 0.01  # share of the span at the first visit
CANDIDATES, ATTEMPTS = 16, 20  # patients drawn at a time until one has plausible labs
SIZE = {"weight_kg": 70.0, "height_cm": 172.0}  # for regimens per kg or per m2


class Truth(NamedTuple):
    """What a patient was simulated with: psi (D,), position of his population draw, and of his response class."""

    psi: np.ndarray
    draw: int
    response_class: int


def simulated_patient(population, number: int, *, random_seed: int, population_draws: int, visits: int = 8):
    """Patient `number` of a simulated cohort as a PatientRecord; see `simulated_with_truth`."""
    return simulated_with_truth(
        population, number, random_seed=random_seed, population_draws=population_draws, visits=visits
    )[0]


def simulated_with_truth(population, number: int, *, random_seed: int, population_draws: int, visits: int = 8):
    """Patient `number` of a simulated cohort; the same numbers give the same patient.

    Returns
    -------
    PatientRecord     key SIM-0001 and so on
    Truth             population draw and individual parameters, as a twin of so many population draws expects them

    Raises
    ------
    ModelError        no plausible patient in some hundred: priors and plausible ranges contradict each other; a model
        that measures nothing
    """
    model = population.model
    refuse_unmeasured(model)
    rng = np.random.default_rng([random_seed, number])
    record = _planned(model, number, visits)
    with jax.enable_x64(True):
        data = jax.tree.map(jnp.asarray, compile_record(model, record))
        hyper, _ = population.hyper_draws(population_draws)
        pop = population_for(model, hyper, data.terms)
        for _ in range(ATTEMPTS):
            found = _plausible_labs(model, record, data, pop, population.rho, rng)
            if found is not None:
                labs, truth = found
                return record.with_labs(labs), truth
    raise ModelError(
        "simulated labs lie outside the plausible ranges of the model",
        subject=f"model {model.name}",
        value=f"none of {CANDIDATES * ATTEMPTS} patients",
        next_step="Look at the priors, or simulate from a fitted population (--population).",
    )


def refuse_unmeasured(model) -> None:
    """ModelError for a drug that is a part of other models and has no labs of its own: its twin learns nothing."""
    if not model.observations:
        raise ModelError(
            "the model measures nothing, so there are no updates to prove",
            subject=f"model {model.name}",
            value="observations=()",
            allowed="a model with labs",
            next_step="Name a model that has this one as a part.",
        )


def visit_times(visits: int, span: float) -> np.ndarray:
    """Times of the visits: quadratic, so that the first lie close together."""
    share = np.linspace(np.sqrt(FIRST), 1.0, visits) ** 2
    return np.round(span * share, 6)


def _planned(model, number: int, visits: int) -> PatientRecord:
    """Doses, treatments and visits of a patient, with labs that have no value yet."""
    doses, events, span = _treated(model, number)
    times = visit_times(visits, span)
    labs = [
        Lab(f"{o.output} {n + 1}", o.output, float(t), o.lab_spec.some_value, float(t))
        for n, t in enumerate(times)
        for o in model.observations
    ]
    record = PatientRecord(f"SIM-{number:04d}", labs=tuple(labs), doses=tuple(doses), events=tuple(events))
    return record.with_labs(informative_labs(model, record))  # predictions have no rows for the others


def _treated(model, number: int):
    """Doses, events and span: treatments in turn from time zero, every second patient changes to the next halfway."""
    span = SPAN.get(model.time_unit) or convert(SPAN["day"], "day", model.time_unit)
    if not model.treatments:
        return (), (), span
    turn, changes = divmod(number, 2)
    count = len(model.treatments)
    chosen = [model.treatments[turn % count]]
    if changes and count > 1:
        chosen.append(model.treatments[(turn + 1) % count])
    how: dict[str, Any] = {"time_unit": model.time_unit, "dose_unit": model.dose_unit, "covariates": SIZE}
    longest = max((dose.time for t in chosen for dose in t.regimen.events(start=0.0, **how)), default=0.0)
    span = max(span, 1.2 * longest * len(chosen))
    doses, events = [], []
    for k, treatment in enumerate(chosen):
        start = k * span / 2.0
        doses += treatment.regimen.events(start=start, **how)
        if treatment.starts_with != "dose":
            events.append(ClinicalEvent(treatment.starts_with, start, start, treatment.name))
    return doses, events, span


def _plausible_labs(model, record, data, pop, rho, rng):
    """(labs, Truth) of the first of some patients whose values the readers would accept; None where there is none."""
    draw = pop.with_level(rng.integers(pop.draws, size=CANDIDATES), rng)
    noise = rng.standard_normal((CANDIDATES, pop.mean.shape[1]))
    psi = np.asarray(pop.mean)[draw] + np.einsum("pde,pe->pd", np.asarray(pop.scale)[draw], noise)
    pieces = evaluator(model, NO_GRADIENT)(jnp.asarray(psi), jnp.asarray(draw), pop, data, rho)
    chance = np.exp(np.asarray(pieces.log_class))
    fine = np.asarray(pieces.ok).all(axis=1)
    for p in np.flatnonzero(fine):
        c = int(rng.choice(chance.shape[1], p=chance[p] / chance[p].sum()))
        if model.hazards and rng.random() >= np.exp(float(pieces.alive[p, c] + pieces.other[p, c])):
            continue
        sigma = np.asarray(pop.sigma)[draw[p]]
        scaling = scaling_of(model, pop, psi[p : p + 1], draw[p : p + 1])
        predicted = np.asarray(pieces.prediction)[p, c, : len(record.labs)]
        predicted = along_labs(model, record.labs, predicted[None], sigma[None], scaling, rng)[0]
        labs = [_measured(model, lab, f, sigma, rng) for lab, f in zip(record.labs, predicted)]
        if all(lab is not None for lab in labs):
            return labs, Truth(psi[p], int(draw[p]), c)
    return None


def _measured(model, lab, prediction, sigma, rng):
    """The lab with a simulated value, censored under the lower limit; None where no reader would accept it."""
    k = model.observation_index[lab.output]
    observation = model.observations[k]
    if not np.isfinite(prediction):
        return None
    value = float(draw_observation(model, k, rng, prediction, sigma))
    limit = observation.lower_limit
    if limit is not None and value < limit:
        return replace(lab, value=limit, censoring="left", limit=limit)
    low, high = observation.plausible
    if not np.isfinite(value) or value > high or (value < low and observation.positive):
        return None
    return replace(lab, value=value)
