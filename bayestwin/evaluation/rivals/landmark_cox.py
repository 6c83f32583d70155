"""Landmark Cox model: the statistician's rival for events.

At a landmark s the patients still at risk are described by what was known then: of each output the last value on the
error scale and its slope over the last two values, the treatment in force, how long it has been in force, and s
itself. Landmarks of all training patients are stacked (van Houwelingen's supermodel), the clock starts at each landmark
and stops at the horizon,

    P(no progression or death until s + h | what was known at s) = exp(-H0(h) exp(beta' x(s)))

with H0 Breslow's. Covariates are standardised and their coefficients shrunk by a ridge, chosen by cross-validated
partial likelihood, whole patients left out: one event counts at every landmark before it, and there are few. An output
without a value stands at the training mean with a mark that it is missing; with one value its slope is 0. A patient
whose event has happened, though it is not yet known, is no longer at risk.

Sources: van Houwelingen (2007), Scand J Stat 34:70; van Houwelingen and Putter (2012), Dynamic Prediction in Clinical
Survival Analysis, chapter 7; Verweij and van Houwelingen (1993), Stat Med 12:2305 (the choice of the ridge).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bayestwin.errors import FitError
from bayestwin.evaluation.rivals.cox import Cox, fit_cox, partial_likelihood
from bayestwin.evaluation.rivals.history import course_of, labs_of, values_of
from bayestwin.individual import information_time

RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FOLDS = 5
ENDS = ("progression", "death")


class FollowUp(NamedTuple):
    """When a patient was last known free of events, or had one."""

    time: float
    event: bool


@dataclass(frozen=True, eq=False)
class LandmarkCox:
    """Fitted by `fit_landmark_cox`; centre, spread (K,) : of the covariates; ridge : as chosen.

    horizon : the longest time ahead it can be asked
    """

    name: ClassVar[str] = "landmark_cox"
    model: Any
    cox: Cox
    centre: np.ndarray
    spread: np.ndarray
    ridge: float
    horizon: float
    patients: frozenset

    def knows(self, record) -> bool:
        """True where this patient was in the training cohort."""
        return record.key in self.patients

    def probability(self, record, landmark: float, horizon: float) -> float:
        """P(no progression or death until landmark + horizon), for a patient at risk at the landmark."""
        if not 0 < horizon <= self.horizon:
            raise FitError(
                "the landmark model was not fitted for this horizon",
                subject=f"patient {record.key}",
                value=horizon,
                allowed=f"up to {self.horizon:g}",
                next_step="Fit it with a longer horizon.",
            )
        x = covariates_at(self.model, record, landmark)
        return float(self.cox.survival(_standardised(x[None], self.centre, self.spread), horizon)[0])


def fit_landmark_cox(model, cohort, *, horizon: float, landmarks=None, ridge: float | None = None) -> LandmarkCox:
    """Fit the supermodel to training patients.

    Parameters
    ----------
    horizon : float           longest time ahead, in the model's time unit
    landmarks : sequence      of times, the same for all; None: every assessment of each patient
    ridge : float             penalty on standardised coefficients; None: chosen by cross-validation

    Raises
    ------
    FitError                  no patient is at risk at any landmark, or none has an event
    """
    rows, time, event, of = [], [], [], []
    for k, record in enumerate(cohort):
        follow = follow_up(record)
        for s in landmarks_of(record, landmarks):
            if follow.time > s:
                rows.append(covariates_at(model, record, s))
                time.append(min(follow.time - s, horizon))
                event.append(follow.event and follow.time - s <= horizon)
                of.append(k)
    if not rows:
        raise FitError(
            "no training patient is at risk at any landmark",
            subject=f"model {model.name}",
            next_step="Give landmarks=, or events.csv with rows `assessed`.",
        )
    x = np.stack(rows)
    centre, spread = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    centre, spread = np.nan_to_num(centre), np.where(np.nan_to_num(spread) > 0, spread, 1.0)
    data = np.array(time), np.array(event), _standardised(x, centre, spread)
    ridge = chosen_ridge(*data, np.array(of) % FOLDS) if ridge is None else ridge
    patients = frozenset(record.key for record in cohort)
    return LandmarkCox(model, fit_cox(*data, ridge=ridge), centre, spread, ridge, horizon, patients)


def chosen_ridge(time, event, x, fold) -> float:
    """The ridge with the highest cross-validated partial likelihood.

    fold (N,) : rows of one patient stand in one fold. What a fold adds is ln L of all rows less that of the others, at
    the coefficients that the others gave.
    """

    def gained(ridge):
        total = 0.0
        for k in np.unique(fold):
            others = fold != k
            if event[others].any():
                beta = fit_cox(time[others], event[others], x[others], ridge=ridge).coefficients
                total += partial_likelihood(beta, time, event, x)[0]
                total -= partial_likelihood(beta, time[others], event[others], x[others])[0]
        return total

    return max(RIDGES, key=gained)


def follow_up(record) -> FollowUp:
    """First progression or death, else the last time anything was known."""
    ends = [e.time for e in record.events if e.event in ENDS and e.status != "retracted"]
    return FollowUp(min(ends), True) if ends else FollowUp(information_time(record), False)


def landmarks_of(record, landmarks=None) -> list[float]:
    """The given times, else when each of the patient's assessments became known."""
    seen = (e for e in record.events if e.event == "assessed" and e.status != "retracted")
    assessed = sorted({max(e.time, e.known_time) for e in seen})
    return assessed if landmarks is None else [float(s) for s in landmarks]


def covariates_at(model, record, landmark: float) -> np.ndarray:
    """Covariates (K,) from what was known at the landmark; NaN for the value and slope of an output never measured."""
    known, found = record.known_at(landmark), []
    for observation in model.observations:
        labs = [lab for lab in labs_of(known, observation.output) if lab.time <= landmark]
        y = values_of(observation, labs[-2:])
        between = labs[-1].time - labs[-2].time if len(labs) > 1 else 0.0
        slope = (y[1] - y[0]) / between if between > 0 else 0.0
        found += [y[-1], slope, 0.0] if labs else [np.nan, np.nan, 1.0]
    clock = course_of(model, known)
    now = clock.treatment(landmark)
    found += [np.log1p(clock.since(landmark)), landmark]
    return np.array([*found, *(float(name == now) for name in model.treatment_names)], dtype=float)


def _standardised(x, centre, spread):
    """Covariates with mean 0 and SD 1; what is missing stands at the mean."""
    return np.nan_to_num((x - centre) / spread, nan=0.0)
