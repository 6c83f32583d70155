"""Outputs, labs, events and refused rows, as plain values."""

from bayestwin.prognosis.plan import current_treatment
from bayestwin.report import model as page
from bayestwin.report.gather_patient import day_text, shown_value

LEVELS = page.QUANTILE_LEVELS


def output_entry(model, record, observation, now):
    """A `page.Output`: label, unit, scale, limit, and for the progression marker half and a tenth of its baseline."""
    values = [lab for lab in record.labs if lab.output == observation.output and lab.censoring == "none"]
    lines, note = (), ""
    if (
        model.progression is not None
        and values
        and observation.output == model.progression.rule_for(record.covariates).output
    ):
        started = current_treatment(model, record, now)
        before = [lab for lab in values if started is None or lab.time <= started[0]] or values[:1]
        base = before[-1].value
        lines = ((base / 2, "half of baseline"), (base / 10, "a tenth of baseline"))
    if model.progression is not None:
        note = (
            "No treatment after progression is modelled; courses are drawn up to "
            f"{observation.plausible[1]:,.0f} {observation.unit}."
        )
    if observation.output == "transgene":
        note = "copies/ug are not comparable between products."
    log = model.progression is not None and not observation.discrete
    return page.Output(
        observation.output, observation.label or observation.output, observation.unit,
        scale="log" if log else "linear", limit=observation.lower_limit,
        reference_lines=lines, note=note,
    )  # fmt: skip


def lab_ledger(twin, previous):
    """A `page.LabEntry` per lab of the record, in its order: state, value it replaced, what was expected of it.

    previous : (twin, prognosis) of the last report, or None; without it no lab counts as new or late
    """
    model, record = twin.model, twin.record
    before = {(s.lab_id, s.time): s for info in twin.history for s in info.surprise}
    seen = {(lab.lab_id, lab.time) for lab in previous[0].record.labs} if previous else None
    replaced = {
        (old.row.lab_id, old.row.time): old.row for old in getattr(record, "past", ()) if hasattr(old.row, "lab_id")
    }
    unit = {o.output: o.unit for o in model.observations}
    rows = []
    for lab in record.labs:
        s = before.get((lab.lab_id, lab.time))
        old = replaced.get((lab.lab_id, lab.time))
        new = seen is not None and (lab.lab_id, lab.time) not in seen
        late = new and lab.time < previous[1].now
        beyond = lab.censoring in ("left", "right")
        state = "corrected" if old is not None else "late" if late else "censored" if beyond else "used"
        ends = None if s is None else s.ends
        rows.append(page.LabEntry(
            lab_id=lab.lab_id, output=lab.output, time=lab.time, known_time=lab.known_time, shown=shown_value(lab),
            value=lab.value, comparator={"left": "<", "right": ">"}.get(lab.censoring, ""),
            unit=unit.get(lab.output, ""), when=day_text(model, lab.time),
            known_when=day_text(model, lab.known_time), state=state, old_value=old.value if old is not None else None,
            replaces=shown_value(old) if old is not None else "", limit=lab.value if beyond else None,
            forecast_before={q: s.quantiles[q] for q in LEVELS} if s is not None else None,
            pit=ends, pit_drawn=s.pit if s is not None else None,
            log_score=s.log_score if s is not None else None, alarm=s.alarm if s is not None else "", new=new,
            upper=lab.upper, counted=s is not None and s.pit_range is not None,
        ))  # fmt: skip
    return tuple(rows)


def course_events(model, record, now):
    """A `page.CourseEvent` per clinical event up to `now` that is drawn on the time axis."""
    words = {
        "line_of_therapy": "start of",
        "infusion": "infusion of",
        "leukapheresis": "leukapheresis",
        "progression": "progression",
        "death": "death",
    }
    found = []
    for event in record.events:
        if event.event in words and event.time <= now:
            label = model.treatment(event.value).label if event.value in model.treatment_names else event.value
            found.append(
                page.CourseEvent(event.time, f"{words[event.event]} {label}".strip(), day_text(model, event.time))
            )
    return tuple(found)


def refused_entry(row):
    """A `page.RefusedRow` of one `Refusal`; the patient is left out, since the page is theirs."""
    return page.RefusedRow(
        str(row.file), str(row.row), str(row.column), str(row.value), row.reason, row.allowed, row.next_step
    )
