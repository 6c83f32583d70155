"""The dose of one row of an event table: amount, infusion, repeats, steady state, lag, bioavailability, reset.

RATE > 0     a pump of that rate: bioavailability changes the duration, not the rate
RATE -1, -2  the rate stands in RAT2, the duration in DUR2 (then bioavailability changes the rate); without them it is
             a parameter of the model, where the model has one for the compartment
SS 1, 2      steady state of this dose every II, in the place of what was there or added to it
SS, AMT 0    an infusion of rate RATE that has always run and stops now (II 0)
EVID 3, 4    every state back to its initial value; 4 gives the dose of the row then
"""

from collections.abc import Mapping
from dataclasses import replace

from bayestwin.dosing import DoseEvent
from bayestwin.labs import RecordSchema
from bayestwin.records.cells import needed_number, parse_number
from bayestwin.records.dose_plausibility import not_too_long, not_too_short
from bayestwin.records.dose_rows import amount_in, compartment, repeats, steady_state
from bayestwin.records.drafts import Clock
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.table_censoring import filled
from bayestwin.records.tables import Row
from bayestwin.units import convert

RESET, RESET_AND_DOSE = 3, 4


def dose_of(
    row: Row, evid: int, schema: RecordSchema, clock: Clock, covariates: Mapping, units, findings: Findings
) -> DoseEvent:
    """The dose, reset or both that a row says, its time left at 0; RowRefused where it contradicts itself."""
    row = replace(row, cells={c: "" if c in ("addl", "ii", "ss") and v == "." else v for c, v in row.cells.items()})
    if evid == RESET:
        if filled(row, "amt"):
            raise RowRefused(
                "EVID 3 resets and gives nothing, and AMT says how much",
                column="amt",
                value=row["amt"],
                allowed="0 or empty where EVID is 3",
                next_step="Write EVID 4 for a reset followed by a dose.",
            )
        return DoseEvent(time=0.0, amount=0.0, target=schema.compartments[0] if schema.compartments else "", reset=True)
    unit = units.get("amt") or schema.dose_unit
    target, ss = dosed_compartment(row, schema, findings), steady_state(row)
    lag, share = _lag(row, clock), _bioavailability(row)
    body = DoseEvent(
        time=0.0, amount=0.0, target=target, ss=ss, lag=lag, bioavailability=share, reset=evid == RESET_AND_DOSE
    )
    raw = needed_number(row, "amt")
    modelled = _modelled(row, schema, target)
    if ss and raw == 0 and (filled(row, "rate") > 0 or modelled == "rate"):
        rate = _constant_rate(row, schema, clock, covariates, unit, modelled)
        return replace(body, rate=rate, modelled=modelled)
    amount = amount_in(schema, raw, unit, covariates, column="amt")
    addl, ii = repeats(row, clock)
    duration, fixed_rate = (0.0, False) if modelled else _infusion(row, raw, clock)
    rate = amount / duration if fixed_rate else 0.0
    return replace(body, amount=amount, duration=duration, rate=rate, addl=addl, ii=ii, modelled=modelled)


def dosed_compartment(row: Row, schema: RecordSchema, findings: Findings) -> str:
    """CMT by number or name; the first compartment where it is not said, as in NONMEM."""
    if row["cmt"] in ("", ".", "0") and schema.compartments:
        findings.tally(f"{row.file}: doses without CMT go into the first compartment, {schema.compartments[0]}")
        return schema.compartments[0]
    return compartment(row["cmt"], "cmt", schema)


def _modelled(row: Row, schema: RecordSchema, target: str) -> str:
    """ "rate" or "duration" where the row leaves it to the model, and the model says it; "" else."""
    what, column = {-1.0: ("rate", "rat2"), -2.0: ("duration", "dur2")}.get(filled(row, "rate"), ("", ""))
    return what if what and filled(row, column) == 0 and schema.says(target, what) else ""


def overlapping_resets(row: Row) -> RowRefused:
    """Why a second reset of one time is not used."""
    return RowRefused(
        "two resets of one time overlap: the second takes away what the first has given",
        column="evid",
        value=row["evid"],
        allowed="one row with EVID 3 or 4 at a time",
        next_step="Keep the row that is meant, as EVID 4 where it gives a dose.",
    )


def _infusion(row: Row, raw: float, clock: Clock) -> tuple[float, bool]:
    """Infusion time, and whether the row fixes the rate: from RATE, or from RAT2 or DUR2 where RATE is -1 or -2."""
    rate = filled(row, "rate")
    if rate == 0:
        return 0.0, False
    if rate not in (-1, -2) and rate < 0:
        raise RowRefused(
            "this rate is not known",
            column="rate",
            value=row["rate"],
            allowed="0, more than 0, -1 or -2",
            next_step="Correct RATE.",
        )
    column = {-1: "rat2", -2: "dur2"}.get(int(rate), "rate") if rate < 0 else "rate"
    given = filled(row, column)
    if given <= 0:
        raise RowRefused(
            f"RATE {rate:g} needs {column.upper()}",
            column=column,
            value=row[column],
            allowed="more than 0",
            next_step=f"Add {column.upper()}, or give the rate of the infusion in RATE"
            + (", or a model with a parameter for it: Dosing(...)." if rate < 0 else "."),
        )
    length = convert(given if column == "dur2" else raw / given, clock.file_unit, clock.time_unit)
    length = not_too_short(not_too_long(length, column, row[column], clock), column, row[column], clock)
    return length, column != "dur2"


def _constant_rate(
    row: Row, schema: RecordSchema, clock: Clock, covariates: Mapping, unit: str, modelled: str
) -> float:
    """The rate of an infusion that has always run, in the model's units; 0 where the model says it."""
    for column in ("ii", "addl"):
        if filled(row, column):
            raise RowRefused(
                f"an infusion that has always run (SS with AMT 0) has no {column.upper()}",
                column=column,
                value=row[column],
                allowed="0 or empty",
                next_step="Give AMT for infusions that are repeated.",
            )
    if modelled:
        return 0.0
    rate = amount_in(schema, filled(row, "rate"), unit, covariates, column="rate")
    return rate / convert(1.0, clock.file_unit, clock.time_unit)


def _lag(row: Row, clock: Clock) -> float:
    """LAGT in the model's time unit."""
    value = filled(row, "lagt")
    if value < 0:
        raise RowRefused(
            "a lag is negative",
            column="lagt",
            value=row["lagt"],
            allowed="0 or more",
            next_step="A dose arrives at its time or later.",
        )
    return not_too_long(convert(value, clock.file_unit, clock.time_unit), "lagt", row["lagt"], clock)


def _bioavailability(row: Row) -> float:
    """BIOAV, the share of the amount that arrives; above 1 is allowed, as in NONMEM (another formulation)."""
    if row["bioav"] in ("", "."):
        return 1.0
    value = parse_number(row["bioav"], "bioav")
    if value <= 0:
        raise RowRefused(
            "the bioavailability must be more than 0",
            column="bioav",
            value=row["bioav"],
            allowed="more than 0",
            next_step="Leave out a dose of which nothing arrives.",
        )
    return value
