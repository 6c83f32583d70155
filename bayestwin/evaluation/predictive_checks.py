"""Do the replicates of a fitted population look like the cohort? Visual predictive checks and NPDE.

VPC. Labs of one output are put into bins of time with about equal numbers; in each bin stand percentiles of the
observed values, and of each replicate's values, whose spread over replicates makes a band. Prediction-corrected, every
value of a bin is multiplied by the bin's median PRED over its own PRED (on the ln scale that is a shift), so that
doses and covariates that differ do not widen the bands. A censored value stands at its limit, and so does a simulated
value beyond that lab's limit (see lab_limits); beside it the share of labs under the limit is compared. A value known
to lie between two limits is drawn from that lab's replicates between them, always with the same seed. Of an output in
categories the lines are the share of each category instead of percentiles. What is counted or graded is neither
prediction-corrected (a category times a factor is none) nor given NPDE (uncorrelated categories are none).

NPDE. For each patient's labs of one output, y and one half of its replicates are made uncorrelated with mean and
Cholesky factor of the other half, on the error scale, so that y is treated as the replicates are that it is ranked
among; pd is the share of these below y, npde its normal score. Under the model
they are independent standard normal. A lab beyond a limit first gets a value drawn from the replicates there; so does
every value of a replicate beyond that limit, else labs of one patient would hang together less than theirs do.

Sources: Bergstrand, Hooker, Wallin and Karlsson (2011), AAPS J 13:143 (pcVPC); Brendel et al. (2006), Pharm Res
23:2036; Comets, Brendel and Mentre (2008), Comput Methods Programs Biomed 90:154 (NPDE, its tests); Nguyen et al.
(2012), J Pharmacokinet Pharmacodyn 39:499 (censored data).
"""

from dataclasses import replace

import numpy as np

from bayestwin.errors import FitError
from bayestwin.evaluation.lab_limits import Limits, at_limits, below_limit, limits_of, upper_ends
from bayestwin.labs import TINY

PERCENTILES = (10.0, 50.0, 90.0)
FEWEST = 5  # labs in a bin
PER_LAB = 20  # replicates for each lab of a patient


def vpc(
    found,
    output: str,
    *,
    prediction_corrected: bool = False,
    percentiles=PERCENTILES,
    probability: float = 0.9,
    bins: int = 8,
    time: str = "time",
):
    """Table behind a visual predictive check of one output.

    Parameters
    ----------
    found : Replicates
    percentiles : of the values in a bin; probability : of the bands over replicates
    bins : int      at most so many; times that many labs share are a bin of their own
    time : "time" or "since_dose" (the last dose that the lab sees, additional doses among them)

    Returns
    -------
    DataFrame       one row per bin and line: bin, from_time, to_time, middle (median time), labs, line ("10", "50",
                    "90" and, where the output has limits, "below limit", a share; "share of 0" ... of categories),
                    observed, low, median, high;
                    attributes left_out: labs without a PRED above 0 (before the first dose), which prediction
                    correction cannot divide by; no_dose: those without a dose before, of which "since_dose" knows
                    no time

    Raises
    ------
    FitError        no lab of this output; no PRED above 0 to correct by; prediction correction of what is counted
    """
    import pandas as pd

    mine = found.of(output)
    observation = found.model.observations[found.model.observation_index[output]]
    categories = (observation.distribution.values or ()) if observation.discrete else ()
    if observation.discrete and prediction_corrected:
        raise _only_measured(output, "prediction-corrected", "Leave prediction_corrected out.")
    if prediction_corrected:
        mine = _with_a_prediction(mine)
    at, limits = mine.labs[time].to_numpy(float), limits_of(mine)
    y, simulated = at_limits(mine, limits)
    if prediction_corrected:
        y, simulated = _corrected(mine, at, y, simulated, bins)
    below, below_simulated = below_limit(mine, limits)
    rows = []
    for number, members in enumerate(bins_of(at, bins)):
        place = {"bin": number, "from_time": at[members].min(), "to_time": at[members].max()}
        place |= {"middle": float(np.median(at[members])), "labs": len(members)}
        for value in categories:
            shares = _share(np.where(np.isnan(simulated), np.nan, simulated == value)[:, members])
            line = {"line": f"share of {value}", "observed": (y[members] == value).mean()}
            rows.append(place | line | _band(shares, probability))
        for q in () if categories else percentiles:
            lines = np.nanpercentile(simulated[:, members], q, axis=1)
            rows.append(
                place | {"line": f"{q:g}", "observed": np.percentile(y[members], q)} | _band(lines, probability)
            )
        if below is not None:
            shares = _share(below_simulated[:, members])
            rows.append(place | {"line": "below limit", "observed": below[members].mean()} | _band(shares, probability))
    table = pd.DataFrame(rows)
    table.attrs["left_out"] = int((found.labs["output"] == output).sum()) - len(mine.labs)
    table.attrs["no_dose"] = int(np.isnan(at).sum())
    return table


