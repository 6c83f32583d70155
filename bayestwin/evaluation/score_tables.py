"""Standing tables: how good forecasts were, for everything and split by what may spoil them.

Splits: output, treatment in force, horizon, number of labs learnt before. The horizon of a lab is its time minus the
newest time among the labs that were learnt before it, in the model's time unit. In a one-step replay those are the
patient's labs with an earlier `known_time`; in a file made with `--reveal-until T` the horizon is time - T.

Scores stand twice: for the forecasts that passed their numerical check (rows = PASS), and for all forecasts that have a
score, so that withholding the hard ones cannot flatter. CRPS and errors are on the error scale of an output; over
several outputs they are given only where all stand on ln, where a difference is a ratio whatever the unit.
"""

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.evaluation.predictions_file import PASS
from bayestwin.evaluation.scores import LEVELS, Uniformity, clustered_means, coverage, lab_scores, uniformity

LABS_LEARNT = ((0, 0, "0"), (1, 3, "1 to 3"), (4, 8, "4 to 8"), (9, 16, "9 to 16"), (17, np.inf, "17 and more"))
NOTHING_LEARNT, NOT_AHEAD, UNKNOWN = "nothing learnt", "not ahead of the newest", "unknown"
SPLITS = ("everything", "treatment", "horizon", "labs_learnt")
ALL, MIXED = "all", "mixed"
ON_SCALE = ("crps", "rmse", "bias", "absolute_error")
COVERAGE = tuple(f"coverage_{100 * level:.0f}" for level in LEVELS)
SCORES = ("crps", "rmse", "bias", "log_score", *COVERAGE, "pit_mean", "pit_uniform_p")
COLUMNS = ("rows", "output", "split", "group", "score", "scale", "value", "low", "high", "labs", "patients")
PATIENT, EARLIER = ["patient"], ["patient", "known_time"]


def with_splits(predictions, *, reveal_until: float | None = None, horizon_edges=None):
    """A copy of the predictions with `horizon` and one ordered category per split, columns `by_<split>`.

    Parameters
    ----------
    predictions : DataFrame       rows of predictions.csv, withheld ones too: what was learnt is read from them
    reveal_until : float          the T of `replay --reveal-until T`, where the file was made so
    horizon_edges : increasing positive numbers that divide horizons; default: quartiles of those above 0

    Raises
    ------
    RecordError                   a lab is not after `reveal_until`; edges that do not increase
    """
    import pandas as pd

    frame = predictions.reset_index(drop=True).copy()
    frame["horizon"] = _horizons(frame, reveal_until)
    frame["by_everything"] = pd.Categorical([ALL] * len(frame))
    treatment = frame["treatment"].fillna("").replace("", "none")
    frame["by_treatment"] = pd.Categorical(treatment, categories=list(treatment.unique()), ordered=True)
    frame["by_horizon"] = _horizon_groups(frame["horizon"], frame["n_seen"], horizon_edges)
    names = np.array([name for _, _, name in LABS_LEARNT])
    place = np.searchsorted([first for first, _, _ in LABS_LEARNT], frame["n_seen"], side="right") - 1
    frame["by_labs_learnt"] = pd.Categorical(names[place], categories=names, ordered=True)
    return frame


def _horizons(frame, reveal_until):
    """Time ahead of the newest lab learnt, (N,); NaN where the file holds none."""
    if reveal_until is not None:
        early = frame["time"] <= reveal_until
        if early.any():
            row = frame[early].iloc[0]
            raise RecordError(
                "a lab that was learnt is among those to predict",
                subject=f"patient {row['patient']}",
                place=f"{row['output']} at time {row['time']:g}",
                allowed=f"times after {reveal_until:g} only",
                next_step="Name the time that the file was made with, or leave --reveal-until out for a replay.",
            )
        return frame["time"] - reveal_until
    newest = frame.groupby(EARLIER)["time"].max().groupby(PATIENT).cummax().groupby(PATIENT).shift(1)
    return frame["time"] - frame[EARLIER].join(newest, on=EARLIER)["time"]


def learnt_elsewhere(predictions) -> int:
    """Labs before which more, or fewer, labs were learnt than the file holds: their horizon may be wrong."""
    known = predictions.groupby(EARLIER).size()
    before = known.groupby(PATIENT).cumsum() - known
    counted = predictions[EARLIER].join(before.rename("before"), on=EARLIER)["before"]
    return int((counted != predictions["n_seen"]).sum())


