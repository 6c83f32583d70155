"""Limits beyond which labs and their replicates are not told apart, so that both are censored alike.

A lab's lower limit is what it says: its own limit of quantification, or, censored, the limit it lies below. Where a
laboratory's measured labs say none, a limit chosen by the value of the lab would select on the outcome: all labs of
that laboratory are then put at one limit, the largest that its labs say (but for the twentieth that say the largest),
or where none says any the usual one of the model, if no value lies below that. A measured value under that limit counts
as below it, as a replicate does: nothing is guessed, some of what was measured is not looked at. Upper limits are said
by right-censored labs alone, and all labs of the laboratory stand at the least of them, but for a twentieth.

Source: Bergstrand and Karlsson (2009), AAPS J 11:371 (checks of data below a limit).
"""

from typing import NamedTuple

import numpy as np

SAID_BY = 0.95  # share of the limits said that the common one covers; a diluted sample must not set that of all


class Limits(NamedTuple):
    """lower, upper (N,) : of each lab, NaN for none; below, above (N,) : which labs lie beyond them"""

    lower: np.ndarray
    upper: np.ndarray
    below: np.ndarray
    above: np.ndarray


def limits_of(mine) -> Limits:
    """Limits of the labs of one output.

    mine : Replicates of one output
    """
    labs, value = mine.labs, mine.labs["observed"].to_numpy(float)
    usual = mine.model.observations[mine.model.observation_index[labs["output"].iloc[0]]].lower_limit
    flag = labs["limit_flag"].to_numpy()
    said = labs["limit"].to_numpy(float) if "limit" in labs else np.full(len(labs), np.nan)
    said = np.where(flag == "left", value, said)
    lower, upper = said.copy(), np.where(flag == "right", value, np.nan)
    laboratory = labs["laboratory"].to_numpy() if "laboratory" in labs else np.full(len(labs), "")
    for one in dict.fromkeys(laboratory):
        own = laboratory == one
        silent = own & np.isnan(said)
        if silent.any():
            common = _common_lower(said[own], value[own & (flag == "none")], usual)
            at = own if (silent & (flag == "none")).any() else silent
            lower[at] = np.fmax(lower[at], common)
        if (own & (flag == "right")).any():
            ends = upper[own & (flag == "right")]
            upper[own] = np.fmin(upper[own], np.quantile(ends, 1.0 - SAID_BY, method="inverted_cdf"))
    whole = flag != "interval"
    below = (flag == "left") | (whole & (value < lower))  # NaN: no limit, not below
    return Limits(lower, upper, below, (flag == "right") | (whole & (value > upper)))


def _common_lower(said, measured, usual) -> float:
    said = said[~np.isnan(said)]
    if len(said):
        return float(np.quantile(said, SAID_BY, method="inverted_cdf"))
    return float(usual) if usual is not None and not (measured < usual).any() else np.nan


def at_limits(mine, limits: Limits):
    """Observed (N,) and simulated (R, N) values, both no further than the limits, intervals drawn from the replicates
    with the same seed always; a failed solve stays NaN."""
    y, high, rng = mine.labs["observed"].to_numpy(float).copy(), upper_ends(mine.labs), np.random.default_rng(0)
    for n in np.flatnonzero(mine.labs["limit_flag"] == "interval"):
        pool = mine.simulated[(mine.simulated[:, n] > y[n]) & (mine.simulated[:, n] < high[n]), n]
        y[n] = rng.choice(pool) if len(pool) else 0.5 * (y[n] + high[n])

    def held(values):
        values = np.where(values < limits.lower, limits.lower, values)
        return np.where(values > limits.upper, limits.upper, values)

    return held(y), held(mine.simulated)


def upper_ends(labs):
    """Upper end of each lab that is an interval, else NaN."""
    ends = labs["observed_to"].to_numpy(float) if "observed_to" in labs else np.full(len(labs), np.nan)
    return np.where(labs["limit_flag"] == "interval", ends, np.nan)


def below_limit(mine, limits: Limits):
    """Which labs are under their limit, observed (N,) and simulated (R, N), the latter NaN where the solve failed;
    (None, None) without limits."""
    if np.isnan(limits.lower).all():
        return None, None
    return limits.below, np.where(np.isnan(mine.simulated), np.nan, mine.simulated < limits.lower)
