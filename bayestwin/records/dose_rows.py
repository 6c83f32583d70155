"""doses.csv: what was given, as a bolus or an infusion, once or several times."""

from math import isfinite

from bayestwin.dosing import DoseEvent
from bayestwin.errors import BayestwinError
from bayestwin.labs import RecordSchema
from bayestwin.records.cells import at_least_zero, needed_number, number, one_of, status_of, whole
from bayestwin.records.dose_plausibility import not_too_long, not_too_short, possible_amount
from bayestwin.records.drafts import Clock, Draft, collect, copy_of, patient_of
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.tables import Row, Table
from bayestwin.units import NUMBER, convert, parse_dose, parse_duration

REQUIRED = ("patient", "time", "amount", "unit")
COLUMNS = (
    *REQUIRED,
    "known_time",
    "compartment",
    "route",
    "duration",
    "rate",
    "treatment",
    "addl",
    "ii",
    "ss",
    "status",
    "order",
)
MOST_DOSES = 10_000
MODELLED = "modelled"


def dose_drafts(table: Table, schema: RecordSchema, clock: Clock, keys, covariates, findings: Findings) -> list[Draft]:
    """Every readable row of doses.csv; the others are refused in `findings` and leave a hole in the history.

    covariates : patient -> covariates, for amounts per kg or per m2
    """
    table.note_ignored(COLUMNS, findings)
    return collect(
        table, findings, lambda row: _draft(row, schema, clock, keys, covariates), leaves_hole=lambda row: True
    )


def _draft(row: Row, schema: RecordSchema, clock: Clock, keys, covariates) -> Draft:
    patient, status = patient_of(row, keys), status_of(row)
    time, known = clock.read(row)
    target = _target(row, schema)
    sequence = whole(row, "order") if row["order"] else None
    body = DoseEvent(time=0.0, amount=0.0, target=target)
    if status != "retracted":
        treatment = row["treatment"]
        if treatment and schema.treatments:
            one_of(
                treatment,
                "treatment",
                schema.treatments,
                "the treatment",
                next_step="Treatments are those of the model.",
            )
        ss = steady_state(row)
        raw = needed_number(row, "amount")
        amount = amount_in(schema, raw, row["unit"], covariates.get(patient, {}), column="amount")
        addl, ii = repeats(row, clock)
        modelled = _modelled(row, schema, target)
        duration = 0.0 if modelled else _duration(row, raw, clock)
        body = DoseEvent(
            time=0.0,
            amount=amount,
            target=target,
            duration=duration,
            treatment=treatment,
            addl=addl,
            ii=ii,
            ss=ss,
            rate=amount / duration if duration and not row["duration"] else 0.0,
            modelled=modelled,
        )
    return Draft(patient, row.file, row.number, body, time, known, status, "", copy_of(sequence), sequence, row.cells)


def _target(row: Row, schema: RecordSchema) -> str:
    """Compartment or route of a dose; exactly one of them is said."""
    if row["compartment"] and row["route"]:
        raise RowRefused(
            "the dose names a compartment and a route",
            column="route",
            value=row["route"],
            allowed="one of the two",
            next_step="Leave one of the two cells empty.",
        )
    if row["route"]:
        return one_of(
            row["route"], "route", tuple(schema.routes), "the route", next_step="Routes are those of the model."
        )
    return compartment(row["compartment"], "compartment", schema)


def compartment(text: str, column: str, schema: RecordSchema) -> str:
    """A compartment by name, or by its number from 1 as in NONMEM."""
    names = schema.compartments
    if text not in names and NUMBER.fullmatch(text) and float(text) in range(1, len(names) + 1):
        return names[int(float(text)) - 1]
    return one_of(text, column, names, "the compartment", next_step="Compartments are those of the model.")


def amount_in(schema: RecordSchema, raw: float, unit: str, covariates, *, column: str) -> float:
    """The amount in the model's unit; per kg and per m2 use the patient's covariates."""
    if raw <= 0:
        raise RowRefused(
            "a dose must be more than 0",
            column=column,
            value=f"{raw:g}",
            allowed="more than 0",
            next_step="Leave out a dose that was not given, or withdraw it with status = retracted.",
        )
    if not unit and schema.dose_unit:
        raise RowRefused(
            "the dose has no unit",
            column="unit",
            allowed=f"{schema.dose_unit} or a unit that converts to it, also per kg or per m2",
            next_step="Say the unit in that row.",
        )
    try:
        amount = parse_dose(f"{raw!r} {unit}", schema.dose_unit, covariates)
    except BayestwinError as problem:
        raise RowRefused(
            problem.problem,
            column="unit" if column == "amount" else column,  # an event table has no column of units
            value=unit,
            allowed=problem.allowed or schema.dose_unit,
            next_step=problem.next_step,
        ) from problem
    return possible_amount(amount, raw, unit, schema, column)