def _horizon_groups(horizon, n_seen, edges):
    import pandas as pd

    ahead = horizon[horizon > 0]
    if edges is None:
        cuts = np.unique(np.quantile(ahead, [0.25, 0.5, 0.75], method="inverted_cdf")) if len(ahead) else np.array([])
        cuts = cuts[cuts < ahead.max()] if len(ahead) else cuts
        ends = np.append(cuts, ahead.max() if len(ahead) else [])
    else:
        cuts = np.asarray(edges, dtype=float)
        ends = np.append(cuts, np.inf)
        if (np.diff(np.concatenate([[0.0], cuts])) <= 0).any() or not np.isfinite(cuts).all():
            raise RecordError(
                "these are no edges of horizons", value=list(cuts), allowed="positive numbers that increase"
            )
    starts = np.append(0.0, cuts)
    names = _interval_names(starts, ends)
    place = np.searchsorted(cuts, horizon, side="left")
    found = np.array([*names, ""], dtype=object)[np.where(horizon > 0, np.minimum(place, len(names)), -1)]
    found[(horizon <= 0).to_numpy()] = NOT_AHEAD
    found[horizon.isna().to_numpy()] = UNKNOWN
    found[(horizon.isna() & (n_seen == 0)).to_numpy()] = NOTHING_LEARNT
    order = [name for name in (NOTHING_LEARNT, NOT_AHEAD, *names, UNKNOWN) if name in set(found)]
    return pd.Categorical(found, categories=order, ordered=True)


def _interval_names(starts, ends) -> list[str]:
    """Names of intervals that follow each other, with as few digits, from 4 on, as tell them apart."""
    for digits in range(4, 18):
        said = [(f"{a:.{digits}g}", f"{b:.{digits}g}") for a, b in zip(starts, ends)]
        if all(a != b for a, b in said):
            break
    return [f"{a} to {b}" if np.isfinite(end) else f"over {a}" for (a, b), end in zip(said, ends)]


def one_scale(frame) -> str:
    """The scale that errors of all outputs share: "ln", "natural" for a single output, else "mixed"."""
    scales = set(frame["scale"])
    if scales == {"ln"}:
        return "ln"
    return "natural" if frame["output"].nunique() == 1 else MIXED


def cells_of(frame, outputs):
    """(output, split, names of the groups, cell of each row from 0, -1 for none) of every table there is."""
    for output in outputs:
        mine = np.ones(len(frame), dtype=bool) if output == ALL else (frame["output"] == output).to_numpy()
        for split in SPLITS:
            codes = np.where(mine, frame[f"by_{split}"].cat.codes, -1)
            present = np.unique(codes[codes >= 0])
            cells = np.where(codes >= 0, np.searchsorted(present, codes), -1)
            if not present.size:  # no forecast of this output
                continue
            yield output, split, [str(frame[f"by_{split}"].cat.categories[k]) for k in present], cells


def outputs_of(frame) -> tuple[str, ...]:
    """All outputs together, then each by its name where there are several."""
    names = list(frame["output"].unique())
    return (ALL, *names) if len(names) > 1 else (ALL,)


def score_table(
    predictions,
    *,
    random_seed: int,
    reveal_until: float | None = None,
    horizon_edges=None,
    probability: float = 0.9,
    resamples: int = 2000,
):
    """Every score, for everything and in each split, with intervals clustered by patient.

    Parameters
    ----------
    predictions : DataFrame       rows of predictions.csv (`read_predictions`, `predictions_frame`)
    reveal_until, horizon_edges : see `with_splits`

    Returns
    -------
    DataFrame       rows (PASS or all), output ("all" or a name), split, group, score, scale, value, low, high,
        labs and patients that the value rests on. Scores: crps, rmse and bias (mean - observed, uncensored labs),
        log_score, coverage_50, _80, _90, pit_mean, pit_uniform_p (see `scores.uniformity`; no interval)
    """
    import pandas as pd

    frame = with_splits(predictions, reveal_until=reveal_until, horizon_edges=horizon_edges)
    scale = {ALL: one_scale(frame)} | {name: part["scale"].iloc[0] for name, part in frame.groupby("output")}
    boot = {"random_seed": random_seed, "probability": probability, "resamples": resamples}
    passed = (frame["verdict"] == PASS).to_numpy()
    parts = [_rows(frame[passed], PASS, outputs_of(frame), scale, boot)] if passed.any() else []
    if passed.all():
        parts.append([row | {"rows": ALL} for row in parts[0]])
    else:
        parts.append(_rows(frame, ALL, outputs_of(frame), scale, boot))
    return pd.DataFrame([row for part in parts for row in part], columns=list(COLUMNS))


