"""Who the report is about and when: clock, patient, latest values."""

from dataclasses import dataclass

DEFAULT_HORIZON_MONTHS = 36.0


@dataclass(frozen=True)
class Clock:
    """When the data end and when the report was made.

    data_cut : how the data cut is printed: "14 Mar 2026", or "day 126" for files without dates
    data_cut_time : the same in `time_unit` after time zero
    time_zero : the event that is time zero ("referral"); time_zero_date ISO or None
    generated : ISO UTC time, given by the caller (a report reads no clock of its own)
    as_of : ISO day on which labs are as old as the report says, "" = that of `generated`; needs data_cut_date
    valid_until : printed date or day, or None (then computed from the newest lab where possible)
    statement : the clock in one sentence, with what is inside it (waiting time, bridging, drop-out)
    statement_withheld : the same without what is a forecast (how many get to a treatment)
    """

    data_cut: str
    data_cut_time: float
    generated: str
    time_zero: str = "start of record"
    time_unit: str = "day"
    data_cut_date: str | None = None
    time_zero_date: str | None = None
    valid_until: str | None = None
    horizon_months: float = DEFAULT_HORIZON_MONTHS
    statement: str = ""
    statement_withheld: str = ""
    as_of: str = ""


@dataclass(frozen=True)
class LatestValue:
    """Last value of one lab as reported; `value=None` prints "not measured"."""

    name: str
    value: str | None = None
    unit: str = ""
    when: str = ""


@dataclass(frozen=True)
class ObservedResponse:
    """Response observed so far (IMWG category), never a predicted one. confirmed None = not known."""

    category: str
    when: str = ""
    confirmed: bool | None = None
    basis: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patient:
    """Block 1. study_key is the only identity a report knows.

    phase : "early_cell_therapy" (day 0 to 28 after infusion), "on_treatment" or "follow_up"; sets how old
            labs may be (7, 35, 100 days)
    line : None where it is not recorded or not told by the treatments recorded; lines_words, refractory_words : as
        printed, default from `line` and `refractory`
    context_problems : reasons why the patient is outside the model's purpose (W-CTX-OUT), empty if inside
    context_unknown : what of it the record does not say ("age"), so that it was not looked at
    covariate_p : how usual the covariates are among training patients (W-CTX-EDGE), None = not computed
    """

    study_key: str
    diagnosis: str = ""
    isotype: str = ""
    measurable_by: str = ""
    line: int | None = None
    refractory: tuple[str, ...] = ()
    treatment_now: str = ""
    treatment_day: int | None = None
    response: ObservedResponse | None = None
    latest: tuple[LatestValue, ...] = ()
    phase: str = "on_treatment"
    context_problems: tuple[str, ...] = ()
    context_unknown: tuple[str, ...] = ()
    lines_words: str = ""
    refractory_words: str = ""
    covariate_p: float | None = None
