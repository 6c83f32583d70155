"""What a cohort's records say of death and of progression by imaging or symptoms, and Kaplan-Meier curves of it.

Source: Kaplan and Meier (1958), J Am Stat Assoc 53:457.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.individual import beginning, vital_facts

DEATH, PROGRESSION = "death", "progression"


class Course(NamedTuple):
    """What is known of one patient, times from the beginning of the record.

    died, progressed : when, NaN where not; alive : last known; assessed : times without and with a finding, rising
    """

    died: float
    alive: float
    progressed: float
    assessed: np.ndarray


def events_seen(model, record) -> Course:
    """The events of a record as the likelihood counts them."""
    facts, begin = vital_facts(model, record), beginning(record)
    progressed = facts["progressed"]
    assessed = [e.time for e in record.events if e.event == "assessed"]
    assessed = [t for t in assessed if progressed is None or t < progressed] + (
        [] if progressed is None else [progressed]
    )
    died, seen = (np.nan if t is None else t - begin for t in (facts["death"], progressed))
    return Course(died, facts["alive"] - begin, seen, np.unique(np.array(assessed, dtype=float) - begin))


def observed(courses, event: str) -> tuple[np.ndarray, np.ndarray]:
    """When each patient had the event, or was last known not to have had it, and which of the two."""
    if event == DEATH:
        died = np.array([c.died for c in courses])
        return np.where(np.isfinite(died), died, [c.alive for c in courses]), np.isfinite(died)
    seen = np.array([np.isfinite(c.progressed) for c in courses])
    return np.array([c.assessed.max(initial=0.0) for c in courses]), seen


def kaplan_meier(time, happened, grid) -> np.ndarray:
    """Chance of no event until each time of the grid."""
    from scipy.stats import CensoredData, ecdf

    happened = np.asarray(happened, dtype=bool)
    if not happened.any():
        return np.ones(len(grid))
    known = CensoredData(uncensored=np.asarray(time)[happened], right=np.asarray(time)[~happened])
    return ecdf(known).sf.evaluate(grid)


def end_of(course: Course) -> float:
    """Until when anything was known of a patient."""
    return float(np.nanmax([course.died, course.alive, course.assessed.max(initial=0.0)]))
