"""Who and when in the machine-readable report: both clocks, and block 1."""

from datetime import date, timedelta

from bayestwin.report.model import ReportInput
from bayestwin.report.warnings import LAB_AGE_DAYS, lab_age_at_cut
from bayestwin.report.wording import date_words, short_label, shorten
from bayestwin.units import convert


def clock(inputs: ReportInput) -> dict:
    """Both clocks and until when the report holds."""
    given = inputs.clock
    return {
        "data_cut": given.data_cut_date,
        "data_cut_time": given.data_cut_time,
        "data_cut_shown": given.data_cut,
        "time_unit": given.time_unit,
        "time_zero": {"event": given.time_zero, "date": given.time_zero_date},
        "generated": given.generated,
        "generated_shown": given.generated[:16].replace("T", " ") + " UTC",
        "valid_until": valid_until(inputs),
        "horizon_mo": given.horizon_months,
        "horizon_shown": f"{given.horizon_months:g}",
        "statement": given.statement,
    }


def valid_until(inputs: ReportInput) -> str:
    """As given; else the day the newest lab becomes too old; else "not stated"."""
    if inputs.clock.valid_until:
        return inputs.clock.valid_until
    age, limit = lab_age_at_cut(inputs), LAB_AGE_DAYS.get(inputs.patient.phase)
    if age is None or limit is None:
        return "not stated"
    if inputs.clock.data_cut_date:
        last = date.fromisoformat(inputs.clock.data_cut_date[:10]) + timedelta(days=limit - age)
        return date_words(last)
    ahead = convert(limit - age, "day", inputs.clock.time_unit)
    return f"{inputs.clock.time_unit} {inputs.clock.data_cut_time + ahead:.0f}"


def patient(inputs: ReportInput) -> dict:
    """Block 1: disease, treatment now, observed response, last values."""
    who = inputs.patient
    line = who.lines_words or (f"line {who.line}" if who.line is not None else "line not stated")
    refractory = who.refractory_words or (
        "refractory to " + ", ".join(who.refractory) if who.refractory else "refractoriness not recorded"
    )
    disease = (
        ", ".join(part for part in (who.diagnosis, who.isotype, line, refractory) if part)
        if who.diagnosis
        else "Diagnosis not stated"
    )
    measured = f"Disease measured by {who.measurable_by}." if who.measurable_by else ""
    if who.diagnosis and not measured:
        measured = "Which marker measures the disease is not stated."
    day = f", day {who.treatment_day}" if who.treatment_day is not None else ""
    seen, response = who.response, "Observed response: not coded."
    if seen is not None:
        confirmed = {True: "confirmed", False: "not confirmed", None: "confirmation not known"}[seen.confirmed]
        basis = f"; from {', '.join(seen.basis)}" if seen.basis else ""
        response = (
            f"Observed response: {seen.category}" + (f", {seen.when}" if seen.when else "") + f" ({confirmed}{basis})."
        )
    return {
        "diagnosis": who.diagnosis,
        "isotype": who.isotype,
        "measurable_by": who.measurable_by,
        "line": who.line,
        "refractory": list(who.refractory),
        "phase": who.phase,
        "disease_shown": f"{shorten(disease, 150)}.",
        "disease_full": f"{disease}.",
        "measured_shown": measured,
        "treatment_shown": f"Treatment now: {short_label(who.treatment_now)}{day}."
        if who.treatment_now
        else "Treatment now: none recorded.",
        "response_observed": None
        if seen is None
        else {"category": seen.category, "date": seen.when, "confirmed": seen.confirmed, "basis": list(seen.basis)},
        "response_shown": response,
        "latest": [
            {
                "name": item.name,
                "value": item.value,
                "unit": item.unit,
                "when": item.when,
                "shown": f"{item.value} {item.unit}".strip() if item.value is not None else "not measured",
                "when_shown": item.when if item.value is not None else "",
            }
            for item in who.latest
        ],
    }
