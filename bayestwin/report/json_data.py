"""The data part of the machine-readable report: every lab, refused rows, past forecasts."""

from bayestwin.report import rounding
from bayestwin.report.json_forecasts import finite
from bayestwin.report.model import ReportInput
from bayestwin.report.warnings import (
    is_surprising,
    lab_when,
    may_be_tenfold,
    surprise_values,
)

STATE_WORDS = {
    "used": "used",
    "censored": "used",
    "late": "late, used",
    "corrected": "corrected, used",
    "rejected": "rejected",
    "retracted": "retracted",
    "duplicate": "duplicate, not used",
    "missing": "planned, missing",
    "overdue": "overdue",
}
USED = ("used", "censored", "late", "corrected")
LIMIT_WORDS = {"<": "below limit", ">": "above limit"}


def labs(inputs: ReportInput) -> list[dict]:
    """The ledger: every lab with its state, what was forecast before it arrived, and how surprising it was."""
    labels = {output.name: output.label for output in inputs.outputs}
    quantified = {output.name: output.limit for output in inputs.outputs}
    entries, all_new = [], all(lab.new for lab in inputs.labs)  # then the word says nothing
    for lab in sorted(
        inputs.labs,
        key=lambda lab: (list(labels).index(lab.output) if lab.output in labels else 99, lab.time, lab.lab_id),
    ):
        limit = quantified.get(lab.output)
        before, limits = lab.forecast_before, surprise_values(lab, limit)
        known = lab.known_when or (
            "same" if lab.known_time == lab.time else f"{inputs.clock.time_unit} {lab.known_time:g}"
        )
        words = (STATE_WORDS.get(lab.state, lab.state), LIMIT_WORDS.get(_beyond(lab), ""))
        state = ", ".join(word for word in words if word) + (" (new)" if lab.new and not all_new else "")
        entries.append(
            {
                "lab_id": lab.lab_id,
                "loinc": None,
                "name": lab.output,
                "label": labels.get(lab.output, lab.output),
                "value": finite(lab.value),
                "comparator": lab.comparator,
                **({} if lab.upper is None else {"value_to": finite(lab.upper)}),
                "unit": lab.unit,
                "specimen_time": lab.time,
                "known_time": lab.known_time,
                "state": lab.state,
                "reason": lab.reason,
                "replaces": lab.replaces,
                "forecast_before": {f"q{100 * k:g}": v for k, v in before.items()} if before else None,
                "pit": list(lab.pit) if lab.pit else None,
                "log_score": finite(lab.log_score),
                "moved_chance": lab.moved_chance,
                "new": lab.new,
                "when_shown": lab_when(lab, inputs),
                "known_shown": known,
                "shown": f"{lab.shown} {lab.unit}".strip() if lab.shown else "none",
                "state_shown": state,
                "reason_shown": lab.reason + (f" (was {lab.replaces})" if lab.replaces else ""),
                "before_shown": _expected(before, limits, limit, lab.unit),
                "surprise_shown": surprise_words(lab),
            }
        )
    return entries


def _beyond(lab) -> str:
    """On which side of a limit a used lab lies, "<" or ">", or "" for neither; a censored one that says not, below."""
    return "" if lab.state not in USED else lab.comparator or ("<" if lab.state == "censored" else "")


def _expected(before, limits, limit, unit):
    if not limits or 0.5 not in before:
        return "not forecast"
    return f"{rounding.lab_value(before[0.5], limit)} ({limits[0]} to {limits[1]}) {unit}".strip()


def surprises(inputs: ReportInput, sayings, *, bare: bool) -> list[str]:
    """Sentence T8 for every lab outside expectation (newest first); bare = without what was expected."""
    labels, found = {output.name: output.label for output in inputs.outputs}, []
    quantified = {output.name: output.limit for output in inputs.outputs}
    for lab in sorted(inputs.labs, key=lambda lab: -lab.time):
        limits = surprise_values(lab, quantified.get(lab.output))
        if is_surprising(lab):
            given = {
                "lab": labels.get(lab.output, lab.output),
                "date": lab_when(lab, inputs),
                "value": f"{lab.shown} {lab.unit}".strip(),
                "use": "does not use it" if lab.state in ("rejected", "duplicate", "retracted") else "uses it",
            }
            found.append(
                sayings.say("T8plain", **given)
                if bare or not limits
                else sayings.say("T8", lo=limits[0], hi=f"{limits[1]} {lab.unit}".strip(), **given)
            )
    return found


def surprise_words(lab) -> str:
    """The one-step-ahead probability in words."""
    if lab.pit is None:
        return "not scored"
    low, high = lab.pit
    if is_surprising(lab):
        return (
            "OUTSIDE, "
            + ("lower" if high < 0.5 else "higher")
            + " than expected"
            + (", possible unit error" if may_be_tenfold(lab) else "")
        )
    if lab.counted:
        return f"{_in_100(high - low)} in 100 expected exactly this"
    if high - low > 1e-6:
        return f"{_in_100(high - low)} in 100 expected beyond the limit"
    if lab.alarm:
        return f"more likely {lab.alarm} than right"
    if 0.1 <= low <= 0.9:
        return "as expected (inside 80 %)"
    return f"{'low' if low < 0.5 else 'high'} ({_in_100(min(low, 1 - low))} in 100 beyond)"


def _in_100(share):
    points = round(100 * share)
    return "fewer than 1" if points < 1 else "more than 99" if points > 99 else f"{points}"


def refused(inputs: ReportInput) -> list[dict]:
    """Refused rows with place, value, reason, what is allowed and what to do."""
    return [
        {
            "file": row.file,
            "row": str(row.row),
            "column": row.column,
            "value": str(row.value),
            "reason": row.reason,
            "allowed": row.allowed,
            "next_step": row.next_step,
            "place": f"{row.file} row {row.row}",
        }
        for row in inputs.refused
    ]


def data_counts(inputs: ReportInput) -> str:
    """ "24 labs used, 1 late, 1 corrected, 2 rejected, 3 rows refused"."""
    count = lambda *states: sum(lab.state in states for lab in inputs.labs)  # noqa: E731
    beyond = [_beyond(lab) for lab in inputs.labs]
    parts = [f"{count(*USED)} labs used"]
    parts += [
        f"{number} {name}"
        for name, number in (
            *((words, beyond.count(side)) for side, words in LIMIT_WORDS.items()),
            ("late", count("late")),
            ("corrected", count("corrected")),
            ("retracted", count("retracted")),
            ("rejected", count("rejected", "duplicate")),
            ("missing", count("missing", "overdue")),
            ("refused rows" if len(inputs.refused) != 1 else "refused row", len(inputs.refused)),
        )
        if number
    ]
    return ", ".join(parts)


def history(inputs: ReportInput) -> list[dict]:
    """Past forecasts of the main row's 12-month chance, each in the steps of its own error; some have no number."""
    rows = []
    for past in inputs.history:
        shown = past.reason or "withheld"
        step = rounding.step_for(past.mcse)
        if past.chance is not None and step is None:
            shown = "Monte Carlo error too large"
        elif past.chance is not None:
            around = rounding.range_words(*past.p80, past.chance, step) if past.p80 else "range not available"
            shown = f"{rounding.points_words(rounding.nearest(past.chance, step), step)} ({around})"
        rows.append(
            {
                "time": past.time,
                "when": past.when,
                "chance": past.chance,
                "p80": list(past.p80) if past.p80 else None,
                "version": past.version,
                "report_id": past.report_id,
                "shown": shown,
            }
        )
    return rows
