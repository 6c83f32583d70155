"""Small summaries of draws and of nested values: weighted quantiles, dots that are deaths, text replacement."""

import dataclasses

import numpy as np


def weighted_quantiles(values, levels, weights) -> list[float]:
    """Quantiles of weighted draws as the smallest value whose cumulative weight reaches the level (inf allowed)."""
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    if values.size == 0:
        return [float("nan")] * len(tuple(levels))
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order]) / weights.sum()
    picks = np.searchsorted(cumulative, np.asarray(levels) - 1e-12)
    return [float(values[order][min(pick, values.size - 1)]) for pick in picks]


def mark_deaths(dots, times, weights, count) -> list[bool]:
    """Flag `count` dots as deaths, each the nearest free dot to a quantile of the deaths' own times."""
    flags = [False] * len(dots)
    free = [k for k, dot in enumerate(dots) if np.isfinite(dot)]
    count = min(count, len(free))
    levels = [(2 * k + 1) / (2 * count) for k in range(count)] if count else []
    for target in weighted_quantiles(times, levels, weights) if levels else []:
        nearest = min(free, key=lambda k: (abs(dots[k] - target), k))
        flags[nearest] = True
        free.remove(nearest)
    return flags


def replace_texts(value, change):
    """The same value with `change` applied to every string inside (dataclasses, tuples, dicts); arrays kept."""
    if isinstance(value, str):
        return change(value)
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(
            value, **{f.name: replace_texts(getattr(value, f.name), change) for f in dataclasses.fields(value)}
        )
    if isinstance(value, tuple):
        return tuple(replace_texts(item, change) for item in value)
    if isinstance(value, dict):
        return {key: replace_texts(item, change) for key, item in value.items()}
    return value
