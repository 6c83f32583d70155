"""Scores of predictions: coverage, CRPS, log score, with intervals that respect patients.

Labs of one patient go wrong together, so whole patients are drawn with replacement (clustered bootstrap). A lab is
covered by the central p interval where its PIT lies in [(1 - p)/2, (1 + p)/2]; the PIT of a censored lab is drawn
uniformly in its interval, so that a calibrated forecast covers censored labs as often as others.

Source: Gneiting and Raftery (2007), JASA 102:359; Davison and Hinkley (1997), section 3.8.
"""

import numpy as np

LEVELS = (0.5, 0.8, 0.9)


def coverage(pit, level: float) -> np.ndarray:
    """1 where the central interval of probability `level` holds the lab, else 0, (N,)."""
    pit = np.asarray(pit, dtype=float)
    return (np.abs(pit - 0.5) <= 0.5 * level).astype(float)


def clustered_interval(values, patients, *, random_seed: int, probability: float = 0.9, resamples: int = 2000):
    """Mean of `values` (N,) and its interval when patients are drawn with replacement.

    Returns
    -------
    mean, low, high      low and high are NaN where fewer than two patients are at hand
    """
    values, patients = np.asarray(values, dtype=float), np.asarray(patients)
    names, member = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        return float(values.mean()) if len(values) else np.nan, np.nan, np.nan
    total, count = np.bincount(member, values), np.bincount(member)
    picked = np.random.default_rng(random_seed).integers(len(names), size=(resamples, len(names)))
    means = total[picked].sum(axis=1) / count[picked].sum(axis=1)
    low, high = np.quantile(means, [(1 - probability) / 2, (1 + probability) / 2])
    return float(values.mean()), float(low), float(high)


def score_predictions(predictions, *, random_seed: int, levels=LEVELS, probability: float = 0.9, resamples: int = 2000):
    """Coverage, CRPS and log score of each output, with clustered intervals.

    Parameters
    ----------
    predictions : DataFrame     rows of predictions.csv (formats.md)
    levels : probabilities of the central intervals

    Returns
    -------
    DataFrame                   output, score, value, low, high, labs, patients; CRPS on the observation's error scale
    """
    import pandas as pd

    rows = []
    for output, mine in predictions.groupby("output", sort=False):
        scores = {f"coverage_{100 * level:.0f}": coverage(mine["pit"], level) for level in levels}
        scores |= {"crps": mine["crps"].to_numpy(), "log_score": mine["log_score"].to_numpy()}
        for name, values in scores.items():
            value, low, high = clustered_interval(
                values,
                mine["patient"].to_numpy(),
                random_seed=random_seed,
                probability=probability,
                resamples=resamples,
            )
            rows.append(
                {"output": output, "score": name, "value": value, "low": low, "high": high}
                | {"labs": len(mine), "patients": mine["patient"].nunique()}
            )
    return pd.DataFrame(rows, columns=["output", "score", "value", "low", "high", "labs", "patients"])
