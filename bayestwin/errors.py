"""Errors for the reader's problems: who, where, what was found, what is allowed, what to do next.

Every error the user can mend is one of these types. The parts are kept as attributes, so that a
job can list them in a table, and joined into one sentence for a person. Patients appear by study key only: one that
looks like a person's name, address or date of birth is left out of every part.
"""

import re

HIDDEN_KEY = "(key not shown)"
DATE_OF_BIRTH = re.compile(r"(19|20)\d\d[-./]?[01]\d[-./]?[0-3]\d|[0-3]?\d[-./][01]?\d[-./](19|20)?\d\d")
NAME_LIKE = re.compile(r"[^\W\d_]{2,}[\s,]+[^\W\d_]{2,}")


def looks_identifying(key: str) -> bool:
    """True where a study key looks like an address, a name or a date of birth."""
    return "@" in key or bool(NAME_LIKE.search(key)) or bool(DATE_OF_BIRTH.search(key))


class BayestwinError(Exception):
    """A problem a user can mend.

    Parameters
    ----------
    problem : str      what was found
    subject : str      patient, model or file concerned; of "patient KEY" a key that looks like a person's is hidden in
                       all parts
    place : str        file and row, parameter, or stage
    value : object     the offending value as given
    allowed : str      what would have been accepted
    next_step : str    what to do
    """

    def __init__(self, problem, *, subject="", place="", value=None, allowed="", next_step=""):
        kind, _, key = subject.partition(" ")
        if kind == "patient" and looks_identifying(key):
            given = (problem, subject, place, value, allowed, next_step)
            problem, subject, place, value, allowed, next_step = (
                part.replace(key, HIDDEN_KEY) if isinstance(part, str) else part for part in given
            )
        self.problem, self.subject, self.place = problem, subject, place
        self.value, self.allowed, self.next_step = value, allowed, next_step
        where = ", ".join(part for part in (subject, place) if part)
        parts = [f"{where}: {problem}" if where else problem]
        if value is not None:
            parts[0] += f" (found {value!r})"
        if allowed:
            parts[0] += f", expected {allowed}"
        message = parts[0].rstrip(".") + "."
        super().__init__(f"{message} {next_step}".strip())


class ArgumentError(BayestwinError, TypeError):
    """A function was given something else than it takes."""


def refuse_other(value, argument: str, allowed: str, *has: str, next_step: str = "") -> None:
    """ArgumentError unless `value` has these attributes; what it is is told, not what it holds.

    argument : function and argument, as in "start_twin, record"
    """
    if isinstance(value, type) or not all(hasattr(value, name) for name in has):
        what = "None" if value is None else f"a {type(value).__name__}"
        raise ArgumentError(f"this is {what}", place=argument, allowed=allowed, next_step=next_step)


def refuse_seed(value, function: str) -> None:
    """ArgumentError unless `value` is a whole number of 0 or more."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
        raise ArgumentError(
            "this is no seed", place=f"{function}, random_seed", value=value, allowed="a whole number, 0 or more"
        )


def refuse_no_path(value, function: str, allowed: str) -> None:
    """ArgumentError unless `value` is a path."""
    if not isinstance(value, str):
        refuse_other(value, function, allowed, "__fspath__")


class RecordError(BayestwinError):
    """A patient's record cannot be used as it is."""


class ModelError(BayestwinError):
    """A model, a prior or a treatment is missing or contradicts itself."""


class FitError(BayestwinError):
    """A population fit or a twin's update could not be computed."""


class StoreError(BayestwinError):
    """A saved object cannot be read or does not belong here."""


class StoreOptionError(StoreError):
    """What was asked of a store contradicts the store, or names none: a mistake in the command, not in the store."""


class FitOptionError(FitError):
    """Fits that do not go together were named: a mistake in the command, not in a fit."""
