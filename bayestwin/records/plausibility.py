"""Is this value possible? Unit, sign and plausible range of one measured value; what may have gone wrong.

A value outside the plausible range is refused. Where it would be plausible in a unit laboratories also use, or
with the decimal point moved by one place, the refusal says so; the value is never changed.

Of a value between two limits a lower end at or under the plausible range says nothing: "0 to 5" is "<5".
"""

from math import log10, nan

from bayestwin.errors import RecordError
from bayestwin.labs import LabSpec
from bayestwin.records.refusal import RowRefused
from bayestwin.units import MOLAR_MASS, compatible, convert

# Units that laboratories confuse, to look for a slip.
REPORTED_IN = (
    "g/L",
    "g/dL",
    "mg/dL",
    "mg/L",
    "mg/mL",
    "ug/mL",
    "ug/L",
    "ng/mL",
    "mmol/L",
    "umol/L",
    "nmol/L",
    "10*9/L",
    "10*6/L",
    "cells/uL",
    "copies/ug",
    "copies/ng",
    "copies/mL",
    "U/L",
    "IU/L",
    "IU/mL",
    "%",
    "1",
)


def measured(
    spec: LabSpec,
    raw: float,
    unit: str,
    *,
    censoring: str = "none",
    lloq: float | None = None,
    upper: float | None = None,
    column: str = "value",
    unit_column: str = "unit",
    upper_column: str = "value_to",
    may_be_open: bool = False,
) -> dict:
    """Value, censoring and limit of a `Lab` in the model's unit.

    Parameters
    ----------
    raw, lloq : float   as reported, in `unit`; a value below `lloq` counts as left-censored at `lloq`
    censoring : str     "none", "left" or "right"; `raw` is then the limit
    upper : float       the value is known to lie between `raw` and this; censoring comes back as "interval", or as
        "left" or "right" where one end says nothing
    column, unit_column, upper_column : str   named in a refusal
    may_be_open : bool  an upper end at or beyond the plausible range says nothing, else it is refused as implausible

    Raises
    ------
    RowRefused          unit missing, unknown or of another kind; value impossible or implausible; no interval
    """
    if spec.whole:
        return _counted(spec, raw, unit, censoring, lloq, upper, (column, unit_column, upper_column))
    mass = next((m for name, m in MOLAR_MASS.items() if name in spec.name.lower()), None)
    if not unit and spec.unit_required:
        raise RowRefused(
            f"{spec.name} has no unit, and a factor of ten is at stake",
            column=unit_column,
            allowed=f"{spec.unit} or a unit that converts to it",
            next_step="Say the unit in that row.",
        )
    unit = _of_enzyme(unit, spec.unit) or spec.unit
    _check_share(spec, unit, unit_column)
    try:
        value = convert(raw, unit, spec.unit, molar_mass=mass)
        limit = convert(lloq, unit, spec.unit, molar_mass=mass) if lloq else None
        highest = convert(upper, unit, spec.unit, molar_mass=mass) if upper is not None else None
    except RecordError as problem:
        raise RowRefused(
            problem.problem,
            column=unit_column,
            value=unit,
            allowed=f"{spec.unit} or a unit that converts to it" if spec.unit else "an empty cell",
            next_step=problem.next_step,
        ) from problem
    if limit is not None and limit < 0:
        raise RowRefused(
            "a limit of quantification cannot be negative",
            column="lloq",
            value=lloq,
            allowed="more than 0",
            next_step="Correct the limit.",
        )
    if highest is not None:
        is_open = may_be_open and highest >= spec.plausible[1]
        return _between(spec, raw, upper, unit, value, highest, (column, upper_column), mass, is_open)
    if (
        censoring == "none"
        and limit is not None
        and (0 if spec.above(censored=False) >= 0 else -limit) <= value < limit
    ):
        censoring, value, raw, column = "left", limit, lloq or 0.0, "lloq"
    _check(spec, raw, unit, value, censoring, column, mass)
    return {"value": value, "censoring": censoring, "limit": limit if censoring == "none" else value}


def _of_enzyme(unit: str, wanted: str) -> str:
    """The unit, IU as U where the model counts enzyme units: of an enzyme, not of a hormone, the two are one."""
    as_enzyme = unit.replace("IU", "U")
    return as_enzyme if as_enzyme != unit and wanted and compatible(as_enzyme, wanted) else unit


def _check_share(spec: LabSpec, unit: str, column: str) -> None:
    """Refuse per cent of a ratio or score, which is no share: its plausible range goes beyond 0 to 1."""
    if spec.unit in ("", "1") and "%" in unit and not 0.0 <= spec.plausible[0] <= spec.plausible[1] <= 1.0:
        raise RowRefused(
            f"{spec.name} is a number and no share, so it has no per cent",
            column=column,
            value=unit,
            allowed="an empty cell",
            next_step="Leave the unit empty, and check that this is the right output.",
        )


def _said(what: str, raw: float, unit: str) -> str:
    return f"={what} {raw:g} {unit if unit != '1' else ''}".rstrip()


