"""One patient, one record, six ways of arriving at its posterior: all must agree within Monte Carlo error.

    batch                         the from-scratch oracle given the whole record at once: the reference of the others
    lab by lab                    the sequential path, as a clinic walks it
    shuffled arrival              every lab late, in a random order
    tenfold error, corrected      restarted from scratch when the correction comes
    retracted                     restarted from the newest stored twin that had not seen what was withdrawn
    killed and resumed            saved at a random update, dropped, loaded from its file, carried on

All rest on the same population draws, so that only the randomness of particles is left between them; that is what the
Monte Carlo error speaks of. Promise 2 of the architecture; `equality.py` says when two numbers are equal.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.evaluation.panels import panels
from bayestwin.evaluation.verification.arrivals import Arrival, as_drawn, main_output, retracted, shuffled, tenfold
from bayestwin.evaluation.verification.follow import follow, last, saved_and_loaded
from bayestwin.evaluation.verification.moments import (
    Moments,
    class_moments,
    forecast_moments,
    parameter_moments,
)
from bayestwin.evaluation.verification.verdict import BATCH, Row, Verification
from bayestwin.twin import rebuild_twin, save_twin

WAYS = ("lab by lab", "shuffled arrival", "tenfold error, corrected", "retracted", "killed and resumed")
SHOWN = 3  # parameters


@dataclass(frozen=True)
class _Asked:
    """What the rows have in common: parameters (names), forecast (output, time) or None, sizes."""

    parameters: tuple[str, ...]
    forecast: tuple[str, float] | None


def verify_patient(
    population,
    record,
    *,
    random_seed: int,
    parameters: tuple[str, ...] | None = None,
    output: str | None = None,
    forecast_at: float | None = None,
    ways: tuple[str, ...] = WAYS,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
    resume: Callable[..., Any] = saved_and_loaded,
    began: Callable[[str], None] = lambda row: None,
) -> Verification:
    """Arrive at one patient's posterior in several ways and compare them with the batch posterior.

    Parameters
    ----------
    population : PopulationPosterior     fitted without this patient
    record : PatientRecord               the whole record, at least two measured labs
    parameters : names                   default: the three whose posterior SD shrank most against the prior
    output : the main output             default: the model's first that was measured
    forecast_at : float                  time of the lab that is forecast; default: one median gap after the record
    ways : names of rows                 default: all of WAYS
    resume : callable                    how the last row is killed and resumed; default: in this process, by a file
    began : called with the name of each row before it is computed

    Returns
    -------
    Verification      its `table`, `comparisons`, `equal` and `sentence`

    Raises
    ------
    RecordError       the patient was in the fitted cohort; too few labs; an unknown parameter, output or way; a
        forecast that is not later than the record
    """
    if population.knows(record):
        raise RecordError(
            "this patient was in the fitted cohort, whose labs the population has learnt",
            subject=f"patient {record.key}",
            next_step="Fit without this patient.",
        )
    population = population.thinned(population_draws)  # no rung takes others
    chosen = main_output(population.model, record, output)
    when = forecast_time(record, chosen, forecast_at)
    _known("individual parameter", parameters or (), population.model.individual_names, population.model)
    _known("way of arriving", ways, WAYS, population.model)
    sizes: dict[str, Any] = {"particles": particles, "islands": islands, "population_draws": population_draws}
    rng = np.random.default_rng(random_seed)
    seeds = dict(zip((BATCH, *WAYS), (int(s) for s in rng.integers(2**32, size=1 + len(WAYS)))))
    seeds["killed and resumed"] = seeds["lab by lab"]  # so that what was killed can be compared bit for bit
    spec = population.model.observations[population.model.observation_index[chosen]].lab_spec
    planned = _arrivals(record, chosen, spec, rng)
    began(BATCH)
    whole, _ = rebuild_twin(population, as_drawn(record), random_seed=seeds[BATCH], **sizes)
    forecast = None if when is None else (chosen, when)
    asked = _Asked(parameters or most_learnt(whole), forecast)
    rows = [_row(BATCH, whole, asked, "from the population and the whole record at once")]
    for way in ways:
        began(way)
        arrival, how = planned[way]
        walk = resume if "stop_after" in how else _followed
        twin = walk(population, arrival.record, random_seed=seeds[way], **sizes, **how)
        rows.append(_row(way, twin, asked, arrival.says))
    return Verification(tuple(rows), record.key, forecast)


def _followed(population, record, **how):
    return last(follow(population, record, **how))


def _arrivals(record, output: str, spec, rng) -> dict[str, tuple[Arrival, dict[str, Any]]]:
    """Way -> its arrival, and what is special in following it."""
    drawn = as_drawn(record)
    visits = len(panels(drawn))
    stop = int(rng.integers(1, visits)) if visits > 1 else 0
    return {
        "lab by lab": (Arrival(drawn, f"{visits} visits, labs of one time together"), {}),
        "shuffled arrival": (shuffled(record, rng), {}),
        "tenfold error, corrected": (tenfold(record, output, spec), {}),
        "retracted": (retracted(record, output, spec), {"keep_earlier": True}),
        "killed and resumed": (Arrival(drawn, f"stopped after visit {stop} of {visits}"), {"stop_after": stop}),
    }


def forecast_time(record, output: str, asked: float | None) -> float | None:
    """When the next lab is expected: as asked, else one median gap after the record's last time; None after a death.

    Raises
    ------
    RecordError      the time asked for is no number, or not later than everything in the record
    """
    happened = [r.time for r in (*record.labs, *record.events)]
    if any(e.event == "death" for e in record.events):
        return None
    times = sorted({lab.time for lab in record.labs if lab.output == output})
    if asked is None:
        return max(happened) + (float(np.median(np.diff(times))) if len(times) > 1 else 1.0)
    if not max(happened) < asked < float("inf"):
        raise RecordError(
            "a forecast must be later than the record",
            subject=f"patient {record.key}",
            value=asked,
            allowed=f"later than {max(happened):g}",
        )
    return float(asked)


def most_learnt(twin, count: int = SHOWN) -> tuple[str, ...]:
    """The parameters whose posterior SD is smallest beside their prior SD, drift steps and frailty left out."""
    moments, pop = parameter_moments(twin), twin.population
    mean, scale = np.asarray(pop.mean), np.asarray(pop.scale)
    prior = np.sqrt((scale**2).sum(axis=-1).mean(axis=0) + mean.var(axis=0))
    names = twin.model.individual_names
    ratio = {name: m.sd().value / max(prior[d], 1e-300) for d, (name, m) in enumerate(zip(names, moments.values()))}
    own = [name for name in names if name in twin.model.parameter_names]
    chosen = sorted(own, key=ratio.__getitem__)[:count]
    return tuple(name for name in own if name in chosen)


def _known(kind: str, names, allowed, model) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise RecordError(
            f"no such {kind}",
            subject=f"model {model.name}",
            value=unknown[0],
            allowed=f"one of {', '.join(allowed)}",
        )


def _row(name: str, twin, asked: _Asked, says: str) -> Row:
    """Moments, numerical check and cost of one way."""
    moments: dict[str, Moments] = parameter_moments(twin, asked.parameters) | class_moments(twin)
    if asked.forecast is not None:
        moments |= forecast_moments(twin, [asked.forecast])
    walked = Counter(info.path for info in twin.history if info.path != "start")
    restarts = [why for info in twin.history for why in info.reasons if why.startswith("restart")]
    with TemporaryDirectory() as folder:
        stored = Path(save_twin(twin, f"{folder}/twin.nc")).stat().st_size / 1000.0
    particles = twin.particles
    return Row(
        name=name,
        says="; ".join([says, *restarts]),
        moments=moments,
        ess=twin.ess,
        seconds=float(sum(info.seconds for info in twin.history)),
        kilobytes=stored,
        path=", ".join(f"{number} {path}" for path, number in walked.items()),
        verdict=twin.info.verdict,
        reasons=twin.info.reasons,
        particles=int(particles.psi.shape[0]),
        mark=sha256(np.asarray(particles.psi).tobytes() + np.asarray(particles.log_weights).tobytes()).hexdigest(),
    )
