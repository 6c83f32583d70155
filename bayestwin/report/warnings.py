"""When a report may be read: SHOWN, SHOWN WITH CAUTION or WITHHELD (report_spec 3.4).

One function per rule of the table, one function that joins them. Every warning prints its number,
because a bare flag raises confidence where a graded one shows limits. `bare` is the same text without any
forecast number: it is what a withheld report may print.

The table itself, with its thresholds, is warning_table.py.
"""

import math
from datetime import date

from bayestwin.report.model import LabEntry, ReportInput
from bayestwin.report.number_rules import NUMBER_RULES
from bayestwin.report.rounding import lab_value, nearest
from bayestwin.report.warning_table import (
    BASE_GAP,
    CAUTION,
    DATA_GAP,
    LAB_AGE_DAYS,
    MAIN_MONTH,
    MOVED,
    NOTE,
    PIT_TAIL,
    SHOWN,
    SIMILAR,
    UNIT_RATIO,
    WITHHELD,
    Warned,
    warn,
)
from bayestwin.units import convert


def evaluate(inputs: ReportInput) -> tuple[Warned, ...]:
    """All rules on one input, in the order of the table."""
    found = []
    for rule in (
        _context,
        _support,
        _data_age,
        _data_counts,
        _surprise,
        _course,
        *NUMBER_RULES,
        _moved,
        _version,
        _comparators,
        _record,
    ):
        found.extend(rule(inputs))
    return tuple(found)


def state_of(warned) -> str:
    """The page state: the gravest severity; notes and row marks do not change it."""
    grave = {item.severity for item in warned}
    return WITHHELD if WITHHELD in grave else CAUTION if CAUTION in grave else SHOWN


def lab_age_days(inputs: ReportInput) -> float | None:
    """Age of the newest informative lab when the report is read, days; at the data cut where the record has no dates.

    None without labs.
    """
    age, cut = lab_age_at_cut(inputs), inputs.clock.data_cut_date
    if age is None or not cut:
        return age
    asked = inputs.clock.as_of or inputs.clock.generated
    since = (date.fromisoformat(asked[:10]) - date.fromisoformat(cut[:10])).days
    return age + max(since, 0)


def lab_age_at_cut(inputs: ReportInput) -> float | None:
    """Days between the newest informative lab and the data cut; None without labs."""
    times = [lab.time for lab in inputs.labs if lab.state in ("used", "censored", "late", "corrected")]
    return convert(inputs.clock.data_cut_time - max(times), inputs.clock.time_unit, "day") if times else None


def _context(inputs):
    for problem in inputs.patient.context_problems:
        yield warn("W-CTX-OUT", WITHHELD, problem)
    p = inputs.patient.covariate_p
    if p is not None and p < 0.01:
        rare = "1000" if p < 0.001 else "100"
        yield warn(
            "W-CTX-EDGE",
            WITHHELD if p < 0.001 else CAUTION,
            f"fewer than 1 in {rare} training patients look like this patient",
            p=p,
        )


def _support(inputs):
    for row in inputs.ordered_treatments():
        if not row.support.estimated:
            yield warn("W-SUPPORT", NOTE, f"{row.label}: not estimated ({row.support.reason})", treatment=row.name)
        elif row.support.similar is not None and row.support.similar < SIMILAR:
            yield warn(
                "W-SUPPORT",
                NOTE,
                f"{row.label}: not estimated ({row.support.similar} similar patients, at least {SIMILAR} needed)",
                treatment=row.name,
                similar=row.support.similar,
            )


def _data_age(inputs):
    limit, age = LAB_AGE_DAYS.get(inputs.patient.phase), lab_age_days(inputs)
    if limit is not None and age is not None and age > limit:
        yield warn(
            "W-DATA-OLD",
            WITHHELD if age > 2 * limit else CAUTION,
            f"newest lab is {age:.0f} days old (at most {limit:.0f} expected now)",
            age_days=age,
            limit_days=limit,
        )


def _data_counts(inputs):
    effects = {effect.kind: effect for effect in inputs.data_effects}
    for code, kind, states in (
        ("W-DATA-LATE", "late", ("late",)),
        ("W-DATA-CORR", "corrected", ("corrected", "retracted")),
        ("W-DATA-REJ", "rejected", ("rejected", "duplicate")),
        ("W-DATA-MISS", "missing", ("missing", "overdue")),
    ):
        count = sum(lab.state in states for lab in inputs.labs) + (len(inputs.refused) if kind == "rejected" else 0)
        effect = effects.get(kind)
        if effect is not None and abs(effect.chance_with - effect.chance_without) >= DATA_GAP:
            gap = abs(nearest(effect.chance_with, 5) - nearest(effect.chance_without, 5))
            yield warn(
                code,
                CAUTION,
                f"{count} {kind} labs move the 12-month chance by about {max(gap, 5)} points",
                f"{count} {kind} labs move the forecast",
                count=count,
            )
        elif count:
            yield warn(code, NOTE, f"{count} {kind}", count=count)
    if inputs.outputs and lab_age_days(inputs) is None:
        yield warn("W-DATA-MISS", CAUTION, "no lab of this patient used yet")


