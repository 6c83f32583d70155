"""Brier score of forecasts of event-free time, with censored patients weighed back in.

For a patient at risk at the landmark s with forecast p of no event until s + h, follow-up T and event mark d:

    (0 - p)^2 G(s) / G(T-)          the event came until s + h
    (1 - p)^2 G(s) / G(s + h)       still free at s + h
    0                               censored before s + h

with G(t) the Kaplan-Meier estimate of not yet being censored at t. The mean over all patients at risk is, in
expectation, the Brier score without censoring, as long as censoring does not depend on the event.

Source: Graf, Schmoor, Sauerbrei and Schumacher (1999), Stat Med 18:2529; Gerds and Schumacher (2006), Biom J 48:1029.
"""

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.evaluation.rivals.landmark_cox import follow_up, landmarks_of
from bayestwin.evaluation.scores import clustered_interval

PLACE = ["patient", "landmark", "horizon"]


def event_rows(forecaster, cohort, *, horizons, landmarks=None) -> list[dict]:
    """Forecasts of every patient at risk at every landmark.

    forecaster : with name, knows(record) and probability(record, landmark, horizon), as a `LandmarkCox`
    horizons, landmarks : times; landmarks None: every assessment of each patient

    Raises
    ------
    RecordError     a patient was among those the forecaster was fitted on
    """
    rows = []
    for record in cohort:
        if forecaster.knows(record):
            raise RecordError(
                f"this patient was in the cohort that {forecaster.name} was fitted on",
                subject=f"patient {record.key}",
                next_step="Fit without this patient.",
            )
        follow = follow_up(record)
        for s in (s for s in landmarks_of(record, landmarks) if s < follow.time):
            for h in horizons:
                rows.append(
                    {"patient": record.key, "landmark": s, "horizon": h, "forecaster": forecaster.name}
                    | {"probability": forecaster.probability(record, s, h), "time": follow.time, "event": follow.event}
                )
    return rows


def event_scores(rows, *, random_seed: int, probability: float = 0.9):
    """Brier score by forecaster and horizon.

    Parameters
    ----------
    rows : of `event_rows`, of one or several forecasters for the same patients
    random_seed : of the intervals, in which whole patients are drawn

    Returns
    -------
    DataFrame       forecaster, horizon, brier, low, high, landmarks (rows at risk with a number), events (in time),
                    patients, without_number (rows that have none)
    """
    import pandas as pd

    table = pd.DataFrame(rows)
    once = table.drop_duplicates("patient")
    uncensored = censoring_survival(once["time"].to_numpy(float), once["event"].to_numpy(bool))
    found = []
    for (forecaster, horizon), asked in table.groupby(["forecaster", "horizon"], sort=False):
        mine = asked[asked["probability"].notna()]
        parts = brier_parts(mine, uncensored)
        value, low, high = clustered_interval(
            parts, mine["patient"].to_numpy(), random_seed=random_seed, probability=probability
        )
        in_time = mine["event"] & (mine["time"] <= mine["landmark"] + horizon)
        found.append(
            {"forecaster": forecaster, "horizon": horizon, "brier": value, "low": low, "high": high}
            | {"landmarks": len(mine), "events": int(in_time.sum()), "patients": mine["patient"].nunique()}
            | {"without_number": len(asked) - len(mine)}
        )
    return pd.DataFrame(found)


def compare_events(rows, *, twin: str, random_seed: int, probability: float = 0.9):
    """Brier score of the twin beside every rival, on landmarks of which both have a number.

    Parameters
    ----------
    rows : of `event_rows` and of the twin's `twin_event_rows`; twin : its name in column `forecaster`

    Returns
    -------
    DataFrame       rival, horizon, twin and rival_score (Brier), difference (rival - twin: positive, the twin is
                    better), low, high (patients drawn), landmarks, events, patients, without_number (of the twin)
    """
    import pandas as pd

    table = pd.DataFrame(rows)
    once = table.drop_duplicates("patient")
    uncensored = censoring_survival(once["time"].to_numpy(float), once["event"].to_numpy(bool))
    mine, found = table[table["forecaster"] == twin], []
    for (name, horizon), theirs in table[table["forecaster"] != twin].groupby(["forecaster", "horizon"], sort=False):
        both = mine.merge(theirs[[*PLACE, "probability"]], on=PLACE, suffixes=("", "_rival"))
        seen = both[both["probability"].notna() & both["probability_rival"].notna()]
        own = brier_parts(seen, uncensored)
        other = brier_parts(seen.assign(probability=seen["probability_rival"]), uncensored)
        value, low, high = clustered_interval(
            other - own, seen["patient"].to_numpy(), random_seed=random_seed, probability=probability
        )
        in_time = seen["event"] & (seen["time"] <= seen["landmark"] + horizon)
        own_mean, other_mean = (float(part.mean()) if len(seen) else np.nan for part in (own, other))
        found.append(
            {"rival": name, "horizon": horizon, "twin": own_mean, "rival_score": other_mean}
            | {"difference": value, "low": low, "high": high}
            | {"landmarks": len(seen), "events": int(in_time.sum()), "patients": seen["patient"].nunique()}
            | {"without_number": int(both["probability"].isna().sum())}
        )
    return pd.DataFrame(found)


def brier_parts(rows, uncensored) -> np.ndarray:
    """Weighted squared error of each row, (N,); its mean is the Brier score.

    rows : DataFrame with probability, landmark, horizon, time, event; uncensored : (t, before) -> G(t) or G(t-)
    """
    p, s, time = (rows[name].to_numpy(float) for name in ("probability", "landmark", "time"))
    until, event = s + rows["horizon"].to_numpy(float), rows["event"].to_numpy(bool)
    start = uncensored(s)
    had = event & (time <= until)
    free = time > until
    weight_had = np.where(had, start / np.where(had, uncensored(time, before=True), 1.0), 0.0)
    weight_free = np.where(free, start / np.where(free, uncensored(until), 1.0), 0.0)
    return weight_had * p**2 + weight_free * (1.0 - p) ** 2


def censoring_survival(time, event):
    """Kaplan-Meier estimate of not yet being censored, as a function of time.

    time, event (N,) : end of each patient's follow-up, True where it was an event. An event of the same time comes
    first, so that a patient censored then was still at risk of it.

    Returns
    -------
    function (t, before=False) -> G(t), or G(t-) with `before`
    """
    times, lost = np.unique(time[~event], return_counts=True)
    # at risk of being censored at t: follow-up beyond t, or censored at t
    at_risk = np.array([((time > t) | ((time == t) & ~event)).sum() for t in times])
    steps = np.concatenate([[1.0], np.cumprod(1.0 - lost / at_risk)]) if len(times) else np.ones(1)

    def survival(t, *, before: bool = False):
        return steps[np.searchsorted(times, t, side="left" if before else "right")]

    return survival
