"""What the record says of disease, lines and refractoriness, and whether the patient is inside the model's purpose.

Only what the record holds is said; what it does not hold is named as not recorded, never taken for absent.
"""

from numbers import Real
from typing import NamedTuple

from bayestwin.dynamics import treatment_starts
from bayestwin.prognosis.response import disease_words, inside_levels
from bayestwin.records.record import said_last

MYELOMA = "myeloma"
REFRACTORY = "_refractory"
NOT_FOR = ("AL amyloidosis", "plasma cell leukaemia in first line", "patients under 18")
YES, NO = ("1", "1.0", "yes", "true"), ("0", "0.0", "no", "false")


class Context(NamedTuple):
    """diagnosis : in words; lines, refractory_words : as printed; refractory : to what; line : number or None

    problems : why the patient is outside the model's purpose; unknown : what could not be looked at
    """

    diagnosis: str
    line: int | None
    lines: str
    refractory: tuple[str, ...]
    refractory_words: str
    problems: tuple[str, ...]
    unknown: tuple[str, ...]


def of_myeloma(model) -> bool:
    """Whether the model's disease is myeloma, by the words its folder records a death of the disease with."""
    return MYELOMA in disease_words(model)


def context_of(model, record, now: float) -> Context:
    """The context of one record at the data cut."""
    seen, since = said_last(record, now)
    started = {s for s in treatment_starts(model, record) if s[0] <= now}
    line, lines = _lines(seen, since.get("prior_lines"), started)
    refractory, words = _refractory(seen)
    problems, unknown = _purpose(model, seen)
    diagnosis = "Multiple myeloma" if of_myeloma(model) else model.label
    return Context(diagnosis, line, lines, refractory, words, problems, unknown)


def _lines(seen, since: float | None, started) -> tuple[int | None, str]:
    """Line number and its words. Which treatments of the record make one line (bridging, say) is not recorded.

    since : when the number became what it is, where it was said again: it holds what was begun before that
    """
    said = _number(seen, "prior_lines")
    if said is None:
        return None, "line not stated"
    prior = int(said)
    lines = f"{prior} {'line' if prior == 1 else 'lines'}"
    if since is not None:
        later = len({start for start in started if start[0] >= since})
        return None, f"{lines} by day {since:g}" + (f" and {later} treatments since" if later else "")
    if len(started) <= 1:
        return prior + 1, f"line {prior + 1}"
    return None, f"{lines} before this record and {len(started)} treatments in it"


def _number(seen, name: str) -> float | None:
    """A recorded number; None where nothing is, or a word that a model which does not calculate with it took."""
    value = seen.get(name)
    return float(value) if isinstance(value, Real) else None


def _refractory(seen) -> tuple[tuple[str, ...], str]:
    said = {
        name.removesuffix(REFRACTORY): str(value).lower() for name, value in seen.items() if name.endswith(REFRACTORY)
    }
    label = lambda name: "anti-CD38" if name == "anti_cd38" else name.replace("_", " ")  # noqa: E731
    to = tuple(label(name) for name, value in said.items() if value in YES)
    if to:
        return to, "refractory to " + ", ".join(to)
    known = [label(name) for name, value in said.items() if value in NO]
    return (), f"not refractory to {', '.join(known)}" if known else "refractoriness not recorded"


def _purpose(model, seen) -> tuple[tuple[str, ...], tuple[str, ...]]:
    problems, unknown = [], []
    age = _number(seen, "age_years")
    if age is None:
        unknown.append("age")
    elif age < 18:
        problems.append("younger than 18 years")
    for name, levels in inside_levels(model).items():
        if name not in seen:
            unknown.append(name.replace("_", " "))
        elif str(seen[name]) not in levels:
            words = str(seen[name]).replace("_", " ")
            problems.append(f"{name} {words}: the model is for {', '.join(levels).replace('_', ' ')}")
    if not of_myeloma(model):
        return tuple(problems), tuple(unknown)
    diagnosis = str(seen.get("diagnosis", ""))
    leukaemia = str(seen.get("plasma_cell_leukaemia", "")).lower() in YES
    if not diagnosis:
        unknown.append("diagnosis")
    elif "amyloid" in diagnosis.lower():
        problems.append(f"the diagnosis is {diagnosis}")
    elif "leuk" in diagnosis.lower():
        leukaemia = True
    elif MYELOMA not in diagnosis.lower():
        problems.append(f"the diagnosis is {diagnosis}, not multiple myeloma")
    lines = _number(seen, "prior_lines")
    if leukaemia and lines is None:
        problems.append("plasma cell leukaemia, and the record does not say whether in first line")
    elif leukaemia and lines == 0:
        problems.append("plasma cell leukaemia in first line")
    return tuple(problems), tuple(unknown)
