"""Surprises of many patients taken together: a laboratory, product or hospital that reads high or low; swapped samples.

Each lab had a predictive mean and SD before it was learnt. In a group of labs the shift is the mean of

    e = observed - mean        on the error scale, weighted by 1 / SD^2
    e = SD z(PIT)              of a censored lab, z the normal quantile: its PIT is drawn within what the limit leaves

and its interval comes from whole patients drawn with replacement; on the ln scale exp(shift) is the ratio by which the
group reads high. p is that of the t-test of the patients' own mean normal scores of PIT, adjusted over all groups that
were looked at (Holm). A twin learns from each lab: of a shift that was there from a patient's first lab on little is
left in later ones, so this finds changes, and groups that a patient comes to, not constants.

Two samples of one batch may have been swapped: for labs a and b of two patients,

    ln BF = ln p_a(y_b) + ln p_b(y_a) - ln p_a(y_a) - ln p_b(y_b)

with normal p on the error scale. A pair is named where it is above SWAP_ALARM and both labs were
surprising by themselves.

Source: Holm (1979), Scand J Stat 6:65; Kass and Raftery (1995), J Am Stat Assoc 90:773.
"""

from itertools import combinations

import numpy as np

from bayestwin.evaluation.predictions import UPPER
from bayestwin.evaluation.scores import expanded_tail, holm
from bayestwin.labs import TINY

SWAP_ALARM = np.log(100.0)  # ln Bayes factor
TAIL = 0.025  # a lab is surprising by itself beyond this PIT at either end
FEWEST = 5  # patients of a group that is tested
COLUMNS = ("patient", "lab_id", "output", "time", "laboratory", "product", "observed", "scale", "mean", "sd", "pit")
COUNTED = "counted"  # a further column: counted or graded, not measured
LIMIT_FLAG = "limit_flag"  # a further column: "none" or how a lab is censored; `observed` is then the limit


def surprise_rows(twin) -> list[dict]:
    """What each lab of a twin's record was expected to be before it was learnt (COLUMNS, alarm and so on).

    Of a lab that was corrected, the surprise of the value that stands; none where that was never forecast.
    """
    labs = {(lab.lab_id, lab.time): lab for lab in twin.record.labs}
    newest = {}
    for surprise in (s for info in twin.history for s in info.surprise):
        lab = labs.get((surprise.lab_id, surprise.time))
        said = (surprise.value, surprise.upper, surprise.censoring)
        if lab is not None and said == (lab.value, lab.upper, lab.censoring):
            newest[lab.lab_id, lab.time] = surprise
    return [
        {"patient": twin.key, "lab_id": s.lab_id, "output": s.output, "time": s.time}
        | {"laboratory": labs[place].laboratory, "product": labs[place].product, "observed": s.value}
        | {"scale": s.scale, "mean": s.mean, "sd": s.sd, "pit": s.pit, "alarm": s.alarm}
        | {"tenfold_power": s.tenfold_power}
        | {COUNTED: s.pit_range is not None, LIMIT_FLAG: s.censoring}
        | ({} if s.upper is None else {UPPER: s.upper})
        for place, s in newest.items()
    ]


def pooled_shifts(rows, *, by=("output",), random_seed: int, probability: float = 0.9):
    """Groups of labs that were higher or lower than expected.

    Parameters
    ----------
    rows : of `surprise_rows`, with whatever further columns `by` names (a hospital); by : columns that make a group;
        groups are always within one output

    Returns
    -------
    DataFrame       one row per group, smallest p first: the columns of `by`, shift, low, high (error scale), ratio
                    (exp(shift), ln outputs only), spread (SD of the normal scores; 1 if expected), p, p_adjusted (NaN
                    under FEWEST patients), labs, patients
    """
    import pandas as pd
    from scipy import stats

    names = list(dict.fromkeys(["output", *by]))
    columns = [*names, "shift", "low", "high", "ratio", "spread", "p", "p_adjusted", "labs", "patients"]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return pd.DataFrame(columns=columns)
    frame["z"] = stats.norm.ppf(np.clip(frame["pit"].to_numpy(float), 1e-9, 1 - 1e-9))
    frame["e"] = np.where(_beyond(frame), frame["sd"].to_numpy(float) * frame["z"], _error(frame))
    found = []
    for group, part in frame.groupby(names, sort=False, dropna=False):
        shift, low, high = _weighted_mean(part, np.random.default_rng(random_seed), probability)
        own = part.groupby("patient")["z"].mean()
        enough = len(own) >= FEWEST and own.std() > 0
        row = dict(zip(names, group)) | {"shift": shift, "low": low, "high": high}
        row |= {"ratio": np.exp(shift) if part["scale"].iloc[0] == "ln" else np.nan, "spread": part["z"].std()}
        row |= {"p": float(stats.ttest_1samp(own, 0.0).pvalue) if enough else np.nan}
        found.append(row | {"labs": len(part), "patients": len(own)})
    table = pd.DataFrame(found)
    table["p_adjusted"] = holm(table["p"].to_numpy(float))
    return table[columns].sort_values("p", kind="stable").reset_index(drop=True)