def repeats(row: Row, clock: Clock) -> tuple[int, float]:
    """Additional doses and their interval in the model's time unit; a steady state has an interval too."""
    addl, ss = whole(row, "addl"), steady_state(row)
    interval = length(row, "ii", clock)
    if not 0 <= addl <= MOST_DOSES:
        raise RowRefused(
            "the number of additional doses is impossible",
            column="addl",
            value=row["addl"],
            allowed=f"0 to {MOST_DOSES}",
            next_step="Correct the cell.",
        )
    if (addl or ss) and interval <= 0:
        raise RowRefused(
            f"{'additional' if addl else 'steady-state'} doses need an interval",
            column="ii",
            value=row["ii"],
            allowed="ii more than 0",
            next_step=f"Say the interval between doses in ii, or leave {'addl' if addl else 'ss'} empty.",
        )
    if addl:
        not_too_long(addl * interval, "addl", row["addl"], clock)
    return addl, interval if addl or ss else 0.0


def steady_state(row: Row) -> int:
    """SS: 0, or 1 (in the place of what was there) or 2 (added to it)."""
    ss = whole(row, "ss")
    if ss not in (0, 1, 2):
        searched = "a steady state searched for from what is there (SS 3) is not supported"
        raise RowRefused(
            searched if ss == 3 else "this kind of steady state is not known",
            column="ss",
            value=row["ss"],
            allowed="0 or empty, 1 or 2",
            next_step="Write 1 for a steady state, 2 for one on top of what is there.",
        )
    return ss


def length(row: Row, column: str, clock: Clock) -> float:
    """A length of time in the model's unit: a number in the file's unit, or a number with a unit ("30 min")."""
    text = row[column]
    if not text or NUMBER.fullmatch(text):
        return not_too_long(convert(at_least_zero(row, column), clock.file_unit, clock.time_unit), column, text, clock)
    try:
        value = convert(*parse_duration(text), clock.time_unit)
    except BayestwinError as problem:
        raise RowRefused(
            "this is not a length of time",
            column=column,
            value=text,
            allowed='a number, or "30 min"',
            next_step="Correct the cell.",
        ) from problem
    if value < 0:
        raise RowRefused(
            f"{column} is negative", column=column, value=text, allowed="0 or more", next_step="Correct the cell."
        )
    return not_too_long(value, column, text, clock)


def _modelled(row: Row, schema: RecordSchema, target: str) -> str:
    """ "duration" or "rate" where that cell says `modelled`: a parameter of the model says it."""
    said = [what for what in ("duration", "rate") if row[what].lower() == MODELLED]
    if not said:
        return ""
    what, other = said[0], "rate" if said[0] == "duration" else "duration"
    if row[other]:
        raise RowRefused(
            f"the {what} is left to the model, and {other} says it again",
            column=other,
            value=row[other],
            allowed="empty",
            next_step="Leave one of the two cells empty.",
        )
    if not schema.says(target, what):
        raise RowRefused(
            f"the model has no parameter for the {what} of doses into {schema.routes.get(target, target)}",
            column=what,
            value=row[what],
            allowed="a number",
            next_step=f"Say the {what} in that row, or take a model with Dosing({what}=...).",
        )
    return what


def _duration(row: Row, raw: float, clock: Clock) -> float:
    """Infusion time from `duration` or `rate` (in the row's unit per unit of time)."""
    duration, rate = length(row, "duration", clock), number(row, "rate")
    not_too_short(duration, "duration", row["duration"], clock)
    if rate is None or rate == 0:
        return duration
    if rate < 0:
        raise RowRefused(
            "the rate is negative",
            column="rate",
            value=row["rate"],
            allowed="more than 0, or empty",
            next_step=f"Say the infusion time in duration, or write {MODELLED} where the model has a parameter for it.",
        )
    from_rate = raw / rate
    from_rate = convert(from_rate, clock.file_unit, clock.time_unit) if isfinite(from_rate) else from_rate
    if duration and abs(duration - from_rate) > 0.01 * from_rate:
        raise RowRefused(
            "duration and rate contradict each other",
            column="rate",
            value=row["rate"],
            allowed=f"a rate that gives {raw:g} in the duration",
            next_step="Leave one of the two cells empty.",
        )
    return duration or not_too_short(not_too_long(from_rate, "rate", row["rate"], clock), "rate", row["rate"], clock)
