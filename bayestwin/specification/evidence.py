"""Published trials as data: arms with the patients they treated, and what came out of them.

An arm is what a virtual trial simulates and what a population is learnt from: a treatment of the model, the mix of its
patients' covariates, when patients are seen and from when they are counted, and its outcomes with the uncertainty that
was published. `read_evidence` (read_evidence.py) makes them from a file; docs/virtual_trials.md says how it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

WHATS = ("response", "complete_response", "pfs_at", "pfs_median", "os_at", "os_median")
COUNTED_FROM = ("randomisation", "infusion", "first_dose")
MARKS = ("verified", "derived", "memory", "assumed")
USES = ("fit", "shown")
ENDPOINTS = ("pfs", "os")


@dataclass(frozen=True)
class Constant:
    """A covariate that is the same in all patients of an arm, a number or a level."""

    value: float | str


@dataclass(frozen=True)
class Shares:
    """A covariate with levels, words or numbers, and the share of patients at each; shares add to 1."""

    levels: tuple[float | str, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Spread:
    """A covariate that varies as a normal with this mean and SD, before it is cut off at minimum and maximum."""

    mean: float
    sd: float
    minimum: float = float("-inf")
    maximum: float = float("inf")


Mix = Mapping[str, Constant | Shares | Spread]


@dataclass(frozen=True)
class Outcome:
    """One published number of an arm.

    what : one of WHATS; value, low, high : a share, or months for a median; month : of a landmark (`pfs_at`, `os_at`)
    low, high : published 95 % interval, None where none was; mark : how far the number is to be trusted, one of MARKS
    use : "fit", or "shown": compared with, never fitted
    """

    what: str
    value: float
    month: float | None = None
    low: float | None = None
    high: float | None = None
    mark: str = "verified"
    use: str = "fit"

    @property
    def name(self) -> str:
        """Its name within an arm, as in tables: response, pfs_median, pfs_at_12."""
        return self.what if self.month is None else f"{self.what}_{self.month:g}"

    @property
    def is_share(self) -> bool:
        """True for a share of patients, False for a time in months."""
        return not self.what.endswith("_median")


@dataclass(frozen=True)
class TrialArm:
    """One arm of a trial.

    name : unique among all arms; trial : shared by the arms of one trial, which is left out as a whole
    n : patients counted; counted_from : where time zero of PFS and OS lies, one of COUNTED_FROM
    visit_every : days between assessments; wait : days from time zero to the start of the treatment
    not_started : share of patients who never get it; instead : what they get from the day of the
        planned start, as in a forecast, "" for nothing
    response_by : months from time zero at which responses were counted, None: as long as the arm is followed
    drop_out_per_year : hazard of leaving the trial, which censors
    assay_error : factor on the SD of the residual error of every lab, 1 as the model has it
    outside : why the arm lies outside the model's context of use, "" where it does not
    mix : of the patients' covariates; what it does not name is missing; mix_marks : covariate -> mark
    """

    name: str
    treatment: str
    n: int
    visit_every: float
    label: str = ""
    trial: str = ""
    counted_from: str = "randomisation"
    wait: float = 0.0
    not_started: float = 0.0
    instead: str = ""
    response_by: float | None = None
    drop_out_per_year: float = 0.0
    assay_error: float = 1.0
    outside: str = ""
    source: str = ""
    mix: Mix = field(default_factory=dict, hash=False)
    mix_marks: Mapping[str, str] = field(default_factory=dict, hash=False)
    outcomes: tuple[Outcome, ...] = ()

    def outcome(self, name: str) -> Outcome | None:
        """The published outcome of that name, None where there is none."""
        return next((one for one in self.outcomes if one.name == name), None)


@dataclass(frozen=True)
class HazardRatio:
    """A published hazard ratio of two arms of one trial, below 1 where the treated do better; never fitted.

    treated, control : names of the arms; endpoint : one of ENDPOINTS
    value, low, high : with its published 95 % interval, None where none was; mark : one of MARKS
    followed : months after which patients without an event are censored, None: as long as curves go
    """

    treated: str
    control: str
    endpoint: str
    value: float
    low: float | None = None
    high: float | None = None
    followed: float | None = None
    mark: str = "verified"

    @property
    def name(self) -> str:
        """Its name among all: treated_control_pfs."""
        return f"{self.treated}_{self.control}_{self.endpoint}"