def _beyond(frame):
    """Which rows are censored, (N,)."""
    return (frame[LIMIT_FLAG] != "none").to_numpy() if LIMIT_FLAG in frame else np.zeros(len(frame), dtype=bool)


def _error(frame):
    """Observed minus expected on the error scale."""
    y = frame["observed"].to_numpy(float)
    return np.where(frame["scale"] == "ln", np.log(np.maximum(y, TINY)), y) - frame["mean"].to_numpy(float)


def _weighted_mean(part, rng, probability, resamples=2000):
    """Mean of e weighted by 1 / SD^2, and its interval over patients; NaN where there is one patient only."""
    sd = part["sd"].to_numpy(float)
    weight = np.where(sd > 0, 1.0, 0.0) / np.where(sd > 0, sd, 1.0) ** 2  # a count of which nothing but 0 was expected
    if not weight.any():
        return np.nan, np.nan, np.nan
    sums = np.stack([weight, weight * part["e"].to_numpy(float)], axis=1)
    member = np.unique(part["patient"], return_inverse=True)[1]
    own = np.stack([np.bincount(member, column) for column in sums.T], axis=1)  # (patients, 2)
    own = own[own[:, 0] > 0]  # whoever says nothing of the mean is no patient of its interval
    value, n = own[:, 1].sum() / own[:, 0].sum(), len(own)
    if n < 2:
        return float(value), np.nan, np.nan
    drawn = own[rng.integers(n, size=(resamples, n))].sum(axis=1)
    tail = expanded_tail((1 - probability) / 2, n)
    low, high = np.quantile(drawn[:, 1] / drawn[:, 0], [tail, 1 - tail])
    return float(value), float(low), float(high)


def swapped_samples(rows, *, batch: str = "batch"):
    """Pairs of measured labs of two patients, none beyond a limit, that fit better the other way round.

    Parameters
    ----------
    rows : of `surprise_rows`, with a column `batch` (name of a delivery, a day, a run: samples of one batch may have
        been swapped); outputs and laboratories are compared within themselves

    Returns
    -------
    DataFrame       output, batch, patient_a, lab_a, value_a, patient_b, lab_b, value_b, log_bayes_factor
    """
    import pandas as pd

    columns = ["output", "batch", "patient_a", "lab_a", "value_a", "patient_b", "lab_b", "value_b", "log_bayes_factor"]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return pd.DataFrame(columns=columns)
    if COUNTED in frame:
        frame = frame[~frame[COUNTED].astype(bool)]
    frame = frame[~_beyond(frame)]
    frame = frame[np.minimum(frame["pit"], 1.0 - frame["pit"]) < TAIL]
    found = []
    for (output, _, name), part in frame.groupby(["output", "laboratory", batch], sort=False, dropna=False):
        for a, b in combinations(part.to_dict("records"), 2):
            if a["patient"] != b["patient"]:
                factor = _log_p(a, b["observed"]) + _log_p(b, a["observed"])
                factor -= _log_p(a, a["observed"]) + _log_p(b, b["observed"])
                if factor > SWAP_ALARM:
                    sides = (a["patient"], a["lab_id"], a["observed"], b["patient"], b["lab_id"], b["observed"])
                    found.append((output, name, *sides, factor))
    return pd.DataFrame(found, columns=columns).sort_values("log_bayes_factor", ascending=False, ignore_index=True)


def _log_p(row, value):
    """ln of the normal predictive density on the error scale, up to the same constant for either value."""
    y = np.log(max(value, TINY)) if row["scale"] == "ln" else value
    return -0.5 * ((y - row["mean"]) / row["sd"]) ** 2 - np.log(row["sd"])
