"""What moved since the last report."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class BridgeStep:
    """One cause in the bridge from the last report: chance before and after, each with its 80 % range.

    cause : "time", "labs", "amended" (late, corrected, retracted), "doses", "version", "start" (the treatment, not yet
    given, is counted from another day), "rebuilt" or "none"; several that are not told apart joined by "+"
    text : what happened in words
    before_mcse, after_mcse : Monte Carlo errors of both chances, None: not known
    """

    cause: str
    text: str
    before: float
    after: float
    before_p80: Range | None = None
    after_p80: Range | None = None
    before_mcse: float | None = None
    after_mcse: float | None = None


@dataclass(frozen=True)
class Change:
    """Block 2. previous : how the last report is named ("report 6 of 14 Feb 2026"), "" for a first report.

    prior_chance : the 12-month chance before any lab of this patient (first report)
    expected_share : share of updates expected to move this far
    narrowed : share by which the labs narrowed the range that the forecast had before any of them
    previous_middle_half : the 25 and 75 % points of the last report's forecast, months from the data cut of this one
    """

    previous: str = ""
    previous_when: str = ""
    steps: tuple[BridgeStep, ...] = ()
    prior_chance: float | None = None
    prior_p80: Range | None = None
    largest_lab: str = ""
    largest_lab_moved: float | None = None
    expected_share: float | None = None
    narrowed: float | None = None
    previous_middle_half: Range | None = None
    version_changed: bool = False
    reason: str = ""


@dataclass(frozen=True)
class PastForecast:
    """One past report's 12-month chance of the row that this report speaks of.

    chance None : withheld, or for `reason`; mcse : its Monte Carlo error, None = not kept
    version : as printed; population_hash, data_hash : what it rested on, "" = not known
    """

    time: float
    when: str
    chance: float | None = None
    p80: Range | None = None
    version: str = ""
    report_id: str = ""
    reason: str = ""
    mcse: float | None = None
    population_hash: str = ""
    data_hash: str = ""
