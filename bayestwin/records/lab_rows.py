"""labs.csv: one measured value per row, with its unit; `<` and `>` mark values beyond a limit, `value_to` the upper end
of a value that is only known to lie between two limits."""

from dataclasses import replace
from math import isclose

from bayestwin.labs import RecordSchema
from bayestwin.records.cells import needed_number, number, one_of, parse_number, status_of, whole
from bayestwin.records.drafts import Clock, Draft, collect, copy_of, patient_of
from bayestwin.records.plausibility import measured
from bayestwin.records.record import Lab
from bayestwin.records.refusal import Findings, RowRefused, folded
from bayestwin.records.tables import Row, Table
from bayestwin.units import NUMBER

REQUIRED = ("patient", "time", "output", "value")
COLUMNS = (
    *REQUIRED,
    *("lab_id", "known_time", "unit", "value_to", "comparator", "lloq", "lab", "product", "status", "order"),
)
CENSORING = {"": "none", "<": "left", ">": "right"}


def lab_drafts(table: Table, schema: RecordSchema, clock: Clock, keys, findings: Findings) -> list[Draft]:
    """Every readable row of labs.csv; the others are refused in `findings`."""
    table.note_ignored(COLUMNS, findings)
    return collect(table, findings, lambda row: _draft(row, schema, clock, keys, findings))


def _draft(row: Row, schema: RecordSchema, clock: Clock, keys, findings: Findings) -> Draft:
    patient, status = patient_of(row, keys), status_of(row)
    time, known = clock.read(row)
    sequence = whole(row, "order") if row["order"] else None
    body = Lab(lab_id=row["lab_id"], output=row["output"], time=0.0, value=0.0, known_time=0.0, status=status)
    if status != "retracted" or row["output"] or not row["lab_id"]:
        output = one_of(
            row["output"], "output", tuple(schema.labs), "the output", next_step="Outputs are those of the model."
        )
        if status != "retracted":
            spec = schema.labs[output]
            _assay_is_known(row, spec, findings)
            body = replace(body, laboratory=row["lab"], product=row["product"], **_value(row, spec, findings))
    return Draft(
        patient, row.file, row.number, body, time, known, status, row["lab_id"], copy_of(sequence), sequence, row.cells
    )


def _assay_is_known(row: Row, spec, findings: Findings) -> None:
    """Refuse another spelling of an assay that the model tells apart; note one that it does not name."""
    column = "lab" if spec.assay_by == "laboratory" else "product"
    text = row[column]
    if not spec.assays or text in ("", *spec.assays):
        return
    if folded(text) in [folded(level) for level in spec.assays]:
        step = "Spell it as listed: its residual error is told apart."
        one_of(text, column, spec.assays, f"this spelling of a {spec.assay_by}", next_step=step)
    if "other" not in spec.assays:
        findings.tally(
            f"{row.file}: {spec.name} of a {spec.assay_by} that the model does not name, taken as its usual one"
        )


def _value(row: Row, spec, findings: Findings) -> dict:
    """Value, censoring and limit of one row, in the model's unit."""
    sign, text = row["comparator"], row["value"]
    if text[:1] in ("<", ">") and sign in ("", text[0]):
        sign, text = text[0], text[1:].strip()
    censoring = CENSORING.get(sign)
    if censoring is None:
        raise RowRefused(
            "the comparator is not known",
            column="comparator",
            value=sign,
            allowed="<, > or empty",
            next_step="Write < for a value below a limit and > for one above it.",
        )
    lloq, column, sign_in = number(row, "lloq"), "value", "comparator" if row["comparator"] else "value"
    if row["value_to"]:
        return _interval(row, spec, text, censoring, findings)
    if spec.words:
        raw = _finding(spec, text, censoring, sign_in)
    elif spec.findings and any(map(str.isalpha, text)) and not NUMBER.fullmatch(text):
        censoring = _side_of_limit(spec, text, censoring, sign_in, lloq)
        raw, column = lloq, "lloq"
    elif text:
        raw = parse_number(text, "value")
    elif censoring == "left" and lloq:
        raw, column = lloq, "lloq"
    else:
        raw = needed_number(row, "value")
    if lloq and lloq > 0 and column == "value":
        _agrees_with_lloq(row, raw, censoring, lloq)
    found = measured(spec, raw, row["unit"], censoring=censoring, lloq=lloq, column=column)
    if found["censoring"] != censoring:
        findings.tally(f"{row.file}: values below their lloq, used as left-censored at the lloq")
    return found


