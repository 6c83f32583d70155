"""When: how times are printed, data cut, making of the report, and who gets to a treatment that starts later."""

from datetime import UTC, datetime, timedelta

from bayestwin.prognosis.moments import INFUSION
from bayestwin.prognosis.plan import current_treatment
from bayestwin.report import model as page
from bayestwin.report import rounding
from bayestwin.report.wording import date_words
from bayestwin.units import convert

DATA_CUT = ": the time of the newest lab or event known, not of the report"


def day_text(model, time, zero: str = "") -> str:
    """How a model time is printed: its date where the record's time zero has one, else "day 196" or "hour 5"."""
    moment = moment_of(model, time, zero)
    if moment is None:
        return f"{'hour' if model.time_unit == 'h' else 'day'} {time:g}"
    date = date_words(moment)
    return f"{date} {moment:%H:%M}" if model.time_unit == "h" else date


def moment_of(model, time, zero: str) -> datetime | None:
    """The moment (UTC) of a model time; None for a record without dates."""
    if not zero:
        return None
    start = datetime.fromisoformat(zero)
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    return start.astimezone(UTC) + timedelta(days=float(convert(time, model.time_unit, "day")))


def clock_entry(twin, prognosis, generated, as_of=""):
    """The `page.Clock`: data cut, time zero, when the report was made and for which day its data are as old as said."""
    model, now, zero = twin.model, prognosis.now, twin.record.time_zero
    started = current_treatment(model, twin.record, now)
    cut = day_text(model, now, zero)
    day = f", {day_text(model, now)} after referral" if zero else " after referral"
    statement = f"Month 0 is the data cut, {cut}{day}"
    if started:
        statement += f", {day_text(model, now - started[0])} of {model.treatment(started[1]).label}"
    statement += DATA_CUT if now else ""
    moments = [moment_of(model, time, zero) for time in (0.0, now)]
    first, last = (None if moment is None else moment.isoformat() for moment in moments)
    return page.Clock(
        data_cut=cut,
        data_cut_time=now,
        generated=generated,
        as_of=as_of,
        time_zero="referral" if model.progression is not None else "start of record",
        time_unit=model.time_unit,
        data_cut_date=last,
        time_zero_date=first,
        horizon_months=float(prognosis.horizon if model.progression is not None else 36.0),
        statement=f"{statement}{_waiting(prognosis, zero, shares=True)}.",
        statement_withheld=f"{statement}{_waiting(prognosis, zero, shares=False)}.",
    )


def _waiting(prognosis, zero: str, *, shares: bool) -> str:
    """Treatments that start later, when, who gets there, and whether those who do not are inside the forecast.

    shares : with how many get there, which is a forecast
    """
    model, rows = prognosis.model, [r for r in prognosis.rows if r.plan.new and r.plan.start > prognosis.now]
    said, inside, outside = [], False, False
    for row in rows:
        there = _get_there(prognosis, row) if row.plan.otherwise is not None else ""
        inside = inside or bool(there)
        outside = outside or (not there and bool(row.moments))
        said.append(f"{row.plan.label} from {day_text(model, row.plan.start, zero)}{there if shares else ''}")
    if not said:
        return ""
    drop_out = "; drop-out before infusion is not" if outside else " and so is drop-out" if inside else ""
    return f". Waiting time is inside the forecast ({'; '.join(said)}){drop_out}"


def _get_there(prognosis, row) -> str:
    """How many get to the infusion alive, in the steps of its error and with its 80 % range; "" where none is ahead."""
    share = prognosis.reached(INFUSION, row.plan.name)
    if share is None:
        return ""
    step = rounding.step_for(share.mcse)
    if step is None:
        return ", how many get there is not shown: Monte Carlo error too large"
    words = f"{rounding.about(share.value, step)} in 100 get there"
    if share.knowledge is None:
        return f", {words} (range not available)"
    low, high = share.knowledge[0.8]
    return f", {words} ({rounding.range_words(low, high, share.value, step)})"
