"""Outputs, labs, events and refused rows, as plain values."""

from bayestwin.prognosis.courses import ends_of
from bayestwin.prognosis.plan import current_treatment
from bayestwin.records import Lab
from bayestwin.report import model as page
from bayestwin.report.gather_clock import day_text
from bayestwin.report.gather_patient import shown_value
from bayestwin.report.gather_record import is_changed, lab_name

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
        note = "No treatment after progression is modelled."
    if observation.output == "transgene":
        note = "copies/ug are not comparable between products."
    log = model.progression is not None and not observation.discrete
    return page.Output(
        observation.output, observation.label or observation.output, observation.unit,
        scale="log" if log else "linear", limit=observation.lower_limit,
        highest=None if observation.discrete else ends_of(observation)[1],
        reference_lines=lines, note=note,
    )  # fmt: skip


def lab_ledger(twin, previous):
    """A `page.LabEntry` per lab of the record, in its order: state, value it replaced, what was expected of it.

    Labs that were believed once and are no longer (retracted) follow with the value they had.
    previous : (twin, prognosis) of the last report, or None. A lab is new that the last report had not seen, or not
        with this value; without one every lab is, since nobody has been told of its surprise.
    """
    model, record = twin.model, twin.record
    learnt = {(s.lab_id, s.time): s for info in twin.history for s in info.surprise}
    seen = {lab_name(lab): lab for lab in previous[0].record.labs} if previous else {}
    replaced = {lab_name(old.row): old for old in record.past if isinstance(old.row, Lab)}  # the last version of each
    rows = []
    for lab in record.labs:
        s, old = learnt.get((lab.lab_id, lab.time)), replaced.pop(lab_name(lab), None)
        before = seen.get(lab_name(lab))
        late = previous is not None and before is None and lab.time < previous[1].now
        beyond = lab.censoring in ("left", "right")
        state = "corrected" if old is not None else "late" if late else "censored" if beyond else "used"
        new = before is None or is_changed(before, lab)
        corrected = {} if old is None else {"old_value": old.row.value, "replaces": shown_value(old.row)}
        rows.append(
            page.LabEntry(
                **_reported(model, lab, s, record.time_zero), **_scored(lab, s), **corrected, state=state, new=new
            )
        )
    for old in replaced.values():
        lab, reason = old.row, f"retracted, known on {day_text(model, old.until, record.time_zero)}"
        given = _reported(model, lab, learnt.get((lab.lab_id, lab.time)), record.time_zero)
        rows.append(
            page.LabEntry(**given, state="retracted", reason=reason, reason_letter="r", new=lab_name(lab) in seen)
        )
    return tuple(rows)


def _reported(model, lab, s, zero):
    """What a ledger row says of a lab as it was reported, and what was forecast before it arrived (s, or None)."""
    observation = next((o for o in model.observations if o.output == lab.output), None)
    floor = ends_of(observation)[0] if observation is not None else float("-inf")
    return {
        "lab_id": lab.lab_id,
        "output": lab.output,
        "time": lab.time,
        "known_time": lab.known_time,
        "shown": shown_value(lab),
        "value": lab.value,
        "comparator": {"left": "<", "right": ">"}.get(lab.censoring, ""),
        "unit": observation.unit if observation is not None else "",
        "when": day_text(model, lab.time, zero),
        "known_when": day_text(model, lab.known_time, zero),
        "limit": lab.value if lab.censoring in ("left", "right") else None,
        "forecast_before": {q: max(s.quantiles[q], floor) for q in LEVELS} if s is not None else None,
        "upper": lab.upper,
    }


def _scored(lab, s):
    """How surprising a lab was; nothing where what was learnt then was another value of it."""
    if s is None or (s.value, s.upper, s.censoring) != (lab.value, lab.upper, lab.censoring):
        return {}
    return {
        "pit": s.ends,
        "pit_drawn": s.pit,
        "log_score": s.log_score,
        "alarm": s.alarm,
        "counted": s.pit_range is not None,
    }


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
                page.CourseEvent(
                    event.time, f"{words[event.event]} {label}".strip(), day_text(model, event.time, record.time_zero)
                )
            )
    return tuple(found)


def refused_entry(row):
    """A `page.RefusedRow` of one `Refusal`; the patient is left out, since the page is theirs."""
    return page.RefusedRow(
        str(row.file), str(row.row), str(row.column), str(row.value), row.reason, row.allowed, row.next_step
    )