def _counted(spec: LabSpec, raw: float, unit: str, censoring: str, lloq, upper, columns) -> dict:
    """Value, censoring and limit of what is counted or graded: one of its whole numbers, never beyond a limit."""
    column, unit_column, upper_column = columns
    said = spec.possible()
    if unit not in ("", "1", spec.unit):
        raise RowRefused(
            f"{spec.name} is counted or graded and has no other unit",
            column=unit_column,
            value=unit,
            allowed=spec.unit or "an empty cell",
            next_step="Leave the unit empty, and check that this is the right output.",
        )
    if censoring != "none" or lloq or upper is not None:
        raise RowRefused(
            f"{spec.name} is counted or graded and does not lie beyond or between limits",
            column=upper_column if upper is not None else column if censoring != "none" else "lloq",
            value=f"{upper if upper is not None else raw if censoring != 'none' else lloq:g}",
            allowed=said,
            next_step="Give what was counted or found; where nothing was found among what was looked at, that is 0. "
            "Leave the row out where it is not known.",
        )
    if not spec.is_possible(raw):
        whole = raw == int(raw)
        raise RowRefused(
            f"{spec.name} = {raw:g} is {'not one of its values' if whole else 'no whole number'}",
            column=column,
            value=f"{raw:g}",
            allowed=said,
            next_step="Correct the value, or the output of that row; a rate or a percentage is no count.",
        )
    return {"value": float(raw), "censoring": "none", "limit": None}


def _between(spec: LabSpec, raw, raw_upper, unit: str, value: float, upper: float, columns, mass, open_above) -> dict:
    """Value, censoring and limit of a value between two limits, each of which is checked unless it says nothing."""
    if not value < upper:
        raise RowRefused(
            f"{spec.name} = {raw:g} to {raw_upper:g} {unit}".rstrip() + " is no interval",
            column=columns[1],
            value=f"{raw_upper:g}",
            allowed=f"more than {raw:g}",
            next_step="Give the lower end and the higher one; a single number is a value, not an interval.",
        )
    low, high = spec.plausible
    open_below = value <= max(low, spec.above(censored=True))
    if open_below and open_above:
        raise RowRefused(
            f"{spec.name} = {raw:g} to {raw_upper:g} {unit}".rstrip() + " says nothing",
            column=columns[1],
            value=f"{raw_upper:g}",
            allowed=f"an end between {low:g} and {high:g} {spec.unit}".rstrip(),
            next_step="Leave the row out.",
        )
    ends = (raw, value, columns[0]), (raw_upper, upper, columns[1])
    for (given, end, column), is_open, censoring in zip(ends, (open_below, open_above), ("right", "left")):
        if not is_open:
            _check(spec, given, unit, end, censoring, column, mass)
    if open_below or open_above:
        end = upper if open_below else value
        return {"value": end, "censoring": "left" if open_below else "right", "limit": end}
    return {"value": value, "censoring": "interval", "limit": upper}


def _check(spec: LabSpec, raw: float, unit: str, value: float, censoring: str, column: str, mass: float | None) -> None:
    """Refuse an impossible or implausible value."""
    low, high = spec.plausible
    what = {"none": "", "left": " below", "right": " above"}[censoring]
    least = spec.above(censored=censoring != "none")
    if value <= least:
        raise RowRefused(
            f"{spec.name} {_said(what, raw, unit)} is impossible",
            column=column,
            value=f"{raw:g}",
            allowed="more than 0" if value <= 0 else f"more than {least:g} {spec.unit}".rstrip(),
            next_step="Give the assay's lower limit with comparator < instead."
            if censoring != "right"
            else "Give the assay's upper limit with comparator >, or leave the row out.",
        )
    # A limit under the range is good news about the assay, not an error.
    if (value >= low or censoring == "left") and value <= high:
        return
    allowed = f"{low:g} to {high:g} {spec.unit if spec.unit != '1' else ''}".rstrip()
    if unit != spec.unit:
        ends = (convert(end, spec.unit, unit, molar_mass=mass) for end in (low, high))
        allowed = "{:.4g} to {:.4g} ".format(*ends) + f"{unit} ({allowed})"
    raise RowRefused(
        f"{spec.name} {_said(what, raw, unit)} is implausible",
        column=column,
        value=f"{raw:g}",
        allowed=allowed,
        next_step=_slip(spec, raw, unit, mass),
    )


def _slip(spec: LabSpec, raw: float, unit: str, mass: float | None) -> str:
    """What would explain the value: another unit within a factor of 1000, or a moved decimal point."""
    low, high = spec.plausible

    def here(number: float, other: str) -> float:
        try:
            return convert(number, other, spec.unit, molar_mass=mass)
        except RecordError:  # of another kind, or too large for a number
            return nan

    found = []
    for other in REPORTED_IN if spec.unit not in ("", "1") or high <= 1.0 else ():
        value = here(raw, other)
        factor = value / here(raw, unit) if raw else 1.0
        if low <= value <= high and 0 < abs(log10(factor)) <= 3.01:
            found.append((other != spec.unit, not (mass and "mol" in other), abs(log10(factor)), other))
    if found:
        other = min(found)[-1]
        return f"In {other} it would be plausible: if the laboratory reports {other}, say unit={other} in that row."
    for factor, word in ((0.1, "left"), (10.0, "right")):
        if low <= here(raw * factor, unit) <= high:
            return (
                f"With the decimal point one place to the {word} it would be plausible: check the laboratory's report."
            )
    return "Check value and unit against the laboratory's report."
