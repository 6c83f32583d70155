"""Replay of a patient's labs: the twin predicts every panel before it learns it.

A panel is what became known at one time. Doses of the record, past and scheduled, stay known, as a prescriber knows
them; clinical events come with their panel. The columns are those of predictions.csv (docs/files.md).
"""

from dataclasses import replace
from typing import Any

from bayestwin.dynamics import treatment_starts
from bayestwin.errors import RecordError
from bayestwin.twin import predict_labs, start_twin, update_twin

_QUANTILES = {"q02_5": 0.025, "q05": 0.05, "q10": 0.1, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q90": 0.9, "q95": 0.95}
_QUANTILES["q97_5"] = 0.975
COLUMNS = (
    *(
        "patient",
        "lab_id",
        "time",
        "known_time",
        "output",
        "treatment",
        "observed",
        "limit_flag",
        "scale",
        "mean",
        "sd",
    ),
    *_QUANTILES,
    *("crps", "log_score", "pit", "n_seen", "verdict"),
)


def believed_at(record, known_time: float):
    """The record as it stood at `known_time`, with every dose that it holds today."""
    return replace(record.known_at(known_time), doses=record.doses)


def replay(
    population, record, *, random_seed: int, particles: int = 4000, islands: int = 8, population_draws: int = 400
):
    """Follow one patient panel by panel.

    Parameters
    ----------
    population : PopulationPosterior     fitted without this patient
    record : PatientRecord               the whole record

    Returns
    -------
    rows, twins     rows of predictions.csv as dicts, one per lab; the twin before every panel and after the last

    Raises
    ------
    RecordError     the patient was in the fitted cohort, whose labs the population has learnt

    A lab that arrives with a change of the past (a restart) has no forecast and no row.
    """
    if population.knows(record):
        raise RecordError(
            "this patient was in the fitted cohort; a replay would predict labs that are already learnt",
            subject=f"patient {record.key}",
            next_step="Fit without this patient.",
        )
    sizes: dict[str, Any] = {"particles": particles, "islands": islands, "population_draws": population_draws}
    empty = replace(believed_at(record, float("-inf")), labs=(), events=())
    twin = start_twin(population, empty, random_seed=random_seed, **sizes)
    rows, twins = [], [twin]
    for known_time in sorted({lab.known_time for lab in record.labs}):
        newer = believed_at(record, known_time)
        before = twin
        twin, info = update_twin(twin, newer, random_seed=random_seed, population=population)
        rows += _rows(before, newer, info.surprise if twin is not before else ())
        twins.append(twin)
    return rows, tuple(twins)


def rest_of_course(twin, record, *, random_seed: int):
    """Rows of predictions.csv for every lab of `record` that the twin has not learnt, nothing being learnt."""
    return _rows(twin, record, predict_labs(twin, record, random_seed=random_seed))


def predictions_frame(rows):
    """Rows as a DataFrame with the columns of predictions.csv."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(twin, record, surprises):
    starts = treatment_starts(twin.model, record)
    found = []
    for s in surprises:
        treatment = next((name for time, name in reversed(starts) if time < s.time), "")
        found.append(
            {"patient": twin.key, "lab_id": s.lab_id, "time": s.time, "known_time": s.known_time, "output": s.output}
            | {"treatment": treatment, "observed": s.value, "limit_flag": s.censoring, "scale": s.scale}
            | {"mean": s.mean, "sd": s.sd}
            | {name: s.quantiles[p] for name, p in _QUANTILES.items()}
            | {"crps": s.crps, "log_score": s.log_score, "pit": s.pit, "n_seen": len(twin.record.labs)}
            | {"verdict": twin.info.verdict}
        )
    return found
