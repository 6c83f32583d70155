"""Patients of a cohort stacked into arrays: long histories by themselves where short ones would wait for them."""

import jax
import numpy as np

from bayestwin.individual import compile_record, padded_alike, used_sizes

OVERHEAD = 32  # an interval of a stack costs as much by itself as so many patients (measured: about 40)


def stack_cohort(model, cohort, *, by_length: bool = True):
    """Groups of stacked PatientData, one per number of response classes, and the patients in that order.

    by_length : long histories are stacked by themselves where short ones would wait for them (`apart`)
    """
    compiled = [(record, compile_record(model, record)) for record in cohort]
    groups, order = [], []
    for classes in sorted({data.classes.shape[0] for _, data in compiled}):
        alike = [(r, d) for r, d in compiled if d.classes.shape[0] == classes]
        lengths = np.array([used_sizes(d).intervals for _, d in alike])
        for places in apart(lengths) if by_length else [np.arange(len(alike))]:
            members = [alike[k] for k in places]
            padded = padded_alike(model, [r for r, _ in members], [d for _, d in members])
            groups.append(jax.tree.map(lambda *a: np.stack(a), *padded))
            order += [r for r, _ in members]
    return groups, order


def apart(lengths) -> list[np.ndarray]:
    """Places of histories that are stacked together, short ones first; in a stack all are as long as the longest.

    A further stack is a further program to compile, so one is made only where it halves the work: a stack of n
    histories of G intervals costs G (OVERHEAD + n), an interval's own overhead being that of so many patients
    (tests/benchmarks/long_histories.py).
    """
    rising = np.argsort(lengths, kind="stable")
    return [np.sort(rising[a:b]) for a, b in _cut(np.asarray(lengths)[rising], 0)]


def _cut(sizes, first: int) -> list[tuple[int, int]]:
    """(begin, end) of each stack of histories of rising sizes, counted from `first`."""
    if not len(sizes):
        return []
    n = np.arange(1, len(sizes) + 1)
    together = sizes[-1] * (OVERHEAD + n[-1])
    in_two = (sizes * (OVERHEAD + n) + sizes[-1] * (OVERHEAD + n[::-1] - 1))[:-1]
    if not len(in_two) or in_two.min() >= 0.5 * together:
        return [(first, first + len(sizes))]
    at = int(np.argmin(in_two)) + 1
    return _cut(sizes[:at], first) + _cut(sizes[at:], first + at)