def _only_measured(output: str, what: str, next_step: str) -> FitError:
    return FitError(
        f"what is counted or graded cannot be {what}",
        subject=f"output {output}",
        allowed="an output that is measured, with an error model",
        next_step=next_step,
    )


def bins_of(at, count: int) -> list[np.ndarray]:
    """Members of each bin: about equal numbers, equal times never parted, at least FEWEST where there are as many."""
    known = np.flatnonzero(~np.isnan(at))
    times, sizes = np.unique(at[known], return_counts=True)
    wanted = max(FEWEST, int(np.ceil(len(known) / count)))
    edges, inside = [], 0
    for k, size in enumerate(sizes):
        inside += size
        if inside >= wanted and sizes[k + 1 :].sum() >= FEWEST:
            edges.append(times[k])
            inside = 0
    place = np.searchsorted(edges, at[known], side="left")
    return [known[place == k] for k in range(len(edges) + 1)]


def _share(said):
    """Share of the labs (R, N) of which it is true, per replicate, without those that could not be solved; NaN where
    none could."""
    solved = ~np.isnan(said)
    with np.errstate(invalid="ignore"):
        return np.nansum(said, axis=1) / solved.sum(axis=1)


def _band(values, probability):
    """Median and band over replicates."""
    low, high = 50 * (1 - probability), 50 * (1 + probability)
    return dict(zip(("low", "median", "high"), np.nanpercentile(values, [low, 50, high])))


def _with_a_prediction(mine):
    """The labs whose PRED is above 0, by which prediction correction divides."""
    kept = (mine.labs["pred"] > 0).to_numpy()
    if not kept.any():
        raise FitError(
            "a prediction-corrected check divides by PRED, and no lab has one above 0",
            subject=f"output {mine.labs['output'].iloc[0]}",
            value=float(mine.labs["pred"].max()),
            allowed="predictions above 0",
            next_step="Leave prediction_corrected out.",
        )
    return replace(mine, labs=mine.labs[kept].reset_index(drop=True), simulated=mine.simulated[:, kept])


def _corrected(mine, at, y, simulated, bins):
    """Values times the median PRED of the bin over their own PRED."""
    pred = mine.labs["pred"].to_numpy(float)
    factor = np.ones(len(pred))
    for members in bins_of(at, bins):
        factor[members] = np.median(pred[members]) / pred[members]
    return y * factor, simulated * factor


