"""First values of a patient's covariates, and where they come from.

patients.csv gives a first value, which has no clock. Else it is what is said at the patient's first record: that is an
event with two clocks, and whoever asks what was known earlier must not be given what only became known later.
"""

from collections.abc import Iterable, Mapping
from typing import Any

# What is said of a covariate that acts on a parameter is an event; its `value` is "name = value".
COVARIATE = "covariate"  # it becomes another from this time on (events.csv)
IN_ROW = "covariate_in_row"  # so says a row of an event table, which need not be a change
AT_FIRST = "covariate_at_first"  # what the first row says is said of the patient without a time too (patients.csv)
SAID = (COVARIATE, IN_ROW)  # statements with a time


def covariate_in(text: str) -> tuple[str, float | str]:
    """Covariate and value that such an event holds."""
    name, _, said = (part.strip() for part in text.partition("="))
    try:
        return name, float(said)
    except ValueError:
        return name, said


def first_record(rows: Iterable, said: Iterable) -> float | None:
    """Time of a patient's first record: the first lab, dose or row of an event table that says a covariate.

    rows : labs and doses; said : statements with a time
    """
    return min((r.time for r in (*rows, *(e for e in said if e.event == IN_ROW))), default=None)


def said_at_first(rows: Iterable, events: Iterable) -> tuple[float | None, dict[str, float | str]]:
    """Time of the first record, and the covariates that events say there."""
    said = [e for e in events if e.event in SAID]
    first = first_record(rows, said)
    return first, dict(covariate_in(e.value) for e in said if e.time == first)


def from_beginning(record) -> dict[str, Any]:
    """First values of a record that do not just repeat what is said at its first record."""
    _, in_first = said_at_first((*record.labs, *record.doses), record.events)
    marked = {covariate_in(e.value)[0] for e in record.events if e.event == AT_FIRST}
    return {n: v for n, v in record.covariates.items() if n in marked or n not in in_first or in_first[n] != v}


def first_values(always: Mapping[str, Any], rows: Iterable, events: Iterable) -> tuple[dict, float | None, list[str]]:
    """First values, time of the first record, and the covariates that both its row and patients.csv say (`AT_FIRST`).

    always : what has no clock (`from_beginning`); rows, events : as known at some time
    """
    first, in_first = said_at_first(rows, events)
    return {**in_first, **always}, first, [n for n, value in in_first.items() if n in always and always[n] == value]
