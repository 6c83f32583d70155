"""The table of warnings: every rule, its trigger, its effect and its thresholds (report_spec 3.4).

It prints on page 4 as it stands here. Thresholds are starting values: tune on simulated patients for alarm rates,
then freeze.
"""

from dataclasses import dataclass

SHOWN, CAUTION, WITHHELD = "SHOWN", "SHOWN WITH CAUTION", "WITHHELD"
NOTE = "NOTE"
MAIN_MONTH = 12.0
LAB_AGE_DAYS = {"early_cell_therapy": 7.0, "on_treatment": 35.0, "follow_up": 100.0}
PIT_TAIL, UNIT_RATIO = 0.005, (7.0, 14.0)
TENFOLD_POWER = 0.95  # of a normal forecast with a log-SD of 0.45; where it is less, it is said
K_LIMIT, RHAT_LIMIT, RHAT_WITHHELD, TAIL_ESS, FEW_DRAWS = 0.7, 1.01, 1.05, 400, 10
MOVED, BASE_GAP, DATA_GAP, SIMILAR = 0.15, 0.20, 0.05, 10


@dataclass(frozen=True)
class Rule:
    """One line of the table on page 4: what triggers it, what it does, which row of block 5 carries it."""

    code: str
    row: str
    trigger: str
    effect: str
    next_step: str


@dataclass(frozen=True)
class Warned:
    """A rule that fired. severity NOTE, CAUTION or WITHHELD; text with numbers; bare without forecast numbers."""

    code: str
    severity: str
    text: str
    bare: str
    values: tuple[tuple[str, float | str], ...] = ()


def warn(code, severity, text, bare=None, **values) -> Warned:
    """A rule that fired; `bare` only where the text holds a forecast number."""
    return Warned(code, severity, text, text if bare is None else bare, tuple(values.items()))


RULES = (
    Rule(
        "W-CTX-OUT",
        "Context",
        "outside the stated purpose, treatment not in the catalogue, or a key unit missing",
        "WITHHELD",
        "check the diagnosis and the treatment list",
    ),
    Rule(
        "W-CTX-EDGE",
        "Context",
        "covariates like these in fewer than 1 in 100 training patients; fewer than 1 in 1000",
        "CAUTION; WITHHELD",
        "ask how this patient differs from those the model has seen",
    ),
    Rule(
        "W-SUPPORT",
        "Context",
        "no common support, fewer than 10 similar patients, or outside the trial's eligibility",
        "row not estimated",
        "read the row's reason",
    ),
    Rule(
        "W-DATA-OLD",
        "Data",
        "newest lab older than 7 d (first 28 d after cell therapy), 35 d (on treatment) or 100 d (follow-up); "
        "twice that",
        "CAUTION; WITHHELD",
        "add the newest labs and run again",
    ),
    Rule(
        "W-DATA-LATE",
        "Data",
        "late labs that move the 12-month chance by 5 points or more",
        "CAUTION; always counted",
        "read page 3",
    ),
    Rule(
        "W-DATA-CORR",
        "Data",
        "corrected labs that move it by 5 points or more",
        "CAUTION; always counted",
        "read page 3",
    ),
    Rule(
        "W-DATA-REJ",
        "Data",
        "rejected labs that would move it by 5 points or more",
        "CAUTION; always counted",
        "mend the refused rows on page 3",
    ),
    Rule(
        "W-DATA-MISS",
        "Data",
        "missing or overdue labs, no lab at all, or imputed key input that moves it by 5 points or more",
        "CAUTION; always counted",
        "add the missing labs",
    ),
    Rule(
        "W-FIT-1",
        "Fit",
        "a new lab in the outer 1 in 200 of what was expected at either end, or more likely tenfold than right",
        "CAUTION",
        "check sample and unit of that lab",
    ),
    Rule(
        "W-FIT-2",
        "Fit",
        "the last six labs together rarer than 1 in 100, or 3 in a row beyond the same end of the 80 % range; rarer "
        "than 1 in 1000",
        "CAUTION; WITHHELD",
        "look for a change the record does not tell (treatment, laboratory, disease)",
    ),
    Rule(
        "W-NUM-K",
        "Numbers",
        "Pareto k above min(1 - 1/log10 S, 0.7) without a rebuild from scratch",
        "WITHHELD",
        "rebuild the twin from the whole record",
    ),
    Rule(
        "W-NUM-ESS",
        "Numbers",
        "fewer than 1600 effective draws; fewer than 400",
        "steps of 10 points; WITHHELD",
        "run with more particles",
    ),
    Rule(
        "W-NUM-MC",
        "Numbers",
        "check not passed, population approximate, under 10 population draws left, R-hat above 1.01, divergences, "
        "tail draws under 400, solver failures over 1 in 1000, or Monte Carlo error over 2.5 points; R-hat above 1.05, "
        "divergences over 1 in 100",
        "CAUTION; WITHHELD",
        "run with more draws or rebuild the twin",
    ),
    Rule(
        "W-MOVED",
        "Track record",
        "12-month chance moved by 15 points or more, new median outside the old middle half, or a difference "
        "changed sign",
        "CAUTION",
        "read block 2 before anything else",
    ),
    Rule(
        "W-VERSION",
        "Track record",
        "model or prior changed since the last report",
        "CAUTION",
        "read the version row of block 2",
    ),
    Rule(
        "W-BASE",
        "Fit",
        "a simple comparator differs by 20 points or more",
        "CAUTION",
        "read the comparators in block 6",
    ),
    Rule(
        "W-RECORD",
        "Track record",
        "treatment never checked on outside patients",
        "row mark only",
        "read the evidence line",
    ),
    Rule(
        "W-CHECK",
        "Numbers",
        "the finished page failed one of its own checks",
        "WITHHELD",
        "hand the listed failures to the maker",
    ),
)
RULE = {rule.code: rule for rule in RULES}
BLOCK_5_ROWS = ("Context", "Data", "Fit", "Numbers", "Track record")
