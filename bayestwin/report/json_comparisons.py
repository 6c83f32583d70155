"""Pairs of treatments in the machine-readable report.

A difference is shown only with its 80 % range and its range over the assumed correlation of responses, and only
between two rows that are both estimated. "No clear difference" is the rule, not the exception.
"""

import math

from bayestwin.report import rounding, wording
from bayestwin.report.json_forecasts import EVENT_WORDS, count_words, estimated
from bayestwin.report.model import ReportInput


def comparisons(inputs: ReportInput, sayings) -> list[dict]:
    """Pairs of treatments. A difference appears only with its 80 % range and its range over rho."""
    rows = {row.name: row for row in inputs.treatments}
    return [
        _comparison(inputs, pair, rows, sayings) for pair in inputs.comparisons if pair.a in rows and pair.b in rows
    ]


def _comparison(inputs, pair, rows, sayings):
    first, second = rows[pair.a], rows[pair.b]
    entry: dict = {
        "a": pair.a,
        "b": pair.b,
        "a_label": first.label,
        "b_label": second.label,
        "month": pair.month,
        "chance_difference": None,
        "confidence_b_higher": None,
        "pairs": None,
        "months_gained": None,
        "basis": pair.basis,
        "clear": None,
        "by_rho": [],
        "row_sentence": None,
        "sentences": [],
    }
    marks = [row.landmark(pair.month) for row in (first, second)]
    errors = [*(mark and mark.mcse for mark in marks), *([] if pair.mcse is None else [pair.mcse]), *pair.by_rho_mcse]
    steps = [None if error is None else rounding.step_for(error, inputs.numbers.ess) for error in errors]
    reason = pair.withheld
    if not (estimated(first) and estimated(second)):
        reason = "one of the two is " + wording.NOT_ESTIMATED
    elif not reason and (pair.difference is None or pair.p80 is None):
        reason = "the difference or its range is not computed"
    elif not reason and not pair.by_rho:
        reason = "its range over the assumed correlation of responses is not computed"
    elif not reason and None in steps:
        reason = "the Monte Carlo error is too large"
    labels = {"A": wording.short_label(first.label), "B": wording.short_label(second.label)}
    if reason:
        entry["withheld"] = reason
        entry["sentences"].append(sayings.say("T4withheld", reason=reason, **labels))
        return entry
    _fill_difference(inputs, pair, entry, max(steps), labels, sayings)
    return entry


def _fill_difference(inputs, pair, entry, step, labels, sayings):
    horizon, free = f"{inputs.clock.horizon_months:g}", EVENT_WORDS.get(inputs.endpoint, ("event-free",))[0]
    pairs_step = 1 if pair.pairs_mcse is None else rounding.step_for(max(pair.pairs_mcse), inputs.numbers.ess)
    if pair.pairs and pairs_step:
        later_a, later_b, both = rounding.split(pair.pairs, 100, pairs_step)
        entry["pairs"] = dict(zip(("a", "b", "both"), pair.pairs))
        words = [rounding.points_words(value, pairs_step) for value in (later_b, later_a, both)]
        entry["pairs_shown"] = words
        entry["sentences"].append(sayings.say("T3", b=words[0], a=words[1], t=words[2], free=free, H=horizon, **labels))
    signs = {math.copysign(1, value) for _, value, _, _ in pair.by_rho if abs(value) > 0.005}
    clear = wording.is_clear(pair.confidence_b_higher, pair.difference) and len(signs) < 2
    confidence = "" if pair.confidence_b_higher is None else count_words(round(100 * pair.confidence_b_higher))
    verdict = (
        wording.TEMPLATES["T4clear"].format(
            verbal=wording.verbal(pair.confidence_b_higher), c=confidence, B=wording.isolated(labels["B"])
        )
        if clear
        else "No clear difference."
    )
    low, high = min(item[2] for item in pair.by_rho), max(item[3] for item in pair.by_rho)
    spread = rounding.signed_range(min(low, pair.p80[0]), max(high, pair.p80[1]), step).split(" to ")
    filled = {
        "h": f"{pair.month:g}",
        "d": rounding.signed_points(pair.difference, step),
        "range": rounding.signed_range(*pair.p80, step),
        "verdict": verdict,
    }
    rhos = wording.joined([f"{rho:g}" for rho, *_ in pair.by_rho])
    entry["sentences"].append(
        sayings.say("T4", basis=wording.BASIS.get(pair.basis, wording.BASIS["model"]), **filled, **labels)
    )
    entry["sentences"].append(sayings.say("T4rho", rhos=rhos, low=spread[0], high=spread[1]))
    entry["row_sentence"] = sayings.say(
        "T4row", rhos=rhos, low=spread[0], high=spread[1], **filled | {"verdict": "" if clear else verdict}, **labels
    )
    entry.update(
        chance_difference={
            "value": pair.difference,
            "mcse": pair.mcse,
            "p80": list(pair.p80),
            "shown": filled["d"],
            "range_shown": filled["range"],
        },
        confidence_b_higher=pair.confidence_b_higher,
        clear=clear,
        by_rho=[
            {
                "rho": rho,
                "rho_shown": f"{rho:g}",
                "value": value,
                "p80": [lo, hi],
                "shown": rounding.signed_points(value, step),
                "range_shown": rounding.signed_range(lo, hi, step),
            }
            for rho, value, lo, hi in pair.by_rho
        ],
    )
    if pair.months_gained is not None and pair.months_gained_p80 is not None:
        step = rounding.month_step(abs(pair.months_gained), pair.months_gained_mcse)
        low, high = pair.months_gained_p80
        entry["months_gained"] = {
            "value": pair.months_gained,
            "mcse": pair.months_gained_mcse,
            "p80": list(pair.months_gained_p80),
            "shown": rounding.NOT_SHOWN,
            "range_shown": rounding.NOT_SHOWN,
        }
        if step is not None:
            entry["months_gained"]["shown"] = rounding.signed_months(pair.months_gained, step)
            entry["months_gained"]["range_shown"] = rounding.signed_months_range(low, high, step)
