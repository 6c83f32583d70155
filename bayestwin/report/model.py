"""What a report is made of: one frozen `ReportInput` of plain values (floats, strings, tuples, arrays).

Nothing here knows JAX, particles or files. `report/inputs.py` gathers the values from the rooms below;
every page, the JSON twin and the warnings are functions of a `ReportInput` alone, so that the same input
gives the same bytes.

Three quantities, three names (never mixed):

    forecast          what may happen to this patient: the distribution of T, time to progression or death
    chance            x in 100 progression-free at a landmark: the mean of P(T > h) over everything
    knowledge range   how far that chance could move if the population model were known better:
                      10 to 90 % over population draws of the chance averaged over the patient's parameters

Conventions: chances, shares and limits are 0 to 1, unrounded (rounding lives in wording.py). Event times are
months after the data cut. Lab and trajectory times are in `Clock.time_unit` after time zero. `None` means
"not computed" and is printed as such with its reason, never as zero.
"""

from dataclasses import dataclass, field

from bayestwin.report.page_change import BridgeStep, Change, PastForecast
from bayestwin.report.page_data import LAB_STATES, CourseEvent, DataEffect, LabEntry, Output, RefusedRow
from bayestwin.report.page_forecasts import (
    DOT_LEVELS,
    QUANTILE_LEVELS,
    ROLES,
    Comparison,
    EventErrors,
    EventForecast,
    Landmark,
    Outcomes,
    Range,
    ResponseDepth,
    Support,
    Trajectory,
    TreatmentForecast,
    report_order,
)
from bayestwin.report.page_patient import DEFAULT_HORIZON_MONTHS, Clock, LatestValue, ObservedResponse, Patient
from bayestwin.report.page_trust import Comparator, ModelFacts, NextLab, NumericalCheck, TrackRecord

__all__ = [
    "BridgeStep",
    "Change",
    "Clock",
    "Comparator",
    "Comparison",
    "CourseEvent",
    "DEFAULT_HORIZON_MONTHS",
    "DOT_LEVELS",
    "DataEffect",
    "EventErrors",
    "EventForecast",
    "LAB_STATES",
    "LabEntry",
    "Landmark",
    "LatestValue",
    "ModelFacts",
    "NextLab",
    "NumericalCheck",
    "ObservedResponse",
    "Outcomes",
    "Output",
    "PastForecast",
    "Patient",
    "QUANTILE_LEVELS",
    "ROLES",
    "Range",
    "RefusedRow",
    "ReportInput",
    "ResponseDepth",
    "Support",
    "TrackRecord",
    "Trajectory",
    "TreatmentForecast",
]


@dataclass(frozen=True)
class ReportInput:
    """Everything one report needs.

    identity : any text that identifies the run and not the patient (hash of data, model, treatments, seed);
               the report id is derived from it
    report_number : 1, 2, ... for this patient; it is the v in the file name
    endpoint : what the main event is called; endpoint_reason says why there is none (a PK twin)
    fit_p : p-value of the cumulative one-step score over the last six labs (W-FIT-2), None = not computed
    block_reasons : block ("2", "3", "4", "5", "6") -> why it cannot be computed, printed in its place
    """

    identity: str
    clock: Clock
    patient: Patient
    model: ModelFacts
    numbers: NumericalCheck
    report_number: int = 1
    supersedes: str = ""
    outputs: tuple[Output, ...] = ()
    labs: tuple[LabEntry, ...] = ()
    events: tuple[CourseEvent, ...] = ()
    refused: tuple[RefusedRow, ...] = ()
    data_effects: tuple[DataEffect, ...] = ()
    treatments: tuple[TreatmentForecast, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    endpoint: str = "progression or death"
    endpoint_reason: str = ""
    change: Change = Change()
    history: tuple[PastForecast, ...] = ()
    track: TrackRecord = TrackRecord()
    fit_p: float | None = None
    next_lab: NextLab | None = None
    comparators: tuple[Comparator, ...] = ()
    assumptions: tuple[str, ...] = ()
    block_reasons: dict[str, str] = field(default_factory=dict)

    def ordered_treatments(self) -> tuple[TreatmentForecast, ...]:
        """Current and planned first, then alphabetical: never by outcome."""
        return tuple(sorted(self.treatments, key=lambda t: report_order(t.role, t.label, t.name)))

    def main_treatment(self) -> TreatmentForecast | None:
        """The first row with numbers: the one that lead, blocks 2 and 4, history and warnings speak of."""
        return next((row for row in self.ordered_treatments() if row.estimated), None)
