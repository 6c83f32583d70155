"""A patient's first twin: from the population, or from the joint fit where the patient was fitted."""

import time as clock
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError
from bayestwin.individual import compile_record, with_seen
from bayestwin.population.possible import refuse_failed, refuse_impossible
from bayestwin.twin.check import judge
from bayestwin.twin.grid import carried, told
from bayestwin.twin.oracle import first_twin, refuse_strangers, refuse_uneven
from bayestwin.twin.particles import level_given, normalised, population_for
from bayestwin.twin.rungs import from_scratch
from bayestwin.twin.smc import bridge
from bayestwin.twin.state import FROM_FIT
from bayestwin.twin.target import full_likelihood, log_target
from bayestwin.twin.update import update_twin


def start_twin(
    population,
    record,
    *,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
    random_seed: int,
    rho=None,
    feedback: bool = True,
    accept_failed_fit: bool = False,
    accuracy: Accuracy = NO_GRADIENT,
):
    """A patient's first twin: draws from the population, then everything the record holds.

    Parameters
    ----------
    population : PopulationPosterior
    record : PatientRecord      in the model's units; may be empty
    particles, islands : int    P particles in islands resampled separately
    population_draws : int      M draws of the population posterior, evenly spaced
    feedback : bool             False: the cut posterior, mean over the draws m of p(psi | m, labs). The labs do not
        weigh the draws, as where nothing is to be learnt of the population from this patient; every check says so

    accept_failed_fit : bool    start from a fit that failed its diagnostics; the first check says so

    Returns
    -------
    Twin                        its `info` holds the numerical check

    Raises
    ------
    FitError                    the patient was in the fitted cohort and the population holds no individual draws, or no
                                feedback is asked of what the fit has learnt; a draw of the population cannot be (a
                                negative SD); the fit failed its diagnostics

    A patient of the fitted cohort starts from the joint fit, whose draws have already learnt the labs.
    """
    refuse_strangers("start_twin", population, record, random_seed)
    refuse_uneven(particles, islands, record, population_draws)
    refuse_impossible(population)
    failed = refuse_failed(population, accepted=accept_failed_fit)
    rho = population.rho if rho is None else rho
    how: dict[str, Any] = {"islands": islands, "population_draws": population_draws}
    how |= {"random_seed": random_seed, "rho": rho, "accuracy": accuracy}
    if not population.knows(record):
        twin, _ = from_scratch(population, record, size=particles, feedback=feedback, **how)
        return _telling(failed, replace(twin, history=(replace(twin.info, path="start"),)))
    if not feedback:
        raise FitError(
            "this patient was in the fitted cohort, whose population draws have learnt the labs already",
            subject=f"patient {record.key}",
            place="feedback",
            value=False,
            next_step="Fit without this patient, or start with feedback.",
        )
    fitted = as_fitted(population, record)
    with jax.enable_x64(True):
        twin = _telling(failed, _from_joint_fit(population, fitted, particles=particles, **how))
    if fitted is record:
        return twin
    # what came after the fit is learnt like any newer record
    return update_twin(twin, record, random_seed=random_seed, accuracy=accuracy)[0]


def _telling(reasons, twin):
    """The twin with further reasons in front of those of its check."""
    info = replace(twin.info, reasons=(*reasons, *twin.info.reasons))
    return replace(twin, history=(*twin.history[:-1], info))


def as_fitted(population, record):
    """The record as the fit saw it: this one, or an earlier state of it; labs that came later are not learnt yet."""
    if population.fitted_as(record):
        return record
    rows = (*record.labs, *record.doses, *record.events, *(s.row for s in record.past))
    clocks = sorted({row.known_time for row in rows} | {s.until for s in record.past}, reverse=True)
    for known_time in clocks:
        if population.fitted_as(earlier := record.known_at(known_time)):
            return earlier
    raise FitError(
        "this patient was fitted with another record, and no earlier state of this one is it",
        subject=f"patient {record.key}",
        next_step="Start from the record that was fitted, then update; or fit anew.",
    )


def _from_joint_fit(population, record, *, particles, islands, population_draws, random_seed, rho, accuracy):
    """A fitted patient: individual draws of the joint posterior beside their population draws, then moved.

    The draws m of the fit have learnt his labs: each has the weight 1/M, and psi the law p(psi | m, labs). Moves that
    change m with p(psi | m) L(psi, m) have the marginal p(labs | m) instead, which counts the labs a second time.
    """
    begin = clock.perf_counter()
    drawn = population.individual_draws(record)
    if drawn is None:
        raise FitError(
            "this patient was in the fitted cohort, and the population file holds no individual draws",
            subject=f"patient {record.key}",
            next_step="Start from the fit itself or a file saved with keep_individuals, or fit without this patient; "
            "starting from the population would count the labs twice.",
        )
    model = population.model
    hyper, taken = population.hyper_draws(population_draws)
    pop = population_for(model, hyper, compile_record(model, record).terms)
    draw = np.arange(particles) % len(taken)
    psi = jnp.asarray(np.asarray(drawn[taken])[draw])
    draw = jnp.asarray(level_given(psi, draw, pop, np.random.default_rng([random_seed, 6])))
    data, here, finer = carried(model, record, psi, draw, pop, rho, accuracy)
    made, info = bridge(
        model,
        psi,
        draw,
        normalised(np.zeros(particles), islands),
        pop,
        with_seen(data, data.mask > 0),
        key=jax.random.key(random_seed),
        islands=islands,
        rho=rho,
        from_scratch=False,
        keep_draws=True,
        start_from=log_target(0.0, here.log_class, 0.0, full_likelihood(here), 1.0),
        accuracy=accuracy,
    )
    why = ("started from the joint fit, which had learnt this patient's labs", *told(model, finer))
    info = judge(
        model,
        made,
        info,
        islands,
        FROM_FIT,
        why,
        population_draws=pop.draws,
        new_labs=0,
        started=data.relevant,
    )
    info = replace(info, seconds=clock.perf_counter() - begin)
    twin = first_twin(population, record, made, pop, islands, rho, random_seed, info)
    return replace(twin, from_fit=True, finer=finer)