def _rows(frame, rows, outputs, scale, boot):
    """Rows of the table for one choice of forecasts."""
    scores = lab_scores(frame)
    scores = {
        "crps": scores["crps"],
        "rmse": scores["squared_error"],
        "bias": scores["error"],
        "log_score": scores["log_score"],
        **{name: scores[name] for name in COVERAGE},
        "pit_mean": scores["pit"],
    }
    values = np.column_stack(list(scores.values()))
    patients = np.unique(frame["patient"].astype(str), return_inverse=True)[1]
    shares, found = [k for k, name in enumerate(scores) if name in COVERAGE], []
    for output, split, groups, cells in cells_of(frame, outputs):
        means = clustered_means(values, patients, cells, shares=shares, **boot)
        for cell, group in enumerate(groups):
            head = {"rows": rows, "output": output, "split": split, "group": group}
            inside = cells == cell
            for k, name in enumerate(scores):
                row = [float(part[cell, k]) for part in (means.value, means.low, means.high)]
                row = [float(np.sqrt(x)) for x in row] if name == "rmse" else row
                if name in ON_SCALE and scale[output] == MIXED:
                    row = [np.nan] * 3
                found.append(head | _entry(name, row, means.labs[cell, k], means.patients[cell, k], scale[output]))
            pit = uniformity(scores["pit_mean"][inside], patients[inside], random_seed=boot["random_seed"])
            people = means.patients[cell, list(scores).index("pit_mean")]
            found.append(head | _entry("pit_uniform_p", (pit.p, np.nan, np.nan), pit.labs, people, ""))
    return found


def _entry(score, interval, labs, patients, scale):
    return {
        "score": score,
        "scale": scale if score in ON_SCALE else "",
        **dict(zip(("value", "low", "high"), interval)),
        "labs": int(labs),
        "patients": int(patients),
    }


def count_table(predictions):
    """How many forecasts there are, passed, were withheld and have no score, and how many labs are censored.

    Returns
    -------
    DataFrame       output ("all" or a name), patients, labs, passed, withheld, without_score, censored
    """
    import pandas as pd

    rows = []
    for output in outputs_of(predictions):
        mine = predictions if output == ALL else predictions[predictions["output"] == output]
        passed = mine["verdict"] == PASS
        rows.append(
            {"output": output, "patients": mine["patient"].nunique(), "labs": len(mine)}
            | {"passed": int(passed.sum()), "withheld": int((~passed).sum())}
            | {"without_score": int(mine["crps"].isna().sum()), "censored": int((mine["limit_flag"] != "none").sum())}
        )
    return pd.DataFrame(rows)


def uniformity_statement(found: Uniformity, pit) -> str:
    """What may be said of PITs (N,) in one sentence, at the level of 1 %."""
    if np.isnan(found.p):
        return f"PIT mean {found.mean:.2f}; whether PITs are uniform is not judged (one patient)"
    worth = f"{found.labs} labs, worth {found.effective:.0f} independent ones"
    if found.p > 0.01:
        return f"PIT mean {found.mean:.2f}; uniform is not contradicted (p = {found.p:.2f}; {worth})"
    seen, error = [], 2.6 / np.sqrt(found.effective)  # 99 % of a standard error
    if abs(found.mean - 0.5) > error * np.sqrt(1 / 12):
        seen.append(f"labs lie {'above' if found.mean > 0.5 else 'below'} what was forecast")
    middle = np.nanmean(coverage(pit, 0.5))
    if abs(middle - 0.5) > error * 0.5:
        narrow = "in the tails: intervals are too narrow"
        wide = "in the middle: intervals are too wide for the errors, or the labs were known beforehand"
        seen.append(f"labs lie too often {wide if middle > 0.5 else narrow}")
    p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    return f"PIT mean {found.mean:.2f}; not uniform ({p}; {worth}): {'; '.join(seen) or 'see the figure of PITs'}"
