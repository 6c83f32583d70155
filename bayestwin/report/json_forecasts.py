"""The forecast part of the machine-readable report: one entry per treatment.

Every printed number stands beside its exact value as `shown`; sentences are pointers into `text`.
"""

import math

from bayestwin.report import rounding, wording
from bayestwin.report.model import EventForecast, Landmark, ReportInput, TreatmentForecast

EVENT_WORDS = {
    "progression or death": ("progression-free", "progress or die"),
    "progression": ("free of progression", "progress"),
    "death": ("alive", "die"),
}


def finite(value):
    """The value as JSON can hold it: infinities and NaN become null."""
    return None if value is None or not math.isfinite(value) else float(value)


def treatments(inputs: ReportInput, sayings) -> list[dict]:
    """One entry per treatment in the fixed order: current and planned first, then alphabetical."""
    entries = [_treatment(inputs, row, place, sayings) for place, row in enumerate(inputs.ordered_treatments())]
    styles = iter(range(len(entries)))
    for entry in entries:  # colours and dashes are counted over the rows that are drawn
        entry["style"] = next(styles) if entry["support"]["status"] == "estimated" else None
    return entries


def estimated(row: TreatmentForecast) -> bool:
    """Whether numbers of this row may be shown."""
    return row.estimated


def _treatment(inputs, row, place, sayings):
    shown = estimated(row)
    reason = wording.shorten(row.support.reason, 200) or (
        "" if shown else f"only {row.support.similar} similar patients"
    )
    entry: dict = {
        "id": row.name,
        "label": row.label,
        "label_short": wording.short_label(row.label),
        "role": row.role,
        "regimen": list(row.regimen),
        "assumption": row.assumption,
        "given_before": f"{row.given_before[:1].upper()}{row.given_before[1:]}",
        "evidence": row.evidence or "evidence not stated",
        "evidence_short": wording.shorten(row.evidence or "evidence not stated", 95),
        "tested_outside": row.tested_outside,
        "support": {
            "status": "estimated" if shown else "not_estimated",
            "n_similar": row.support.similar,
            "reason": reason,
            "shown": f"{wording.NOT_ESTIMATED}: {reason}" if not shown else "estimated",
        },
        "place": place,
        "event_time": None,
        "landmarks": [],
        "progression_time": None,
        "infusion_landmarks": [],
        "progression_landmarks": [],
        "outcomes": [],
        "response": [],
        "toxicity": [],
        "sentences": [],
    }
    if not shown:
        return entry
    entry["landmarks"] = [_landmark(inputs, row, mark, inputs.endpoint, sayings) for mark in row.landmarks]
    entry["infusion_landmarks"] = [
        _landmark(inputs, row, mark, inputs.endpoint, sayings, since="the infusion") for mark in row.infusion_landmarks
    ]
    entry["progression_landmarks"] = [
        _landmark(inputs, row, mark, "progression", sayings) for mark in row.progression_landmarks
    ]
    entry["event_time"] = _event(inputs, row.event, sayings) if row.event else None
    entry["progression_time"] = _event(inputs, row.progression, sayings) if row.progression else None
    withheld = {mark["month"] for mark in entry["landmarks"] if mark["chance"] is None}
    marks = {mark["month"]: mark for mark in entry["landmarks"]}
    entry["outcomes"] = [_outcome(item, marks.get(item.month)) for item in row.outcomes if item.month not in withheld]
    entry["response"] = [_response(item) for item in row.responses]
    return entry


def _landmark(inputs: ReportInput, row, mark: Landmark, endpoint: str, sayings, since: str = "") -> dict:
    """One landmark; since : what its months count from, the data cut where nothing is said."""
    step = rounding.step_for(mark.mcse, inputs.numbers.ess)
    month = f"{mark.month:g}"
    if step is None:
        return {
            "month": mark.month,
            "month_shown": month,
            "chance": None,
            "shown": "not shown",
            "other_shown": "not shown",
            "step": None,
            "mcse": mark.mcse,
            "knowledge": None,
            "knowledge_reason": "",
            "range_shown": "Monte Carlo error too large",
            "approximate": False,
            "sentence": None,
            "doubt": None,
        }
    p80 = (mark.knowledge or {}).get(0.8)
    free = EVENT_WORDS.get(endpoint, ("event-free", ""))[0]
    words = {
        "x": wording.short_label(row.label),
        "p": rounding.about(mark.chance, step),
        "q": rounding.about_other(mark.chance, step),
        "free": free,
        "h": month,
        "cut": since or inputs.clock.data_cut,
    }
    if p80:
        sentence = sayings.say("T1", range=rounding.range_words(*p80, mark.chance, step), **words)
        range_shown = rounding.range_words(*p80, mark.chance, step)
    else:
        sentence = sayings.say("T1n", reason=mark.knowledge_reason or "not computed", **words)
        range_shown = "range not available"
    points = rounding.nearest(mark.chance, step)
    return {
        "month": mark.month,
        "month_shown": month,
        "chance": mark.chance,
        "shown": rounding.points_words(points, step),
        "other_shown": rounding.points_words(100 - points, step),
        "step": step,
        "mcse": mark.mcse,
        "knowledge": {f"p{round(100 * level)}": list(limits) for level, limits in sorted(mark.knowledge.items())}
        if mark.knowledge
        else None,
        "knowledge_reason": mark.knowledge_reason,
        "range_shown": range_shown,
        "approximate": mark.approximate,
        "sentence": sentence,
        "doubt": _doubt(mark),
    }


