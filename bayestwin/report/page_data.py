"""What was measured, given, refused, and what a row did to the forecast."""

from dataclasses import dataclass

Range = tuple[float, float]
LAB_STATES = ("used", "censored", "late", "corrected", "rejected", "retracted", "duplicate", "missing", "overdue")


@dataclass(frozen=True)
class Output:
    """One lab the model predicts. scale "log" or "linear"; limit = limit of quantification in `unit`.

    highest : at which courses end, so that a forecast there says "more than this", None = no such end
    reference_lines : (value, label) drawn dashed, for example half of the baseline; note : caption addition
    """

    name: str
    label: str
    unit: str
    scale: str = "log"
    limit: float | None = None
    highest: float | None = None
    reference_lines: tuple[tuple[float, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class LabEntry:
    """One row of the data ledger.

    shown : value verbatim as reported, with comparator ("<0.5", "12.4"); value is the number on the axis
    state : one of LAB_STATES; reason says why it was rejected, late, corrected
    reason_letter : u(nit), d(uplicate), t(ime) or i(mplausible) for rejected labs, r(etracted)
    assay_sd : SD of the assay error at this value in `unit`, None if not drawn
    forecast_before : QUANTILE_LEVELS -> value, predicted before the lab was learnt; None if not forecast
    pit : (low, high) of the one-step-ahead probability; equal for a measured value, an interval if censored;
          pit_drawn the randomised value that is plotted
    alarm : "ten times too high", "ten times too low" or "": what the value is more likely than right
    new : arrived, or got another value, since the previous report; without one every lab is new
    upper : of a value known to lie between two limits the upper one; `value` is then the lower, shown "5 to 10"
    counted : counted or graded, not measured; `pit` is then what was expected below the value and up to it
    moved_chance : leave-one-out change of the 12-month chance of the current treatment
    """

    lab_id: str
    output: str
    time: float
    known_time: float
    shown: str
    value: float | None = None
    comparator: str = ""
    unit: str = ""
    when: str = ""
    known_when: str = ""
    state: str = "used"
    reason: str = ""
    reason_letter: str = ""
    old_value: float | None = None
    replaces: str = ""
    limit: float | None = None
    assay_sd: float | None = None
    forecast_before: dict[float, float] | None = None
    pit: Range | None = None
    pit_drawn: float | None = None
    log_score: float | None = None
    alarm: str = ""
    new: bool = False
    moved_chance: float | None = None
    upper: float | None = None
    counted: bool = False


@dataclass(frozen=True)
class CourseEvent:
    """A treatment start, infusion, progression or note drawn as a tick on time axes."""

    time: float
    label: str
    when: str = ""


@dataclass(frozen=True)
class RefusedRow:
    """One refused row, as records.Refusal has it."""

    file: str
    row: str
    column: str
    value: str
    reason: str
    allowed: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class DataEffect:
    """12-month chance with and without late, corrected, rejected or imputed labs (kind: late, corrected, rejected, "
    "missing)."""

    kind: str
    chance_with: float
    chance_without: float