def _surprise(inputs):
    for lab in inputs.labs:
        if lab.new and (is_surprising(lab) or lab.alarm):
            label = next((out.label for out in inputs.outputs if out.name == lab.output), lab.output)
            outside = "was outside what was expected" + (" (possible unit error)" if may_be_tenfold(lab) else "")
            said = outside if is_surprising(lab) else f"is more likely {lab.alarm} than right (possible unit error)"
            values = {"lab_id": lab.lab_id} | ({"pit": lab.pit[0]} if lab.pit else {})
            yield warn("W-FIT-1", CAUTION, f"{label} of {lab_when(lab, inputs)} {said}", **values)


def is_surprising(lab: LabEntry) -> bool:
    """The whole one-step-ahead probability lies in an outer tail."""
    return lab.pit is not None and (lab.pit[1] < PIT_TAIL or lab.pit[0] > 1 - PIT_TAIL)


def may_be_tenfold(lab: LabEntry) -> bool:
    """Ten times or a tenth of what was expected: by its Bayes factor, or by its ratio to the median."""
    return bool(lab.alarm) or unit_ratio(lab) is not None


def unit_ratio(lab: LabEntry) -> float | None:
    """The value over its forecast median where that is near 10 or 0.1, else None; not asked of an interval."""
    median = (lab.forecast_before or {}).get(0.5)
    if not median or not lab.value or lab.upper is not None or lab.counted or median <= 0 or lab.value <= 0:
        return None
    ratio = lab.value / median
    low, high = UNIT_RATIO
    return ratio if low <= ratio <= high or low <= 1 / ratio <= high else None


def lab_when(lab: LabEntry, inputs: ReportInput) -> str:
    """The specimen time as printed."""
    return lab.when or f"{inputs.clock.time_unit} {lab.time:g}"


def _course(inputs):
    if inputs.fit_p is not None and inputs.fit_p < 0.01:
        rare = "1000" if inputs.fit_p < 0.001 else "100"
        yield warn(
            "W-FIT-2",
            WITHHELD if inputs.fit_p < 0.001 else CAUTION,
            f"labs contradict the model (fewer than 1 in {rare} courses are this far off)",
            fit_p=inputs.fit_p,
        )
        return
    for output in inputs.outputs:
        seen = sorted((lab.time, lab.pit) for lab in inputs.labs if lab.output == output.name and lab.pit is not None)[
            -3:
        ]
        if len(seen) == 3 and (all(pit[0] > 0.9 for _, pit in seen) or all(pit[1] < 0.1 for _, pit in seen)):
            yield warn(
                "W-FIT-2",
                CAUTION,
                f"labs contradict the model (last 3 {output.label} values beyond the same end of the 80 % range)",
                output=output.name,
            )


def _moved(inputs):
    steps, main = inputs.change.steps, inputs.main_treatment()
    if steps and abs(steps[-1].after - steps[0].before) >= MOVED:
        gap = abs(nearest(steps[-1].after, 5) - nearest(steps[0].before, 5))
        yield warn(
            "W-MOVED",
            CAUTION,
            f"12-month chance moved by about {gap} points",
            "the forecast moved much since the last report",
        )
    half = inputs.change.previous_middle_half
    if half and main and main.event is not None:
        median = main.event.quantiles[0.5]
        if not half[0] <= median <= half[1] and not (math.isinf(median) and math.isinf(half[1])):
            yield warn("W-MOVED", CAUTION, "the new middle of the forecast lies outside the old middle half")
    if any(pair.sign_changed for pair in inputs.comparisons):
        yield warn("W-MOVED", CAUTION, "a difference between treatments changed its sign")


def _version(inputs):
    if inputs.change.version_changed:
        yield warn("W-VERSION", CAUTION, "model or prior changed since the last report")


def _comparators(inputs):
    main = inputs.main_treatment()
    mark = main.landmark(MAIN_MONTH) if main else None
    for rival in inputs.comparators if mark else ():
        if rival.chance is not None and abs(rival.chance - mark.chance) >= BASE_GAP:
            gap = abs(nearest(rival.chance, 5) - nearest(mark.chance, 5))
            yield warn(
                "W-BASE",
                CAUTION,
                f"{rival.name} and the twin differ by about {gap} points at 12 months",
                f"{rival.name} disagrees with the twin",
            )


def _record(inputs):
    untested = [row.label for row in inputs.ordered_treatments() if not row.tested_outside]
    if untested:
        yield warn(
            "W-RECORD", NOTE, f"{len(untested)} of {len(inputs.treatments)} treatments not tested on outside patients"
        )


def surprise_values(lab: LabEntry, limit: float | None = None) -> tuple[str, str] | None:
    """The 80 % limits expected before a lab arrived, as printed; `limit` of quantification of its output."""
    before = lab.forecast_before or {}
    return (lab_value(before[0.1], limit), lab_value(before[0.9], limit)) if 0.1 in before and 0.9 in before else None


def months(inputs: ReportInput, time: float) -> float:
    """Model time to months."""
    return convert(time, inputs.clock.time_unit, "month")
