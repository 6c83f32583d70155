"""The twin against its rivals on the same labs: paired differences, so that hard labs are hard for both.

Each difference is taken lab by lab and oriented so that positive means that the twin was better:

    CRPS and absolute error     rival - twin          (lower is better)
    log score                   twin - rival          (higher is better; free of units)

and averaged twice: over labs, and over patients of the patient's own mean ("per man"), so that a few patients with many
labs do not speak for all. Intervals come from a bootstrap over patients. A lab that only one of the two has forecast
is counted and said. Forecasts count where both passed their numerical check (rows = PASS); beside them stand all.

Source: Diebold and Mariano (1995), Journal of Business and Economic Statistics 13:253, with patients as blocks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.evaluation.predictions_file import LAB, PASS
from bayestwin.evaluation.score_tables import ALL, MIXED, cells_of, one_scale, outputs_of, with_splits
from bayestwin.evaluation.scores import clustered_means, lab_scores
from bayestwin.plots.forecast_scores import interval_text

DIFFERENCES = {"crps": 1, "log_score": -1, "absolute_error": 1}  # sign of rival - twin
COLUMNS = ("rival", "rows", "output", "split", "group", "score", "scale", "mean_over")
BOUNDS = ("difference", "low", "high")
VALUES = ("twin", "rival_score", *BOUNDS, "labs", "patients")
TWIN = "twin"
DECIMALS = 6  # of times, when labs are matched


@dataclass(frozen=True)
class ForecasterComparison:
    """Paired differences of every rival to the twin.

    table : DataFrame     one row per rival, rows (PASS, all), output, split, group, score and mean_over (labs,
        patients): twin and rival_score (the means of both), difference (positive: the twin is better), low, high
    counts : DataFrame    one row per rival: labs of both, of one only, withheld by either
    headline : str        the difference to the best rival
    """

    table: Any
    counts: Any
    headline: str

    def __repr__(self) -> str:
        return f"ForecasterComparison({len(self.counts)} rivals): {self.headline}"


def compare_forecasters(
    twin,
    rivals,
    *,
    random_seed: int,
    probability: float = 0.9,
    reveal_until: float | None = None,
    horizon_edges=None,
    resamples: int = 2000,
) -> ForecasterComparison:
    """Compare the twin with rival forecasters on the labs that both have forecast.

    Parameters
    ----------
    twin : DataFrame                  rows of predictions.csv
    rivals : dict name -> DataFrame   the same columns
    probability : of the intervals, clustered by patient
    reveal_until, horizon_edges : see `score_tables.with_splits`; splits are those of the twin's rows

    Raises
    ------
    RecordError       no rival; a lab stands twice; nothing in common; the two speak of different values of one lab
    """
    import pandas as pd

    if not rivals:
        raise RecordError("no rival to compare with", allowed="at least one", next_step="Give its predictions.")
    frame = _named(with_splits(twin, reveal_until=reveal_until, horizon_edges=horizon_edges), TWIN)
    scale = {ALL: one_scale(frame)} | {output: part["scale"].iloc[0] for output, part in frame.groupby("output")}
    outputs = outputs_of(frame)
    boot: dict[str, Any] = {"random_seed": random_seed, "probability": probability, "resamples": resamples}
    rows, counts = [], []
    for name, theirs in rivals.items():
        both, count = _paired(frame, _named(theirs, name), name)
        counts.append({"rival": name} | count)
        passed = ((both["verdict"] == PASS) & (both["verdict_rival"] == PASS)).to_numpy()
        for kind, kept in ((PASS, both[passed]), (ALL, both)):
            if len(kept):
                rows += [{"rival": name, "rows": kind} | row for row in _differences(kept, outputs, scale, boot)]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *VALUES])
    return ForecasterComparison(table, pd.DataFrame(counts), _headline(table, probability))


def _named(frame, name):
    """Scores of each row beside the name of its lab, on which forecasters are matched."""
    found = frame.reset_index(drop=True).assign(**lab_scores(frame))
    for column in ("patient", "lab_id", "output"):
        found[column] = found[column].fillna("").astype(str)
    found["moment"] = found["time"].astype(float).round(DECIMALS)
    again = found.duplicated([*LAB[:3], "moment"])
    if again.any():
        row = found[again].iloc[0]
        raise RecordError(
            "a lab stands twice",
            subject=f"patient {row['patient']}",
            place=f"predictions of {name}, {row['output']} at time {row['time']:g}",
            allowed="one forecast of each lab",
            next_step="Read the file with `read_predictions`, which lists such rows.",
        )
    return found


def _paired(twin, rival, name):
    """Rows of labs that both have forecast, the rival's columns with `_rival`; and the counts."""
    kept = ["observed", "limit_flag", "scale", "n_seen", "verdict", *DIFFERENCES]
    keys = [*LAB[:3], "moment"]
    joined = twin.merge(rival[[*keys, *kept]], on=keys, how="outer", suffixes=("", "_rival"), indicator=True)
    both = joined[joined["_merge"] == "both"].reset_index(drop=True)
    if both.empty:
        raise RecordError(
            "no lab in common with the twin",
            subject=f"rival {name}",
            place=f"{len(rival)} rows",
            allowed="labs with the same patient, lab_id, output and time",
            next_step="Make both files from the same record.",
        )
    _same_labs(both, name)
    both = both[both["crps"].notna() & both["crps_rival"].notna()]
    counts = {
        "labs_of_both": int((joined["_merge"] == "both").sum()),
        "only_twin": int((joined["_merge"] == "left_only").sum()),
        "only_rival": int((joined["_merge"] == "right_only").sum()),
        "withheld_by_twin": int((twin["verdict"] != PASS).sum()),
        "withheld_by_rival": int((rival["verdict"] != PASS).sum()),
        "scored": len(both),
        "passed_by_both": int(((both["verdict"] == PASS) & (both["verdict_rival"] == PASS)).sum()),
        "other_labs_learnt": int((both["n_seen"] != both["n_seen_rival"]).sum()),
    }
    return both.reset_index(drop=True), counts


