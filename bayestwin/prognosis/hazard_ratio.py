"""Two arms of one trial beside each other: the hazard ratio such a trial would publish, and what is expected of it.

Both arms are simulated under the same population draws, so that what a trial has of its own (growth) is common to them.

    such a trial     the Cox estimate from the times of n patients each, simulated arm k of draw m beside arm k of m
    expectation      what the estimate tends to with ever more patients in these proportions, under draw m: the b where
                     sum over intervals of  e1 (1 - w) - e0 w  is nought;  w = s1 exp(b) / (s1 exp(b) + s0)

e and s are the shares of all patients in each arm who have the event in an interval, and who are still at risk in its
middle. Where hazards are not proportional both depend on how long patients are followed. Sources: Cox (1972), J R Stat
Soc B 34:187; Struthers and Kalbfleisch (1986), Biometrika 73:363 (the limit of the estimate); both from memory.
"""

import numpy as np

from bayestwin.errors import ModelError
from bayestwin.prognosis.trials import MONTHS_OF_A_YEAR

MOST = 8.0  # |log hazard ratio|; further where one arm has no event
STEPS = 30


def hazard_ratios(treated, control, endpoint: str, *, followed: float | None = None):
    """Hazard ratios of one endpoint between two virtual trials (`VirtualTrial`) of the same draws.

    Parameters
    ----------
    treated, control : VirtualTrial      of one population and the same number of draws
    endpoint : str                       "pfs" or "os"
    followed : float                     months of follow-up; default as long as both have curves

    Returns
    -------
    under each population draw (M,), of pairs of arms of n patients (A,); NaN of a pair in which nobody had the event

    Raises
    ------
    ModelError      the two rest on different draws; a follow-up that goes on after the curves end
    """
    if not np.array_equal(treated.arms.draw, control.arms.draw):
        raise ModelError(
            "the two arms rest on different population draws, so that nothing pairs them",
            subject=f"arms {treated.arm.name} and {control.arm.name}",
            place="draws",
            value=f"{len(treated.arms.draw)} and {len(control.arms.draw)} simulated arms",
            allowed="the same number for both",
        )
    until = min(treated.months[-1], control.months[-1])
    if followed is not None and followed > until + 1e-9:
        raise ModelError(
            "the follow-up of a hazard ratio is longer than the arms are simulated",
            subject=f"arms {treated.arm.name} and {control.arm.name}",
            place="followed",
            value=f"{followed:g} months",
            allowed=f"at most {until:g} months",
            next_step="Simulate both arms for longer (months=, --months).",
        )
    until = until if followed is None else followed
    return _of_curves(treated, control, endpoint, until), _of_patients(treated, control, endpoint, until)


def _of_patients(treated, control, endpoint: str, until: float) -> np.ndarray:
    """Cox estimates from simulated patients, (A,)."""
    until_event, happened = [], []
    for trial in (treated, control):
        arms = trial.arms
        time = arms.event if endpoint == "pfs" else arms.death
        left = np.minimum(arms.drop_out, until)
        until_event.append(np.minimum(time, left))
        happened.append(time <= left)
    first = np.arange(treated.arm.n + control.arm.n) < treated.arm.n
    time, event = np.concatenate(until_event, axis=1), np.concatenate(happened, axis=1)
    order = np.argsort(time, axis=1, kind="stable")
    mine = first[order]  # (A, n) of the treated arm
    event = np.take_along_axis(event, order, axis=1).astype(float)
    at_risk = np.cumsum(mine[:, ::-1], axis=1)[:, ::-1].astype(float)
    others = np.arange(time.shape[1], 0, -1) - at_risk
    return np.exp(_root(event * mine, event * ~mine, at_risk, others))


def _of_curves(treated, control, endpoint: str, until: float) -> np.ndarray:
    """The limit of the estimate under each draw, (M,)."""
    grid = np.linspace(0.0, until, max(2, int(round(4.0 * until)) + 1))
    total = treated.arm.n + control.arm.n
    events, risks = [], []
    for trial in (treated, control):
        curves = trial.expectation.free if endpoint == "pfs" else trial.expectation.alive
        months = np.concatenate([[0.0], trial.months])
        s = np.stack([np.interp(grid, months, np.concatenate([[1.0], curve])) for curve in curves])
        there = np.exp(-grid * (trial.arm.drop_out_per_year / MONTHS_OF_A_YEAR))
        share = trial.arm.n / total
        events.append(share * (s[:, :-1] - s[:, 1:]) * 0.5 * (there[:-1] + there[1:]))
        risks.append(share * 0.5 * (s[:, :-1] * there[:-1] + s[:, 1:] * there[1:]))
    return np.exp(_root(events[0], events[1], risks[0], risks[1]))


def _root(events, other_events, at_risk, others) -> np.ndarray:
    """The b of each row at which the score of Cox's partial likelihood is nought, by halving; (A, T) each."""
    low, high = np.full(len(events), -MOST), np.full(len(events), MOST)
    for _ in range(STEPS):
        b = 0.5 * (low + high)
        treated = at_risk * np.exp(b)[:, None]
        w = np.divide(treated, treated + others, out=np.zeros_like(treated), where=treated + others > 0)
        score = (events * (1.0 - w) - other_events * w).sum(axis=1)
        low, high = np.where(score > 0, b, low), np.where(score > 0, high, b)
    return np.where((events + other_events).sum(axis=1) > 0, 0.5 * (low + high), np.nan)
