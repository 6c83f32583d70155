"""One simulated patient: the twin led visit by visit, against a from-scratch reference of many particles.

Both rest on the same population draws and the same labs, so their targets are equal and z = difference / combined Monte
Carlo error speaks of particles alone: not of the finite number of population draws, nor of the patient.

The reference shares neither moves nor islands nor stored state with the twin (`reference`: importance sampling, else
tempered SMC from scratch); its own Monte Carlo error is part of z.
"""

from typing import Any

import numpy as np

from bayestwin.evaluation.verification.equality import welch
from bayestwin.evaluation.verification.follow import follow, last
from bayestwin.evaluation.verification.moments import (
    Weighted,
    class_moments,
    forecast_moments,
    parameter_moments,
    pooled,
    scale_label,
)
from bayestwin.evaluation.verification.reference import Reference, reference_of
from bayestwin.twin.state import PASS
from bayestwin.twin.surprise import weighted_quantiles

AHEAD = 1.25  # forecasts lie so much of the follow-up after its beginning
ENDS = (0.05, 0.95)


def verify_simulated(
    population,
    record,
    *,
    random_seed: int,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
    reference_particles: int = 100_000,
) -> list[dict]:
    """Lead the twin through a record and compare it with the reference.

    Returns
    -------
    list of dicts     one per quantity: kind (parameter, class, forecast), statistic, twin and reference with their
        errors, difference in SDs, z, ends of the 90 % interval (parameters), verdicts, seconds
    """
    population = population.thinned(population_draws)  # a rung that took more would have another target
    seeds = [int(s) for s in np.random.default_rng([random_seed, 1]).integers(2**32, size=2)]
    sizes: dict[str, Any] = {"particles": particles, "islands": islands, "population_draws": population_draws}
    twin = last(follow(population, record, random_seed=seeds[0], **sizes))
    ahead = [(output, AHEAD * max(lab.time for lab in record.labs)) for output in _outputs(population.model, record)]
    kinds = kinds_of(population.model, record)
    reference = reference_of(population, record, reference_particles, population_draws, seeds[1])
    mine = _moments(twin, ahead, kinds)
    theirs = pooled([_moments(run, ahead, kinds) for run in reference.runs])
    about = {
        "patient": record.key,
        "labs": len(record.labs),
        "verdict": twin.info.verdict,
        "reference_verdict": reference.verdict,
        "reference_path": reference.runs[0].info.path,
        "refused": reference.refused,
        "withheld": "; ".join(_why_withheld([twin, *reference.runs])),
        "ess": twin.ess,
        "particles": int(twin.particles.psi.shape[0]),
        "reference_particles": sum(int(run.particles.psi.shape[0]) for run in reference.runs),
        "reference_ess": reference.effective,
        "reference_pareto_k": max(run.info.pareto_k for run in reference.runs),
        "seconds": float(sum(info.seconds for info in twin.history)),
        "reference_seconds": float(sum(run.info.seconds for run in reference.runs)),
    }
    return [about | line for name in mine for line in _lines(name, mine, theirs, twin, reference, kinds)]


def _why_withheld(twins) -> list[str]:
    return list(dict.fromkeys(why for t in twins if t.info.verdict != PASS for why in t.info.reasons))


def _outputs(model, record) -> list[str]:
    measured = {lab.output for lab in record.labs}
    return [o.output for o in model.observations if o.output in measured]


def kinds_of(model, record) -> dict[str, str]:
    """Individual parameters the record can speak of: name -> label.

    Left out: the frailty, drift steps that are not reached, and parameters of treatments that were not started.
    """
    started = {event.value for event in record.events}
    reached = max(lab.time for lab in record.labs)
    names = {}
    for parameter in (model.parameters[k] for k in model.varying):
        if not parameter.treatment or parameter.treatment in started:
            names[parameter.name] = scale_label(model, parameter.name)
    for drift in model.drift:
        names |= {name: name for k, name in enumerate(drift.names) if (k + 1) * drift.every < reached}
    return names


def _moments(twin, ahead, names):
    return parameter_moments(twin, tuple(names)) | class_moments(twin) | forecast_moments(twin, ahead)


def _lines(name, mine, theirs, twin, reference, names):
    """Rows of one quantity: its mean and, where it has one, its SD."""
    parameter = next((p for p, label in names.items() if label == name), None)
    kind = "parameter" if parameter else "class" if theirs[name].second is None else "forecast"
    spread = 0.5 if theirs[name].second is None else theirs[name].sd().value
    own = theirs[name].estimates(name)
    for (_, statistic), estimate in mine[name].estimates(name).items():
        other = own[name, statistic]
        found = welch(estimate, other)
        line = {"quantity": name, "kind": kind, "statistic": statistic, "twin": estimate.value}
        line |= {"monte_carlo_error": estimate.error, "reference": other.value, "reference_error": other.error}
        line |= {"difference_in_sd": found.difference / spread if spread > 0 else float("nan")}
        line |= {"t": found.t, "freedom": found.freedom, "p": found.p, "z": found.z}
        if statistic == "sd" and isinstance(theirs[name], Weighted):
            line |= {"sd_error_at_best": theirs[name].sd_error_of(len(twin.weights))}
        if statistic == "mean" and isinstance(theirs[name], Weighted):
            line |= {"mean_unseen": theirs[name].mean_unseen_by(len(twin.weights))}
        if parameter and statistic == "mean":
            line |= _ends(parameter, twin, reference)
        yield line


def _ends(parameter: str, twin, reference: Reference) -> dict[str, float]:
    """How far the ends of the twin's 90 % interval lie from the reference's, in widths of that interval."""
    d = twin.model.individual_names.index(parameter)
    low, high = weighted_quantiles(np.asarray(twin.particles.psi[:, d]), twin.weights, ENDS)
    values = np.concatenate([np.asarray(run.particles.psi[:, d]) for run in reference.runs])
    weights = np.concatenate([run.weights for run in reference.runs])
    true_low, true_high = weighted_quantiles(values, weights, ENDS)
    width = max(true_high - true_low, 1e-300)
    return {"low_end_off": abs(low - true_low) / width, "high_end_off": abs(high - true_high) / width}
