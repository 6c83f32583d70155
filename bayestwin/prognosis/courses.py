"""Predictive courses of the outputs: quantiles with residual error, and some sampled futures without."""

import numpy as np

from bayestwin.individual import beginning
from bayestwin.individual.residuals import as_reported, draw_observation
from bayestwin.prognosis.result import QUANTILES, Course
from bayestwin.prognosis.simulate import trajectories
from bayestwin.twin.monte_carlo import quantile_errors
from bayestwin.twin.surprise import weighted_quantiles, whole_quantiles

SAMPLED_FUTURES = 12


def is_followed(model, record, output: str) -> bool:
    """Outputs that have a course: measured in this patient, or what a progression rule follows; all without one."""
    measured = any(lab.output == output for lab in record.labs)
    return measured or model.progression is None or output == model.progression.rule_for(record.covariates).output


def ends_of(observation) -> tuple[float, float]:
    """Between which values the courses of an output are drawn: what lies beyond an end is drawn at it."""
    low, high = observation.plausible
    return (max(low, 0.0) if observation.positive else low), high


def courses(model, outputs, ok, sigma, times, draws, islands, rng, *, record) -> tuple[Course, ...]:
    """One course per output that is followed, from latent outputs (P, V, K); failed solves have no weight."""
    weights = np.where(ok, np.exp(draws.log_weights) / islands, 0.0)
    weights = weights / weights.sum()
    log_weights = np.where(ok, draws.log_weights, -np.inf)
    picked = np.random.default_rng(0).choice(len(weights), SAMPLED_FUTURES, p=weights)
    found = []
    for k, observation in enumerate(model.observations):
        if not is_followed(model, record, observation.output):
            continue
        seen = draw_observation(model, k, rng, outputs[:, :, k], sigma[:, None, :])
        # no treatment after progression is modelled: what grows past the plausible range is drawn at its end
        seen = np.clip(seen, *ends_of(observation))
        quantiles_of = whole_quantiles if observation.discrete else weighted_quantiles
        quantiles = np.stack([quantiles_of(seen[:, t], weights, QUANTILES) for t in range(len(times))], axis=1)
        errors = [quantile_errors(now, log_weights, islands, QUANTILES, quantiles_of) for now in seen.T]
        expected = as_reported(model, k, outputs[picked, :, k], sigma[picked, None, :])
        futures = np.clip(expected, *observation.plausible)
        found.append(Course(observation.output, np.asarray(times), quantiles, futures, np.stack(errors, axis=1)))
    return tuple(found)


def past_courses(twin, plan, draws, rng, accuracy) -> tuple[Course, ...]:
    """The fit to the past, from the patient's beginning to the data cut."""
    begin = beginning(twin.record)
    if twin.time <= begin:
        return ()
    times = np.unique(np.concatenate([np.linspace(begin, twin.time, 40), [lab.time for lab in twin.record.labs]]))
    outputs, _, ok = trajectories(twin, draws, plan, times, past=True, rng=rng, accuracy=accuracy)
    sigma = np.asarray(twin.population.sigma)[draws.draw]
    return courses(twin.model, outputs, ok, sigma, times, draws, twin.islands, rng, record=twin.record)