def _agrees_with_lloq(row: Row, raw: float, censoring: str, lloq: float) -> None:
    """Refuse a limit in `value` that the limit of quantification of the same row contradicts."""
    if censoring == "left" and not isclose(raw, lloq, rel_tol=1e-9):
        raise RowRefused(
            f"the row says below {raw:g} and, in lloq, below {lloq:g}",
            column="value",
            value=row["value"],
            allowed=f"one limit: <{lloq:g}, or an empty lloq",
            next_step="Give the limit by which this sample was judged.",
        )
    if censoring == "right" and raw < lloq * (1 - 1e-9):
        raise RowRefused(
            f"the row says above {raw:g}, and nothing below its lloq of {lloq:g} can be told",
            column="value",
            value=row["value"],
            allowed=f"{lloq:g} or more, or an empty lloq",
            next_step="Correct the limit in value, or leave lloq empty.",
        )


def _interval(row: Row, spec, text: str, censoring: str, findings: Findings) -> dict:
    """Censoring and limits of a value between `value` and `value_to`."""
    if censoring != "none" or spec.words:
        raise RowRefused(
            "a finding in words has no upper end" if spec.words else "a comparator beside an interval contradicts it",
            column="value_to" if spec.words else "comparator",
            value=row["value_to"] if spec.words else row["comparator"] or row["value"],
            allowed="empty",
            next_step="Leave value_to empty, or give both ends without < or >.",
        )
    raw = parse_number(text, "value") if text else needed_number(row, "value")
    upper = parse_number(row["value_to"], "value_to")
    lloq = number(row, "lloq")
    if lloq and raw < upper < lloq * (1 - 1e-9):
        raise RowRefused(
            f"the row says below {upper:g}, and nothing below its lloq of {lloq:g} can be told",
            column="value_to",
            value=row["value_to"],
            allowed=f"{lloq:g} or more, or an empty lloq",
            next_step="Correct the upper end, or leave lloq empty.",
        )
    found = measured(spec, raw, row["unit"], upper=upper)
    if found["censoring"] != "interval":
        findings.tally(
            f"{row.file}: values between two limits of which the lower says nothing, used as below the upper"
        )
    return found


def _finding(spec, text: str, censoring: str, sign_in: str) -> float:
    """The number that stands for a finding in words, written as the word or as the number.

    sign_in : the column that would hold the sign of `censoring`
    """
    codes = {folded(word): code for word, code in spec.words.items()}
    code = float(text) if NUMBER.fullmatch(text) else codes.get(folded(text))
    if censoring == "none" and code in spec.words.values():
        return code
    said = ", ".join(f"{word} ({code:g})" for word, code in spec.words.items())
    raise RowRefused(
        f"this is no finding of {spec.name}",
        column=sign_in if censoring != "none" else "value",
        value=text,
        allowed=said,
        next_step="Write one of these words or its number, without < or >.",
    )


def _side_of_limit(spec, text: str, censoring: str, sign_in: str, lloq: float | None) -> str:
    """On which side of the limit in `lloq` a finding in words lies: "left" or "right"."""
    sides = dict(zip(map(folded, spec.findings), ("left", "right")))
    below, above = spec.findings
    if censoring != "none" or folded(text) not in sides:
        raise RowRefused(
            f"this is no finding of {spec.name}",
            column=sign_in if censoring != "none" else "value",
            value=text,
            allowed=f"{below} or {above} with the limit in lloq, or a number",
            next_step=f"Write {below} for a value below that limit and {above} for one above it, without < or >. Leave "
            "the row out where the sample could not be judged: that is missing, not a finding.",
        )
    if not lloq:
        raise RowRefused(
            f"a {folded(text)} {spec.name} needs the limit it was looked for at",
            column="lloq",
            value="" if lloq is None else f"{lloq:g}",
            allowed="a number above 0 in the unit of the row: the limit of detection, or the sensitivity",
            next_step="Fill in lloq.",
        )
    return sides[folded(text)]
