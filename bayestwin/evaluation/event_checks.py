"""VPC of events: the cohort's Kaplan-Meier curve over the band of curves of simulated cohorts.

Source: Holford (2013), CPT Pharmacometrics Syst Pharmacol 2:e43 (time to event, its visual predictive check).
"""

import numpy as np

from bayestwin.evaluation.event_replicates import EventReplicates
from bayestwin.evaluation.observed_events import kaplan_meier, observed

COLUMNS = ("event", "time", "at_risk", "observed", "low", "middle", "high", "events", "events_low", "events_high")


def event_vpc(found: EventReplicates, *, probability: float = 0.9, points: int = 60):
    """Observed and simulated Kaplan-Meier curves of every event, a DataFrame of COLUMNS.

    probability : of the bands, pointwise; `events` : how many the cohort had, and the band of the simulated numbers
    """
    import pandas as pd

    ends, rows = ((1 - probability) / 2, (1 + probability) / 2), []
    for event, times in found.times.items():
        when, seen = observed(found.courses, event)
        grid = np.linspace(0.0, max(when.max(), 1e-9), points)
        curve = kaplan_meier(when, seen, grid)
        curves = np.stack([kaplan_meier(t, s, grid) for t, s in zip(times, found.happened[event])])
        numbers = np.quantile(found.happened[event].sum(axis=1), ends)
        low, middle, high = np.quantile(curves, (ends[0], 0.5, ends[1]), axis=0)
        at_risk = (when[None] >= grid[:, None]).sum(axis=1)
        for values in zip(grid, at_risk, curve, low, middle, high):
            rows.append((event, *values, int(seen.sum()), *numbers))
    return pd.DataFrame(rows, columns=list(COLUMNS))