def _same_labs(both, name):
    """Raise where the two speak of different values of one lab."""
    for column in ("observed", "limit_flag", "scale"):
        mine, theirs = both[column], both[f"{column}_rival"]
        other = ~np.isclose(mine, theirs, rtol=1e-6) if column == "observed" else (mine != theirs).to_numpy()
        if other.any():
            row = both[other].iloc[0]
            raise RecordError(
                f"twin and rival disagree on {column} of a lab ({int(other.sum())} labs)",
                subject=f"patient {row['patient']}",
                place=f"rival {name}, {row['output']} at time {row['time']:g}",
                value=str(row[f"{column}_rival"]),
                allowed=f"{row[column]} as for the twin",
                next_step="Make both files from the same record and on the same error scale.",
            )


def _differences(both, outputs, scale, boot):
    """Rows of the table for one rival and one choice of forecasts."""
    pairs = [(both[name].to_numpy(), both[f"{name}_rival"].to_numpy()) for name in DIFFERENCES]
    with np.errstate(invalid="ignore"):  # -inf of both: neither is better
        values = [sign * (b - a) for (a, b), sign in zip(pairs, DIFFERENCES.values())]
    values = np.column_stack([np.where(np.isneginf(a) & np.isneginf(b), 0.0, d) for d, (a, b) in zip(values, pairs)])
    levels = np.column_stack([side for pair in pairs for side in pair])
    patients = np.unique(both["patient"], return_inverse=True)[1]
    for output, split, groups, cells in cells_of(both, outputs):
        for over in ("labs", "patients"):
            found = clustered_means(values, patients, cells, over=over, **boot)
            means = clustered_means(levels, patients, cells, over=over, **(boot | {"resamples": 1})).value
            for cell, group in enumerate(groups):
                for k, score in enumerate(DIFFERENCES):
                    unit = scale[output] if score != "log_score" else ""
                    numbers = [means[cell, 2 * k], means[cell, 2 * k + 1]]
                    numbers += [part[cell, k] for part in (found.value, found.low, found.high)]
                    numbers = [np.nan] * 5 if unit == MIXED else [float(x) for x in numbers]
                    head = (output, split, group, score, unit, over)
                    counts = (int(found.labs[cell, k]), int(found.patients[cell, k]))
                    yield dict(zip((*COLUMNS[2:], *VALUES), (*head, *numbers, *counts)))


