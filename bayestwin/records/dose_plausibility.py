"""Which doses cannot be, and which are unusual: amounts and lengths of time.

What cannot be is refused. A dose that stands far from the others is used as written, and said.
"""

from collections.abc import Mapping
from statistics import median

from bayestwin.labs import RecordSchema
from bayestwin.records.clocks import LONGEST_YEARS
from bayestwin.records.drafts import Clock
from bayestwin.records.record import PatientRecord
from bayestwin.records.refusal import Findings, RowRefused, shown_key
from bayestwin.units import SIZES, compatible, convert, size_of

# No one dose of a drug weighs more than a kilogram or less than a picogram, and none runs in within 0.1 s.
POSSIBLE_MG = (1e-9, 1e6)
SHORTEST_SECONDS = 0.1
SIZE_COVARIATES = ("weight_kg", "height_cm", "bsa_m2")
UNUSUAL = 1000.0  # times the median dose: a gram taken for a milligram


def possible_amount(amount: float, raw: float, unit: str, schema: RecordSchema, column: str) -> float:
    """`amount` in the model's unit, unless it weighs more or less than a dose can; `raw` in `unit` as written."""
    low, high = POSSIBLE_MG
    if not compatible(schema.dose_unit, "mg") or low <= convert(amount, schema.dose_unit, "mg") <= high:
        return amount
    raise RowRefused(
        f"a dose of {raw:g} {unit} is implausible",
        column=column,
        value=f"{raw:g}",
        allowed=f"{low:g} to {high:g} mg",
        next_step="Check amount and unit against the order.",
    )


def not_too_long(value: float, column: str, written, clock: Clock) -> float:
    """`value`, unless it is longer than a life."""
    if value <= convert(LONGEST_YEARS, "year", clock.time_unit):
        return value
    raise RowRefused(
        f"{column} is implausibly long",
        column=column,
        value=written,
        allowed=f"at most {LONGEST_YEARS} years",
        next_step="Check the unit of time.",
    )


def not_too_short(value: float, column: str, written: str, clock: Clock) -> float:
    """`value`, a duration in the model's time unit, unless it is neither 0 nor one that a pump could keep."""
    if value == 0 or convert(value, clock.time_unit, "s") >= SHORTEST_SECONDS:
        return value
    raise RowRefused(
        f"the infusion would last {convert(value, clock.time_unit, 's'):.2g} s",
        column=column,
        value=written,
        allowed=f"at least {SHORTEST_SECONDS:g} s, or an empty cell for a bolus",
        next_step="Check the unit of time and the amount.",
    )


def note_unusual_doses(records: Mapping[str, PatientRecord], schema: RecordSchema, findings: Findings) -> None:
    """Say which doses differ so much from the others into their compartment that a unit may have slipped."""
    into: dict[str, list[tuple[float, str]]] = {}
    for key, record in records.items():
        for dose in record.doses:
            if dose.amount > 0:
                into.setdefault(schema.routes.get(dose.target, dose.target), []).append((dose.amount, key))
    for target, doses in into.items():
        usual = median(amount for amount, _ in doses)
        odd = [(a, k) for a, k in doses if not usual / UNUSUAL < a < usual * UNUSUAL]
        if odd:
            amount, key = odd[0]
            findings.note(
                f"{len(odd)} dose{'s' * (len(odd) > 1)} into {target} a thousandth or a thousand times the median dose "
                f"of {usual:g} {schema.dose_unit}, used as written; the first is {amount:g} of patient "
                f"{shown_key(key)}. Was the unit another?"
            )


def note_missing_sizes(records: Mapping[str, PatientRecord], schema: RecordSchema, findings: Findings) -> None:
    """Say whose size is missing where treatments of the model are dosed by it: no forecast of these can be made."""
    for per, needed in SIZES.items():
        treatments = [name for name, sizes in schema.dosed_per.items() if per in sizes]
        without = [shown_key(key) for key, record in records.items() if size_of(record.covariates, per) is None]
        if treatments and without:
            more = f" and {len(without) - 8} more" if len(without) > 8 else ""
            findings.note(
                f"no {needed}, so no forecast of {', '.join(treatments)}, dosed per {per}: "
                f"patient{'s' * (len(without) > 1)} {', '.join(without[:8])}{more}."
            )


def note_changed_size(base: PatientRecord | None, record: PatientRecord, findings: Findings) -> None:
    """Say that doses of the earlier record were read with another size of the patient: an amount per kg or m2 among
    them is kept as it was computed then, since the record does not hold how it was written.
    """
    kept = [] if base is None else [dose for dose in base.doses if dose in record.doses]
    for name in SIZE_COVARIATES:
        before = None if base is None else base.covariates.get(name)
        if kept and before is not None and record.covariates.get(name) != before:
            now = record.covariates.get(name, "not known")
            findings.note(
                f"patient {shown_key(record.key)}: {name} is {now} and was {before} when {len(kept)} "
                f"dose{'s' * (len(kept) > 1)} of the earlier record {'were' if len(kept) > 1 else 'was'} read. Amounts "
                "per kg or m2 among them stand as computed then: send these rows again with status = corrected."
            )
