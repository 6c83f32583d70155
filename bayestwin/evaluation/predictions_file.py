"""Reading predictions.csv back: every row is checked before it is scored, none is repaired.

A row that cannot be scored is set aside with file, row, column, value, what is allowed and what to do; the others
are used. A forecast that failed its numerical check (verdict other than PASS) may lack its scores: such a row is kept
and counted, so that withholding cannot flatter. A log score of -inf (the lab was held impossible) is a score.

A file of rivals is a predictions.csv with a column `forecaster` that names who made each row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.evaluation.predictions import COLUMNS, QUANTILE_COLUMNS, UPPER
from bayestwin.records.refusal import Findings, Refusal, RowRefused
from bayestwin.records.tables import read_table
from bayestwin.units import NUMBER

PASS, WITHHELD = "PASS", "WITHHELD"
LAB = ("patient", "lab_id", "output", "time")  # the name of a lab
TEXTS = ("patient", "lab_id", "output", "treatment", "limit_flag", "scale", "verdict")
FORECAST = ("mean", "sd", *QUANTILE_COLUMNS, "crps", "log_score", "pit")
WORDS = {
    "limit_flag": ("none", "left", "right", "interval"),
    "scale": ("ln", "natural"),
    "verdict": (PASS, WITHHELD),
}
ROUNDING = 1e-9  # a PIT of 1 + 1e-16 and a CRPS of -1e-17 are sums of floats, not mistakes


@dataclass(frozen=True)
class PredictionsReading:
    """Usable rows as a DataFrame with the columns of predictions.csv (NaN where a withheld row has no score, and in
    `observed_to` of a lab that is no interval).

    forecasters : one DataFrame per name of the column `forecaster`, in the order of the file; {} where there is none
    """

    frame: Any
    forecasters: dict[str, Any]
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]


def read_predictions(source, *, rivals: bool = False) -> PredictionsReading:
    """Read predictions.csv, or a file of rivals.

    Parameters
    ----------
    source : path or DataFrame
    rivals : bool         the file has a column `forecaster` and may hold several forecasts of one lab

    Returns
    -------
    PredictionsReading    usable rows; refused rows with their reasons

    Raises
    ------
    RecordError           the file cannot be read, lacks a column, or has no usable row
    """
    import pandas as pd

    needed = (*COLUMNS, "forecaster") if rivals else COLUMNS
    findings = Findings()
    table = read_table(source, "predictions.csv", required=needed, key="patient", findings=findings)
    further = (UPPER,) if UPPER in table.columns else ()
    needed, kept = (*needed, *further), [*COLUMNS, *further]
    table.note_ignored(needed, findings)
    texts = pd.DataFrame([row.cells for row in table.rows], columns=list(needed))
    numbers = np.array([row.number for row in table.rows], dtype=int)
    frame, problems = _checked(texts, needed, rivals)
    for place in sorted(problems):
        findings.refuse(texts["patient"][place], table.file, int(numbers[place]), problems[place])
    frame = frame.drop(index=list(problems)).reset_index(drop=True)
    if frame.empty:
        first = f" The first of {len(findings.refusals)} refused rows: {findings.refusals[0]}" if problems else ""
        raise RecordError(
            "no usable row", place=table.file, allowed="at least one row of a prediction", next_step=first.strip()
        )
    _one_scale(frame, table.file)
    names = list(frame["forecaster"].unique()) if rivals else []
    parts = {name: frame.loc[frame["forecaster"] == name, kept].reset_index(drop=True) for name in names}
    return PredictionsReading(frame[kept], parts, tuple(findings.refusals), findings.all_notes())


def _checked(texts, needed, rivals):
    """The typed frame and the first problem of each row that has one: position -> RowRefused."""

    problems = {}

    def refuse(bad, column, reason, allowed, step="Correct the cell."):
        for place in np.flatnonzero(bad):
            value = texts[column][place]
            problems.setdefault(
                int(place), RowRefused(reason, column=column, value=value, allowed=allowed, next_step=step)
            )

    frame = texts.copy()
    for column in ("patient", "output", "verdict", *(("forecaster",) if rivals else ())):
        refuse(texts[column] == "", column, f"{column} is missing", "a name")
    for column, words in WORDS.items():
        refuse(~texts[column].isin(words), column, f"{column} is not known", f"one of {', '.join(words)}")
    withheld = (texts["verdict"] != PASS).to_numpy()
    for column in needed:
        if column in TEXTS or column == "forecaster":
            continue
        plain = texts[column].str.fullmatch(NUMBER.pattern).to_numpy(dtype=bool)
        impossible = texts[column].eq("-inf").to_numpy() if column == "log_score" else np.zeros(len(texts), dtype=bool)
        may_lack = (withheld & (column in FORECAST)) | (
            (texts["limit_flag"] != "interval").to_numpy() & (column == UPPER)
        )
        empty = texts[column].isin(("", "nan", "NaN")).to_numpy() & may_lack
        frame[column] = texts[column].where(plain | impossible, "nan").astype(float)
        bad = ~(plain | impossible | empty) | np.isposinf(frame[column])
        said = "a finite number such as 0.25" + (", or -inf" if column == "log_score" else "")
        refuse(bad, column, "this is not a number", said, "Write a plain number with a decimal point.")
    for column, bad, reason, allowed in _out_of_range(frame):
        refuse(bad, column, reason, allowed)
    _repeated(frame, [*LAB, *(("forecaster",) if rivals else ())], problems, refuse)
    return frame, problems


def _out_of_range(frame):
    """(column, rows, reason, allowed) of numbers that no forecast has; NaN compares as False."""
    seen = frame["n_seen"]
    yield "n_seen", (seen < 0) | (seen != seen.round()) & seen.notna(), "this is not a count", "a whole number from 0"
    logarithm = frame["scale"] == "ln"
    yield "observed", logarithm & (frame["observed"] <= 0), "no logarithm of this value", "more than 0 on scale ln"
    if UPPER in frame:
        turned = (frame["limit_flag"] == "interval") & (frame[UPPER] <= frame["observed"])
        yield UPPER, turned, "an interval ends before it begins", "more than observed"
    elif (frame["limit_flag"] == "interval").any():
        lacks = frame["limit_flag"] == "interval"
        yield "limit_flag", lacks, "an interval without its upper end", f"a column {UPPER}"
    for column in ("sd", "crps"):
        yield column, frame[column] < -ROUNDING, f"{column} is negative", "0 or more"
    outside = (frame["pit"] < -ROUNDING) | (frame["pit"] > 1 + ROUNDING)
    yield "pit", outside, "a PIT is a probability", "0 to 1"
    names = list(QUANTILE_COLUMNS)
    for lower, upper in zip(names, names[1:]):
        slack = ROUNDING * frame[lower].abs()
        yield upper, frame[upper] < frame[lower] - slack, f"{upper} is under {lower}", "quantiles that do not fall"


def _repeated(frame, name, problems, refuse):
    """Refuse the second of two equal rows, and every one of rows that contradict each other."""
    usable = ~frame.index.isin(list(problems))
    equal = frame[usable].duplicated(keep="first").reindex(frame.index, fill_value=False)
    refuse(equal, "lab_id", "the same row again", "each lab once", "Remove the row.")
    left = usable & ~equal.to_numpy()
    again = frame[left].duplicated(name, keep=False).reindex(frame.index, fill_value=False)
    step = "Two landmarks of one patient are two files: score each by itself."
    refuse(again, "lab_id", "two different forecasts of one lab", "each lab (patient, lab_id, output, time) once", step)


def _one_scale(frame, file):
    """Raise where an output stands on two error scales: its scores could not be averaged."""
    scales = frame.groupby("output")["scale"].nunique()
    if (scales > 1).any():
        raise RecordError(
            "an output stands on two error scales",
            place=f"{file}, output {scales.idxmax()}",
            value="ln and natural",
            allowed="one scale per output",
            next_step="Score the rows of each scale in a file of their own.",
        )