def headline_rows(table):
    """Rows of the table that the headline speaks of: CRPS over everything, of forecasts that passed if there are any.

    All outputs together where they share a scale, else each output by itself.
    """
    whole = table[(table["split"] == "everything") & (table["score"] == "crps")]
    whole = whole[whole["rows"] == (PASS if (whole["rows"] == PASS).any() else ALL)]
    mixed = (whole["scale"] == MIXED).any()
    return whole[(whole["output"] != ALL) if mixed else (whole["output"] == ALL)]


def best_rival(table, output) -> str:
    """The rival that comes closest to the twin in CRPS, or beats it most, each on the labs it shares with the twin.

    Where all rivals have forecast the same labs it is the one of lowest CRPS.
    """
    mine = table[(table["split"] == "everything") & (table["score"] == "crps") & (table["output"] == output)]
    mine = mine[(mine["rows"] == (PASS if (mine["rows"] == PASS).any() else ALL)) & (mine["mean_over"] == "labs")]
    return str(mine.set_index("rival")["difference"].idxmin())


def _headline(table, probability):
    """The twin against the best rival; one sentence, or one per output where their scales cannot be averaged."""
    rows = headline_rows(table)
    said = [_sentence(table, rows, output, probability) for output in rows["output"].unique()]
    passed = (rows["rows"] == PASS).all()
    return " ".join(said) + ("" if passed else " No forecast passed both checks: these are all forecasts.")


def _sentence(table, rows, output, probability):
    """CRPS of the twin against the best rival, and what becomes of it with the forecasts that were withheld."""
    over = {name: part.set_index("rival") for name, part in rows[rows["output"] == output].groupby("mean_over")}
    name = best_rival(table, output)
    best, man = over["labs"].loc[name], over["patients"].loc[name]
    every = table[(table["rival"] == name) & (table["rows"] == ALL) & (table["output"] == output)]
    every = every[(every["split"] == "everything") & (every["score"] == "crps") & (every["mean_over"] == "labs")].iloc[
        0
    ]
    withheld = ""
    if every["labs"] > best["labs"]:
        withheld = f" With withheld forecasts: {interval_text(*every[list(BOUNDS)])} over {every['labs']} labs."
    unit = " (ln)" if best["scale"] == "ln" else ""
    place = "" if output == ALL else f"{output}: "
    rank = f"the best of {len(over['labs'])} rivals" if len(over["labs"]) > 1 else "the only rival"
    verdict = "no clear difference is seen"
    if best["low"] > 0 or best["high"] < 0:
        verdict = f"the twin's is {'lower' if best['difference'] > 0 else 'higher'}"
    elif np.isnan(best["low"]):
        verdict = "one patient tells no interval"
    return (
        f"{place}CRPS{unit} of the twin {best['twin']:#.3g}, of {name}, {rank}, {best['rival_score']:#.3g}: {verdict}; "
        f"rival - twin {interval_text(*best[list(BOUNDS)])} over {best['labs']} labs of {best['patients']} patients, "
        f"{interval_text(*man[list(BOUNDS)])} as a mean over patients ({100 * probability:g} % intervals by patient)."
        f"{withheld}"
    )
