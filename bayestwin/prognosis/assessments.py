"""When a patient is assessed, in which episode of treatment, and what the record already holds of the marker.

An episode is an uninterrupted period on the treatments under which a rule counts (`SerologicalRule.counts_on`), known
by the time it began. A lab is drawn before what starts at its own time, so that it speaks of what was in force until
then: the first assessment of an episode is the first one after its start, the last may be the one that ends it.
"""

import numpy as np

from bayestwin.dynamics import treatment_starts
from bayestwin.errors import ModelError
from bayestwin.units import convert

MOMENT = 1e-6  # time units: a start that must follow another of the same time stands this much later (see plan.py)
_TIE = 1e-9  # two times closer than this are one time


def visit_times(endpoint, start: float, span: float) -> np.ndarray:
    """Assessments after the data cut.

    Every `visit_every` until the treatment starts, at its start, and so on from there.
    """
    waiting = np.arange(endpoint.visit_every, start, endpoint.visit_every) if start > 0 else np.array([])
    after = start + endpoint.visit_every * np.arange(0 if start > 0 else 1, int(span // endpoint.visit_every) + 2)
    return np.unique(np.concatenate([waiting, after[after <= span + endpoint.visit_every]]))


def episode_at(starts, counts_on, time: float) -> float:
    """When the episode in force just before `time` began; not a number outside of one.

    starts : (time, treatment) in order of time
    """
    since = np.nan
    for start, name in starts:
        if start >= time - _TIE:
            break
        since = np.nan if name not in counts_on else start if np.isnan(since) else since
    return float(since)


def visit_episodes(model, rule, plan, now: float, visits) -> np.ndarray | None:
    """Beginning of the episode that each visit (V,) speaks of, time from the data cut; None where all count alike."""
    if not rule.counts_on:
        return None
    starts = treatment_starts(model, plan.record)
    return np.array([episode_at(starts, rule.counts_on, now + t) - now for t in visits])


def marker_history(model, rule, record, plan, now: float) -> list[float]:
    """Observed values of the progression marker that a count after the data cut goes on from.

    Since the current treatment started, its baseline first; of a rule with `counts_on` those of the episode in force,
    from its first visit on. Values of one day are one assessment, their mean, as in the criteria (docs/endpoints.md).
    """
    labs = [lab for lab in record.labs if lab.output == rule.output and lab.time <= now]
    if rule.counts_on:
        since = episode_at(treatment_starts(model, plan.record), rule.counts_on, now + 2 * MOMENT)
        return _by_day(model, [lab for lab in labs if lab.time > since or (lab.time == since and lab.order > 0)])
    if plan.new:
        return _by_day(model, labs)[-1:] if plan.start <= now else []
    before = _by_day(model, [lab for lab in labs if lab.time <= plan.start])
    return before[-1:] + _by_day(model, [lab for lab in labs if lab.time > plan.start])


def _by_day(model, labs) -> list[float]:
    """The mean level of every day of the patient's time on which there are labs, in order of time."""
    day = convert(1.0, "day", model.time_unit)
    found: dict[int, list[float]] = {}
    for lab in labs:
        found.setdefault(int(np.floor(lab.time / day + _TIE)), []).append(lab.level)
    return [float(np.mean(levels)) for levels in found.values()]


def check_counts_on(model, rule) -> None:
    """ModelError where a rule counts on something that no event can start."""
    started = [t.name for t in model.treatments if t.starts_with != "dose"]
    for name in rule.counts_on:
        if name not in started:
            raise ModelError(
                "a progression rule counts on a treatment that no event starts",
                subject=f"model {model.name}",
                place=f"rule for {rule.output}",
                value=name,
                allowed=f"one of {', '.join(started) or '(none)'}",
            )
