"""A hierarchical Gaussian process in time for each marker: the strongest rival that knows no mechanism.

On the output's error scale the marker follows the mean course of the training patients, by treatment in force and
time since it started (piecewise linear between quantiles of that time; before the first treatment, time since the
record began), and departs from it as `covariance` says. The forecast of a lab is the exact normal distribution
conditional on the patient's own earlier labs of that output, doubt about the mean course included; hyper-parameters
come from the marginal likelihood (`marginal`). A censored value stands at its limit. With labs revealed up to a time
the same process looks further ahead, so nothing is fitted anew.

Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, sections 2.2, 2.7 and 5.4.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bayestwin.errors import FitError
from bayestwin.evaluation.rivals.covariance import Points, covariance, first_guess, noise_variance
from bayestwin.evaluation.rivals.history import Course, course_of, labs_of, values_of
from bayestwin.evaluation.rivals.location_scale import Forecast
from bayestwin.evaluation.rivals.marginal import Trained, train
from bayestwin.evaluation.rivals.rival import Rival, observed_labs

KNOTS = 8  # of the mean course of one treatment, where it has enough labs
LABS_PER_KNOT = 5
FEWEST_LABS = 10  # of an output in the whole training cohort


class Scaling(NamedTuple):
    """centre, spread : mean and SD of the training values; gap : median time between labs; length : of follow-up."""

    centre: float
    spread: float
    gap: float
    length: float


class MarkerProcess(NamedTuple):
    """The fitted process of one output; knots : treatment -> times since its start, in units of the gap."""

    trained: Trained
    scaling: Scaling
    knots: dict


@dataclass(frozen=True, eq=False)
class GaussianProcess(Rival):
    """Fitted by `fit_gaussian_process`; processes : output -> MarkerProcess."""

    name: ClassVar[str] = "gaussian_process"
    model: Any
    processes: dict
    patients: frozenset

    def knows(self, record) -> bool:
        """True where this patient was in the training cohort."""
        return record.key in self.patients

    def forecasts(self, course) -> list[list[Forecast]]:
        """One normal forecast per lab, given what was known before its panel."""
        found = []
        for panel in course:
            labs, clock = observed_labs(self.model, panel), course_of(self.model, panel.newer)
            said: dict[int, Forecast] = {}
            for output in {lab.output for lab in labs}:
                asked = [lab for lab in labs if lab.output == output]
                said |= zip(map(id, asked), self._ahead(output, labs_of(panel.known, output), asked, clock))
            found.append([said[id(lab)] for lab in labs])
        return found

    def _ahead(self, output, known, asked, clock) -> list[Forecast]:
        if output not in self.processes:
            raise FitError(
                "the training patients have too few labs of this output for a process",
                subject=f"model {self.model.name}",
                place=f"output {output}",
                allowed=f"at least {FEWEST_LABS} labs that are not all the same",
                next_step="Train on more patients or leave this output out.",
            )
        observation = self.model.observations[self.model.observation_index[output]]
        times = [lab.time for lab in (*known, *asked)]
        return predicted(self.processes[output], values_of(observation, known), times, clock)


def fit_gaussian_process(model, cohort, *, population=None, reveal_until: float | None = None) -> GaussianProcess:
    """Fit one process per output to the training patients.

    Parameters
    ----------
    cohort : training patients; population, reveal_until : not used

    Returns
    -------
    GaussianProcess      an output with too few labs is left out; asking for its forecast raises FitError
    """
    processes = {}
    for observation in (o for o in model.observations if not o.discrete):
        own = [(course_of(model, r), labs_of(r, observation.output)) for r in cohort]
        own = [(clock, labs) for clock, labs in own if labs]
        values = [values_of(observation, labs) for _, labs in own]
        if sum(map(len, values)) >= FEWEST_LABS and np.std(np.concatenate(values)) > 0:
            times = [[lab.time for lab in labs] for _, labs in own]
            processes[observation.output] = fit_process([c for c, _ in own], times, values, model.treatment_names)
    return GaussianProcess(model, processes, frozenset(record.key for record in cohort))


def fit_process(clocks: list[Course], times, values, treatments) -> MarkerProcess:
    """The process of one output.

    clocks, times, values : of each patient, N_i times and values on the error scale; treatments : names
    """
    pooled = np.concatenate(values)
    gaps = np.concatenate([np.diff(np.unique(t)) for t in times])
    gap = float(np.median(gaps)) if len(gaps) else 1.0
    length = max(float(np.median([max(t) - c.begin for c, t in zip(clocks, times)])), gap)
    scaling = Scaling(float(pooled.mean()), float(pooled.std()), gap, length)
    knots = _knots(clocks, times, ("", *treatments), gap)
    points = [points_of(clock, t, knots, scaling) for clock, t in zip(clocks, times)]
    scaled = [(y - scaling.centre) / scaling.spread for y in values]
    trained = train(points, scaled, first_guess(len(knots), gap / length * 3.0))
    return MarkerProcess(trained, scaling, knots)


def predicted(process: MarkerProcess, known, times, clock: Course) -> list[Forecast]:
    """Normal forecasts at the last times given values (K,) at the first K of `times`."""
    trained, scaling, k = process.trained, process.scaling, len(known)
    points = points_of(clock, times, process.knots, scaling)
    joint = covariance(trained.sizes, trained.terms, points, xp=np)
    joint = joint + points.basis @ trained.spread @ points.basis.T
    noise = float(noise_variance(trained.sizes, xp=np))
    centre = points.basis @ trained.mean
    gain = np.linalg.solve(joint[:k, :k] + noise * np.eye(k), joint[:k, k:])
    mean = centre[k:] + gain.T @ ((known - scaling.centre) / scaling.spread - centre[:k])
    variance = np.diagonal(joint)[k:] - (joint[:k, k:] * gain).sum(axis=0) + noise
    sd = np.sqrt(np.maximum(variance, noise))
    mean, sd = scaling.centre + scaling.spread * mean, scaling.spread * sd
    return [Forecast(float(m), float(s)) for m, s in zip(mean, sd)]


def points_of(clock: Course, times, knots: dict, scaling: Scaling) -> Points:
    """Labs at these times as the process sees them, (N,) and (N, E)."""
    names, times = list(knots), [float(t) for t in times]
    episodes = [clock.episodes(t) for t in times]
    which = [name for name, _ in max(episodes, key=len)]
    treatment = np.array([names.index(e[-1][0]) for e in episodes])
    since = np.array([e[-1][1] for e in episodes]) / scaling.gap
    spent = np.array([[d for _, d in e] + [0.0] * (len(which) - len(e)) for e in episodes]) / scaling.gap
    basis = np.concatenate(
        [_hats(since, at) * (treatment == k)[:, None] for k, at in enumerate(knots.values())], axis=1
    )
    time = (np.array(times) - clock.begin) / scaling.length
    return Points(time, treatment, since, spent, np.array([names.index(name) for name in which]), basis)


def _knots(clocks, times, treatments, gap) -> dict:
    """Knots of the mean course of each treatment: quantiles of the time since its start, in units of the gap."""
    found = {}
    for name in treatments:
        since = [c.since(t) / gap for c, own in zip(clocks, times) for t in own if c.treatment(t) == name]
        count = int(np.clip(len(since) // LABS_PER_KNOT, 1, KNOTS))
        at = np.unique(np.quantile(since, np.linspace(0.0, 1.0, count))) if since else np.zeros(1)
        found[name] = np.concatenate([at, np.full(KNOTS - len(at), np.inf)])
    return found


def _hats(x, knots) -> np.ndarray:
    """Piecewise-linear functions that are 1 at one knot and 0 at the others, constant outside, (N, KNOTS); knots that
    are not used (infinite) have no values."""
    used = knots[np.isfinite(knots)]
    hats = np.stack([np.interp(x, used, row) for row in np.eye(len(used))], axis=-1)
    return np.pad(hats, [(0, 0), (0, len(knots) - len(used))])
