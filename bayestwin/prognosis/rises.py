"""A marker that rises over its confirmed nadir: the one criterion, for complete courses and for courses with gaps.

    value - nadir >= absolute  and  value - nadir >= relative * nadir      (above `absolute`, where the rule is strict)
    or  nadir >= high_nadir    and  value - nadir >= high_absolute

The confirmed nadir is the lowest level reached or undercut by two consecutive assessments, the baseline included. A
rise counts when that many consecutive assessments of the marker meet the criterion; an assessment at which the marker
was not measured is none. Source: IMWG 2016, see docs/endpoints.md.
"""

from typing import NamedTuple

import numpy as np

DUST = 1e-9  # relative: 9.2 g/L is 5 g/L above 4.2 g/L, also for a computer that writes both in binary


class Rises(NamedTuple):
    """met (..., V) the criterion at each assessment; nadir (..., V) the confirmed nadir before it, itself at the
    first; found (...,) the first of the confirming assessments, -1 where there are none."""

    met: np.ndarray
    nadir: np.ndarray
    found: np.ndarray


def exceeds(rule, value, nadir) -> np.ndarray:
    """True where `value` lies above `nadir` by what the rule asks; False where either is not a number."""
    rise, dust = value - nadir, DUST * np.maximum(1.0, np.abs(value))
    absolute = rise > rule.absolute + dust if rule.strict else rise >= rule.absolute - dust
    relative = rise >= rule.relative * np.maximum(nadir, 0.0) - dust
    return (absolute & relative) | ((nadir >= rule.high_nadir) & (rise >= rule.high_absolute - dust))


def find_rises(values, rule, *, confirmations: int = 2) -> Rises:
    """Rises over the confirmed nadir in `values` (..., V), the baseline first.

    Not a number where nothing was measured; without a baseline the first value measured stands in its place.
    """
    v = np.asarray(values, dtype=float)
    met, nadirs = np.zeros(v.shape, dtype=bool), np.full(v.shape, np.nan)
    found, began = np.full(v.shape[:-1], -1), np.zeros(v.shape[:-1], dtype=int)
    nadir, last = np.full(v.shape[:-1], np.nan), np.full(v.shape[:-1], np.nan)
    run = np.zeros(v.shape[:-1], dtype=int)
    for i in range(v.shape[-1]):
        now, seen = v[..., i], ~np.isnan(v[..., i])
        nadirs[..., i] = np.where(np.isnan(nadir), now, nadir)
        met[..., i] = exceeds(rule, now, nadir)
        run = np.where(seen, np.where(met[..., i], run + 1, 0), run)
        began = np.where(seen & (run == 1), i, began)
        found = np.where((found < 0) & seen & (run == confirmations), began, found)
        lower = np.fmin(nadir, np.maximum(now, last))  # two in a row: their higher one
        nadir = np.where(seen, np.where(np.isnan(last), now, lower), nadir)
        last = np.where(seen, now, last)
    return Rises(met, nadirs, found)
