"""Rows of predictions.csv: what was forecast of a lab before it was seen, and how that turned out (docs/files.md)."""

from bayestwin.dynamics import treatment_starts

QUANTILE_COLUMNS = {
    "q02_5": 0.025,
    "q05": 0.05,
    "q10": 0.1,
    "q25": 0.25,
    "q50": 0.5,
    "q75": 0.75,
    "q90": 0.9,
    "q95": 0.95,
    "q97_5": 0.975,
}
COLUMNS = (
    *("patient", "lab_id", "time", "known_time", "output", "treatment", "observed", "limit_flag", "scale"),
    *("mean", "sd", *QUANTILE_COLUMNS),
    *("crps", "log_score", "pit", "n_seen", "verdict"),
)
UPPER = "observed_to"  # a further column where a lab is known to lie between `observed` and this


def prediction_rows(model, record, surprises, *, n_seen: int, verdict: str) -> list[dict]:
    """Rows of one panel.

    record : PatientRecord          with what was known of treatments when the labs were predicted
    surprises : tuple[Surprise]     one per lab
    n_seen : labs learnt before; verdict : of the forecaster's numerical check
    """
    starts = treatment_starts(model, record)
    return [
        {"patient": record.key, "lab_id": s.lab_id, "time": s.time, "known_time": s.known_time, "output": s.output}
        | {"treatment": treatment_at(starts, s.time), "observed": s.value, "limit_flag": s.censoring}
        | {"scale": s.scale, "mean": s.mean, "sd": s.sd}
        | {name: s.quantiles[p] for name, p in QUANTILE_COLUMNS.items()}
        | {"crps": s.crps, "log_score": s.log_score, "pit": s.pit, "n_seen": n_seen, "verdict": verdict}
        | ({} if s.upper is None else {UPPER: s.upper})
        for s in surprises
    ]


def treatment_at(starts, time: float) -> str:
    """The treatment in force just before `time`, or "": a lab is drawn before a treatment of the same time starts."""
    return next((name for start, name in reversed(starts) if start < time), "")


def predictions_frame(rows):
    """Rows as a DataFrame with the columns of predictions.csv."""
    import pandas as pd

    further = (UPPER,) if any(UPPER in row for row in rows) else ()
    return pd.DataFrame(rows, columns=[*COLUMNS, *further])
