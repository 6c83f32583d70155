"""What changed since the last report, and what would change the forecast next."""

from bayestwin.report import rounding, wording
from bayestwin.report.json_forecasts import count_words
from bayestwin.report.model import ReportInput
from bayestwin.report.warnings import MAIN_MONTH

CAUSES = {
    "time": "time passed",
    "labs": "new labs",
    "amended": "late, corrected or retracted labs",
    "doses": "doses and events",
    "version": "model version",
    "start": "later start",
    "rebuilt": "rebuilt twin",
    "none": "nothing new",
}

TOO_LARGE = "How far the chance moved is not shown: the Monte Carlo error is too large."


def change(inputs: ReportInput, sayings) -> dict:
    """The bridge from the last report: one row per cause, each before and after with its range."""
    moved, mark = inputs.change, _main_mark(inputs)
    step = rounding.step_for(None if mark is None else mark.mcse, inputs.numbers.ess) or 10
    if moved.steps:  # what is compared is as fine as the coarser of the two
        step = max(step, *(_own_step(e, step) or 10 for e in (moved.steps[0].before_mcse, moved.steps[-1].after_mcse)))
    bridge = [
        {
            "cause": item.cause,
            "step": _cause_words(item.cause),
            "text": item.text,
            "before": item.before,
            "after": item.after,
            "before_p80": item.before_p80,
            "after_p80": item.after_p80,
            "before_mcse": item.before_mcse,
            "after_mcse": item.after_mcse,
            "before_shown": _with_range(item.before, item.before_p80, _own_step(item.before_mcse, step)),
            "after_shown": _with_range(item.after, item.after_p80, _own_step(item.after_mcse, step)),
        }
        for item in moved.steps
    ]
    entry: dict = {
        "previous_report": moved.previous or None,
        "bridge": bridge,
        "largest_lab": moved.largest_lab or None,
        "largest_lab_moved": moved.largest_lab_moved,
        "moved": None,
        "expected_share": moved.expected_share,
        "sentences": [],
        "bold": False,
        "version_changed": moved.version_changed,
    }
    month = f"{MAIN_MONTH:g}"
    if bridge:
        first, last = moved.steps[0].before, moved.steps[-1].after
        entry["moved"], entry["bold"] = last - first, abs(last - first) >= 0.15
        ends = moved.steps[0].before_mcse, moved.steps[-1].after_mcse
        if None in [_own_step(error, step) for error in ends]:
            entry["sentences"].append(sayings.say("nothing", reason=TOO_LARGE))
        elif round(100 * abs(last - first), 6) < step:
            entry["sentences"].append(
                sayings.say("T7small", h=month, step=step, date=moved.previous_when or "the last report")
            )
        else:
            share = moved.expected_share
            expected = (
                wording.TEMPLATES["T7unknown"]
                if share is None
                else wording.TEMPLATES["T7expected"].format(e=count_words(round(100 * share)))
            )
            entry["sentences"].append(
                sayings.say(
                    "T7",
                    h=month,
                    p0=_with_range(first, moved.steps[0].before_p80, step),
                    p1=_with_range(last, moved.steps[-1].after_p80, step),
                    date=moved.previous_when or "the last report",
                    cause=_main_reason(moved.steps, step),
                    expected=expected,
                )
            )
    elif moved.prior_chance is not None:
        around = (
            f" ({rounding.range_words(*moved.prior_p80, moved.prior_chance, step)})"
            if moved.prior_p80
            else " (range not available)"
        )
        entry["sentences"].append(
            sayings.say("first", h=month, p=rounding.about(moved.prior_chance, step) + " in 100", range=around)
        )
    else:
        entry["sentences"].append(
            sayings.say("nothing", reason=moved.reason) if moved.reason else sayings.say("firstbare")
        )
    if moved.largest_lab and moved.largest_lab_moved is not None:
        entry["sentences"].append(
            sayings.say(
                "largest", h=month, lab=moved.largest_lab, d=rounding.signed_points(moved.largest_lab_moved, step)
            )
        )
    elif bridge:
        entry["sentences"].append(sayings.say("nolargest"))
    if moved.narrowed is not None and moved.narrowed < 0.2:
        entry["sentences"].append(
            sayings.say("T10", s=rounding.share_words(rounding.nearest(max(moved.narrowed, 0), 5)))
        )
    return entry


def _main_reason(steps, rounded: int) -> str:
    """What moved the chance most, in words; all causes where the printed numbers, which are rounded, say another."""
    largest = max(steps, key=lambda item: abs(item.after - item.before))

    def shown(item) -> int:
        return abs(rounding.nearest(item.after, rounded) - rounding.nearest(item.before, rounded))

    if shown(largest) < max(map(shown, steps)):
        return " together with ".join(_cause_words(item.cause) for item in steps)
    return _cause_words(largest.cause)


def _cause_words(cause: str) -> str:
    """One cause, or several that are not told apart, as printed."""
    return wording.joined([CAUSES.get(part, part) for part in cause.split("+")])


def _main_mark(inputs):
    main = inputs.main_treatment()
    return main.landmark(MAIN_MONTH) if main else None


def _own_step(mcse, step: int) -> int | None:
    """Step of a chance of this error, at least that of the page; None where it is too large to show one."""
    own = step if mcse is None else rounding.step_for(mcse)
    return None if own is None else max(own, step)


def _with_range(chance, p80, step):
    if step is None:
        return "Monte Carlo error too large"
    words = rounding.points_words(rounding.nearest(chance, step), step)
    return f"{words} ({rounding.range_words(*p80, chance, step) if p80 else 'range not available'})"


def next_information(inputs: ReportInput, sayings) -> list[dict]:
    """The planned lab expected to narrow the range most, and what its results would say."""
    lab = inputs.next_lab
    if lab is None:
        return []
    sentences, month = [], f"{MAIN_MONTH:g}"
    if lab.width_now is not None and lab.width_expected is not None:
        sentences.append(
            sayings.say(
                "next",
                lab=lab.label,
                when=f" ({lab.when})" if lab.when else "",
                h=month,
                now=rounding.nearest(lab.width_now, 5),
                then=rounding.nearest(lab.width_expected, 5),
            )
        )
    sentences += [
        sayings.say(
            "nextif",
            outcome=outcome,
            p=rounding.points_words(rounding.nearest(chance, 5), 5),
            range=f" ({rounding.range_words(*limits, chance, 5)})" if limits else " (range not available)",
        )
        for outcome, chance, limits in lab.outcomes
    ]
    return [
        {
            "lab": lab.label,
            "date": lab.when,
            "width_now": lab.width_now,
            "width_expected": lab.width_expected,
            "if": [{"outcome": outcome, "chance": chance, "p80": limits} for outcome, chance, limits in lab.outcomes],
            "sentences": sentences,
        }
    ]


def comparators(inputs: ReportInput, sayings) -> list[dict]:
    """Simple rivals beside the twin."""
    return [
        {
            "name": rival.name,
            "chance": rival.chance,
            "source": rival.source,
            "sentence": sayings.say(
                "comparator",
                name=rival.name,
                p=rounding.points_words(rounding.nearest(rival.chance, 5), 5),
                source=f" ({rival.source}; no range is given by it)" if rival.source else " (no range is given by it)",
            )
            if rival.chance is not None
            else sayings.say("nothing", reason=f"{rival.name}: {rival.reason or 'not computed'}"),
        }
        for rival in inputs.comparators
    ]
