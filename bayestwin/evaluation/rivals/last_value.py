"""Last value carried forward, with a Gaussian step.

    y(new lab) ~ Normal(y(last lab), SD of such steps in the training patients)

on the output's error scale, with one SD per output and treatment in force just before the new lab. Without a value
yet: mean and SD of the training patients' first values. A censored last value stands at its limit. Steps are those of
the same protocol: each training patient goes through the same panels, so that a lab that became known late, or several
in one panel, count as they are forecast. Where labs are revealed up to a time, a step leads from the last lab before
it to a later one, and its SD depends on how far apart they are (bins of equally many steps).

The SD is taken around the steps' mean, the forecast itself has no drift: the rule under which the figures published
for this rival were computed (README of the data set of intermittent androgen deprivation).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bayestwin.errors import FitError
from bayestwin.evaluation.panels import panels
from bayestwin.evaluation.rivals.history import course_of, labs_of, stands_at, values_of
from bayestwin.evaluation.rivals.location_scale import Forecast
from bayestwin.evaluation.rivals.rival import Rival, observed_labs

FEWEST = 20  # steps behind one SD; a bin with fewer is merged, a treatment with fewer stands with all others
MOST_BINS = 10
ANY = None  # in place of a treatment: all of them together


class Step(NamedTuple):
    """One change from the last known value to the lab that was to be predicted, on the error scale."""

    output: str
    treatment: str
    horizon: float
    change: float


class StepSize(NamedTuple):
    """SD of steps by horizon: edges between bins (B - 1,), sd (B,)."""

    edges: np.ndarray
    sd: np.ndarray

    def at(self, horizon: float) -> float:
        """SD of a step over this horizon."""
        return float(self.sd[np.searchsorted(self.edges, horizon)])


@dataclass(frozen=True, eq=False)
class LastValue(Rival):
    """Fitted by `fit_last_value`.

    sizes : (output, treatment or ANY) -> StepSize; first : output -> (mean, SD) of first values
    """

    name: ClassVar[str] = "last_value"
    model: Any
    sizes: dict
    first: dict
    patients: frozenset

    def knows(self, record) -> bool:
        """True where this patient was in the training cohort."""
        return record.key in self.patients

    def forecasts(self, course) -> list[list[Forecast]]:
        """One normal forecast per lab."""
        return [[self._forecast(panel, lab) for lab in observed_labs(self.model, panel)] for panel in course]

    def _forecast(self, panel, lab) -> Forecast:
        last = last_known(panel.known, lab)
        if last is None:
            if lab.output not in self.first:
                raise _too_few(self.model, lab.output, "values")
            return Forecast(*self.first[lab.output])
        if (lab.output, ANY) not in self.sizes:
            raise _too_few(self.model, lab.output, "steps")
        treatment = course_of(self.model, panel.newer).treatment(lab.time)
        size = self.sizes.get((lab.output, treatment), self.sizes[lab.output, ANY])
        observation = self.model.observations[self.model.observation_index[lab.output]]
        return Forecast(stands_at(observation, last), size.at(lab.time - last.time))


def fit_last_value(model, cohort, *, population=None, reveal_until: float | None = None) -> LastValue:
    """SDs of steps and of first values in the training patients.

    Parameters
    ----------
    cohort : training patients; population : not used
    reveal_until : float      the protocol of the forecasts: see `panels`

    Returns
    -------
    LastValue                 an output with too few values is left out; asking for its forecast raises FitError
    """
    found, firsts = defaultdict(list), defaultdict(list)
    for record in cohort:
        for step in _steps(model, record, reveal_until):
            found[step.output].append(step)
        for observation in model.observations:
            for lab in labs_of(record, observation.output)[:1]:
                firsts[observation.output].append(stands_at(observation, lab))
    sizes = {}
    for output, steps in found.items():
        sizes[output, ANY] = _step_size(steps, by_horizon=reveal_until is not None)
        for treatment in {step.treatment for step in steps}:
            own = [step for step in steps if step.treatment == treatment]
            if len(own) >= FEWEST:
                sizes[output, treatment] = _step_size(own, by_horizon=reveal_until is not None)
    first = {output: (float(np.mean(y)), float(np.std(y, ddof=1))) for output, y in firsts.items() if _spread(y)}
    kept = {cell: size for cell, size in sizes.items() if size is not None}
    return LastValue(model, kept, first, frozenset(record.key for record in cohort))


def last_known(known, lab):
    """The newest known lab of the same output at or before the lab's time, else the earliest after it, else None."""
    same = labs_of(known, lab.output)
    before = [other for other in same if other.time <= lab.time]
    return before[-1] if before else same[0] if same else None


def _steps(model, record, reveal_until):
    """Steps of one training patient under the protocol of the forecasts."""
    for panel in panels(record, reveal_until=reveal_until):
        if not panel.final and reveal_until is not None:
            continue
        course = course_of(model, panel.newer)
        for lab in observed_labs(model, panel):
            last = last_known(panel.known, lab)
            if last is not None:
                observation = model.observations[model.observation_index[lab.output]]
                start, end = values_of(observation, (last, lab))
                yield Step(lab.output, course.treatment(lab.time), lab.time - last.time, end - start)


def _step_size(steps, *, by_horizon: bool) -> StepSize | None:
    """SD of steps, in bins of horizon if asked; None where there is nothing to tell it from."""
    changes = np.array([step.change for step in steps])
    if not _spread(changes):
        return None
    horizons = np.array([step.horizon for step in steps])
    edges = _edges(horizons) if by_horizon else np.zeros(0)
    member = np.searchsorted(edges, horizons)
    own = [changes[member == k] for k in range(len(edges) + 1)]
    return StepSize(edges, np.array([np.std(c if _spread(c) else changes, ddof=1) for c in own]))


def _edges(horizons) -> np.ndarray:
    """Quantiles that cut the horizons into bins of at least FEWEST; ties may leave fewer bins."""
    bins = max(min(len(horizons) // FEWEST, MOST_BINS), 1)
    edges = np.unique(np.quantile(horizons, np.arange(1, bins) / bins))
    while len(edges):
        counts = np.bincount(np.searchsorted(edges, horizons), minlength=len(edges) + 1)
        if counts.min() >= FEWEST:
            break
        edges = np.delete(edges, min(int(counts.argmin()), len(edges) - 1))
    return edges


def _spread(values) -> bool:
    return len(values) > 1 and float(np.std(values)) > 0.0


def _too_few(model, output, what):
    return FitError(
        f"the training patients have too few different {what} of this output to say how far it moves",
        subject=f"model {model.name}",
        place=f"output {output}",
        next_step="Train on more patients or leave this output out.",
    )