def _doubt(mark: Landmark) -> dict | None:
    if mark.doubt is None:
        return None
    shown = [rounding.share_words(points) for points in rounding.split(mark.doubt, 100, 5)]
    return {
        "patient": mark.doubt[0],
        "knowledge": mark.doubt[1],
        "chance": mark.doubt[2],
        "shown": shown,
        "mcse": mark.doubt_mcse,
        "mcse_shown": "not computed" if mark.doubt_mcse is None else _points(max(1, math.ceil(100 * mark.doubt_mcse))),
    }


def _points(number: int) -> str:
    return "1 point" if number == 1 else f"{number} points"


def _event(inputs: ReportInput, event: EventForecast, sayings) -> dict:
    horizon, q = inputs.clock.horizon_months, event.quantiles
    errors = event.errors
    of_levels, of_dots = (errors.quantiles, errors.dots) if errors else ({}, (None,) * len(event.dots))
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    in_order = rounding.months_in_order([q[x] for x in levels], horizon, [of_levels.get(x) for x in levels])
    words = dict(zip(levels, in_order))
    first = words[0.1].removeprefix("under ")  # "before 3", not "before under 3"
    after = _of_20(sum(not math.isfinite(dot) for dot in event.dots), errors.after_horizon if errors else None)
    hidden = rounding.NOT_SHOWN in (words[level] for level in levels if level != 0.5)
    verb = EVENT_WORDS.get(event.endpoint, ("", "have the event"))[1]
    filled = {
        "event": verb,
        "q10": first,
        "q25": words[0.25],
        "q75": words[0.75],
        "q90": words[0.9],
        "after": after,
        "h": f"{horizon:g}",
    }
    name = (
        "T2few"
        if hidden
        else "T2"
        if math.isfinite(q[0.9])
        else "T2open"
        if math.isfinite(q[0.75])
        else "T2late"
        if math.isfinite(q[0.25])
        else "T2beyond"
    )
    sentences = [sayings.say(name, **filled)]
    if event.two_groups:
        share, t1, t2, t3 = event.two_groups
        sentences.append(
            sayings.say(
                "T5",
                a=rounding.points_words(rounding.nearest(share, 5), 5),
                t1=rounding.month_words(t1, horizon),
                t2=rounding.month_words(t2, horizon),
                t3=rounding.month_words(t3, horizon),
            )
        )
    late = f"after {words[0.9]}" if math.isfinite(q[0.9]) else f"past {horizon:g}"
    early = f"before {first}" if math.isfinite(q[0.1]) else f"past {horizon:g}"
    tenths = [
        rounding.NOT_SHOWN if words[level] == rounding.NOT_SHOWN else said
        for level, said in ((0.1, early), (0.9, late))
    ]
    died = _of_20(sum(event.dot_died), errors.death_share if errors else None)
    return {
        "endpoint": event.endpoint,
        "quantiles": {f"q{100 * level:g}": finite(value) for level, value in q.items()},
        "dots": [finite(dot) for dot in event.dots],
        "died": list(event.dot_died),
        "after_horizon": event.after_horizon,
        "death_share": event.death_share,
        "mcse": None
        if errors is None
        else {
            "quantiles": {f"q{100 * level:g}": error for level, error in errors.quantiles.items()},
            "dots": list(errors.dots),
            "after_horizon": errors.after_horizon,
            "death_share": errors.death_share,
        },
        "middle_half_shown": rounding.span_words(words[0.25], words[0.75]),
        "early_tenth_shown": tenths[0],
        "late_tenth_shown": tenths[1],
        "after_shown": f"{after} of 20",
        "dots_shown": [
            said if math.isfinite(dot) else "later"
            for dot, said in zip(event.dots, rounding.months_in_order(event.dots, horizon, of_dots))
        ],
        "died_shown": f"{died} of 20",
        "sentences": sentences,
    }


def _of_20(dots: int, mcse: float | None) -> str:
    """A number of dots, of 5 points each, as printed: one where the error of the share lets it stand, else from two
    errors below to two above, outward."""
    if mcse is None or rounding.step_for(mcse) == 5:
        return f"{dots}"
    within = math.ceil(2 * 20 * mcse) if math.isfinite(mcse) else 20
    return f"{max(0, dots - within)} to {min(20, dots + within)}"


def _outcome(item, mark):
    """Three outcomes in the steps of the landmark, whose chance and range are those of the first of them; where the
    error of the other two is larger, in theirs."""
    step = mark["step"] if mark else 10
    own = step if item.mcse is None else rounding.step_for(item.mcse)
    shown = [rounding.points_words(rounding.nearest(item.free, step), step), *[rounding.NOT_SHOWN] * 2]
    if own is not None:
        step = max(step, own)
        free = rounding.nearest(item.free, step)
        parts = (free, *rounding.split((item.progressed, item.died), 100 - free, step))
        shown = [rounding.points_words(part, step) for part in parts]
    return {
        "range_shown": mark["range_shown"] if mark else "range not available",
        "month": item.month,
        "month_shown": f"{item.month:g}",
        "free": item.free,
        "progressed": item.progressed,
        "died": item.died,
        "mcse": item.mcse,
        "shown": shown,
    }


def _response(item):
    exact = (item.cr, item.vgpr, item.pr, item.sd, item.pd)
    parts = rounding.split(exact, 100, 5)
    return {
        "day": item.day,
        "day_shown": f"{item.day:g}",
        **dict(zip(("cr", "vgpr", "pr", "sd", "pd"), exact)),
        "shown": [rounding.points_words(part, 5) for part in parts],
    }


def count_words(value: int) -> str:
    """A count of 100 as printed; never "0" or "100"."""
    return "fewer than 1" if value <= 0 else "more than 99" if value >= 100 else f"{value}"
