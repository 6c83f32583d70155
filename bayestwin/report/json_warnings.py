"""The table of warnings on page 4: which rule fired, and which could not be looked at.

A rule of which nothing was computed prints "not computed", never "no".
"""

from bayestwin.report import warnings as rules
from bayestwin.report.model import ReportInput
from bayestwin.report.warning_table import LAB_AGE_DAYS, RULES

GRAVITY = (rules.NOTE, rules.CAUTION, rules.WITHHELD)
ALL = "all"
EFFECTS = {"W-DATA-LATE": "late", "W-DATA-CORR": "corrected", "W-DATA-REJ": "rejected"}
OF_FORECASTS = ("W-MOVED", "W-BASE", *EFFECTS)


def warning_rows(inputs: ReportInput, warned, state: str) -> list[dict]:
    """All rules with their thresholds, whether each fired in this report, and what of it was not computed."""
    fired: dict[str, str] = {}
    for item in warned:  # a rule can fire more than once: its gravest severity counts
        fired[item.code] = max(fired.get(item.code, rules.NOTE), item.severity, key=GRAVITY.index)
    return [
        {
            "code": rule.code,
            "trigger": rule.trigger,
            "effect": rule.effect,
            "fired": _fired(inputs, rule.code, fired.get(rule.code), state == rules.WITHHELD),
        }
        for rule in RULES
    ]


def _fired(inputs: ReportInput, code: str, severity: str | None, withheld: bool) -> str:
    """What stands in the last column."""
    if severity in (rules.CAUTION, rules.WITHHELD):
        return severity.lower()
    said = (severity or "no").lower()
    if withheld and code in OF_FORECASTS:  # the input of a withheld page holds no forecast any more
        return f"{said}; the forecast is withheld"
    missing = _not_computed(inputs, code, severity)
    return said if not missing else "not computed" if missing == ALL else f"{said}; not computed: {missing}"


def _not_computed(inputs: ReportInput, code: str, severity: str | None) -> str:
    """What of a rule this report could not look at: ALL, a part in words, or ""."""
    who, change = inputs.patient, inputs.change
    effect = severity is not None and EFFECTS.get(code, "") not in {effect.kind for effect in inputs.data_effects}
    planned = any(lab.state in ("missing", "overdue") for lab in inputs.labs)
    of_all = {
        "W-CTX-EDGE": who.covariate_p is None,
        "W-BASE": all(rival.chance is None for rival in inputs.comparators),
        "W-DATA-OLD": rules.lab_age_days(inputs) is None or who.phase not in LAB_AGE_DAYS,
        "W-MOVED": not (change.steps or change.previous_middle_half),
    }
    of_part = {
        **dict.fromkeys(EFFECTS, "how far they move it" if effect else ""),
        "W-DATA-MISS": "" if planned else "which planned labs are missing",
        "W-FIT-2": "the score of the last six labs" if inputs.fit_p is None else "",
        "W-DATA-OLD": "" if inputs.clock.data_cut_date else "the age today, since the record has no dates",
        "W-CTX-OUT": ", ".join(f"{name} not recorded" for name in who.context_unknown),
    }
    return ALL if of_all.get(code, False) else of_part.get(code, "")