def npde(found, output: str, *, random_seed: int):
    """Normalised prediction distribution errors of one output.

    Returns
    -------
    DataFrame       one row per lab: patient, lab_id, time, pred, limit_flag, pd, npde

    Raises
    ------
    FitError        too few replicates for a patient's number of labs; an output that is counted or graded
    """
    import pandas as pd
    from scipy.special import ndtri

    if found.model.observations[found.model.observation_index[output]].discrete:
        raise _only_measured(output, "given NPDE", "Look at its VPC, and at the PIT of a replay.")

    mine, rng, rows = found.of(output), np.random.default_rng(random_seed), []
    log_scale, limits = mine.labs["scale"].iloc[0] == "ln", limits_of(mine)
    for key, part in mine.labs.groupby("patient", sort=False):
        place = part.index.to_numpy()
        simulated = mine.simulated[:, place]
        simulated = simulated[np.isfinite(simulated).all(axis=1)]
        if len(simulated) < replicates_needed(len(place)):
            raise FitError(
                "too few replicates to make so many labs uncorrelated",
                subject=f"patient {key}",
                value=f"{len(simulated)} replicates, {len(place)} labs",
                allowed=f"at least {replicates_needed(len(place))}",
                next_step="Ask for more replicates (count=).",
            )
        y, to, own = part["observed"].to_numpy(float), upper_ends(part), Limits(*(a[place] for a in limits))
        if log_scale:
            y, simulated = np.log(np.maximum(y, TINY)), np.log(np.maximum(simulated, TINY))
            to, own = np.log(to), own._replace(lower=np.log(own.lower), upper=np.log(own.upper))
        y, simulated = _imputed(y, to, simulated, own, rng)
        own, others = _uncorrelated(y, simulated[1::2], simulated[::2])
        smallest = 1.0 / (2.0 * len(others))
        pd_ = np.clip((others < own).mean(axis=0), smallest, 1.0 - smallest)
        kept = part[["patient", "lab_id", "time", "pred", "limit_flag"]]
        rows.append(kept.assign(pd=pd_, npde=ndtri(pd_)))
    return pd.concat(rows, ignore_index=True)


def _imputed(y, to, simulated, limits, rng):
    """(y, simulated) with every value beyond a limit or between two, of y and of the replicates, drawn anew from the
    replicates there, each lab by itself. to : upper end of a lab that is an interval, else NaN"""
    found, replicates = y.copy(), simulated.copy()
    for n in range(len(y)):
        between, below, above = (y[n], to[n]), (-np.inf, limits.lower[n]), (limits.upper[n], np.inf)
        kinds = ((between, True),) if np.isfinite(to[n]) else ((below, limits.below[n]), (above, limits.above[n]))
        for (low, high), lies_there in kinds:
            beyond = (simulated[:, n] > low) & (simulated[:, n] < high)  # NaN: no limit
            pool = np.sort(simulated[beyond, n])
            if len(pool):
                replicates[beyond, n] = rng.choice(pool, len(pool))
            if lies_there:
                edge = 0.5 * (low + high) if np.isfinite(low + high) else low if np.isfinite(low) else high
                found[n] = rng.choice(pool) if len(pool) else edge
    return found, replicates


def _uncorrelated(y, simulated, others):
    """(y, simulated) less the mean of the others and times the inverse Cholesky factor of their covariance."""
    mean = others.mean(axis=0)
    covariance = np.atleast_2d(np.cov(others, rowvar=False))
    lower = np.linalg.cholesky(covariance + 1e-12 * np.trace(covariance) / len(mean) * np.eye(len(mean)))
    return np.linalg.solve(lower, y - mean), np.linalg.solve(lower, (simulated - mean).T).T


def replicates_needed(labs: int) -> int:
    """How many replicates make so many labs of one patient uncorrelated, so that what is left is their own spread."""
    return max(100, PER_LAB * (1 + labs))


def npde_tests(table) -> dict[str, float]:
    """Are npde standard normal? NaN under FEWEST labs.

    mean, variance, and p-values: Wilcoxon (mean 0), chi-square (variance 1), Shapiro-Wilk (shape), and `p`, the least
    of the three times three. All labs count as independent: those of one patient are made so, and patients are where
    the population is well known. A cohort that the population was not fitted on shares the doubt about it: then wrong
    alarms are more than p says.
    """
    from scipy import stats

    z = table["npde"].to_numpy(float)
    n = len(z)
    variance = float(z.var(ddof=1)) if n > 1 else float("nan")
    if n < FEWEST:
        nothing = dict.fromkeys(("mean", "variance", "p_mean", "p_variance", "p_shape", "p"), float("nan"))
        return {"labs": n} | nothing
    tail = stats.chi2.cdf((n - 1) * variance, n - 1)
    found = {
        "labs": n,
        "mean": float(z.mean()),
        "variance": variance,
        "p_mean": float(stats.wilcoxon(z).pvalue),
        "p_variance": float(2 * min(tail, 1 - tail)),
        "p_shape": float(stats.shapiro(z).pvalue),
    }
    return found | {"p": min(1.0, 3 * min(found["p_mean"], found["p_variance"], found["p_shape"]))}
