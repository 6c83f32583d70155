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

import numpy as np

from bayestwin.report.summaries import mark_deaths, weighted_quantiles

Range = tuple[float, float]

DOT_LEVELS = tuple(round((2.5 + 5 * k) / 100, 3) for k in range(20))
QUANTILE_LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
ROLES = ("current", "planned", "reference", "option")
LAB_STATES = ("used", "censored", "late", "corrected", "rejected", "retracted", "duplicate", "missing", "overdue")
DEFAULT_HORIZON_MONTHS = 36.0


# ---------------------------------------------------------------------------------------------- who and when
@dataclass(frozen=True)
class Clock:
    """When the data end and when the report was made.

    data_cut : how the data cut is printed: "14 Mar 2026", or "day 126" for files without dates
    data_cut_time : the same in `time_unit` after time zero
    time_zero : the event that is time zero ("referral"); time_zero_date ISO or None
    generated : ISO UTC time, given by the caller (a report reads no clock of its own)
    valid_until : printed date or day, or None (then computed from the newest lab where possible)
    statement : the clock in one sentence, with what is inside it (waiting time, bridging, drop-out)
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
    context_problems : reasons why the patient is outside the model's purpose (W-CTX-OUT), empty if inside
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
    covariate_p: float | None = None


# ------------------------------------------------------------------------------------------------------ data
@dataclass(frozen=True)
class Output:
    """One lab the model predicts. scale "log" or "linear"; limit = limit of quantification in `unit`.

    reference_lines : (value, label) drawn dashed, for example half of the baseline; note : caption addition
    """

    name: str
    label: str
    unit: str
    scale: str = "log"
    limit: float | None = None
    reference_lines: tuple[tuple[float, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class LabEntry:
    """One row of the data ledger.

    shown : value verbatim as reported, with comparator ("<0.5", "12.4"); value is the number on the axis
    state : one of LAB_STATES; reason says why it was rejected, late, corrected
    reason_letter : u(nit), d(uplicate), t(ime) or i(mplausible) for rejected labs
    assay_sd : SD of the assay error at this value in `unit`, None if not drawn
    forecast_before : QUANTILE_LEVELS -> value, predicted before the lab was learnt; None if not forecast
    pit : (low, high) of the one-step-ahead probability; equal for a measured value, an interval if censored;
          pit_drawn the randomised value that is plotted
    new : arrived since the previous report
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
    new: bool = False
    moved_chance: float | None = None


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


# -------------------------------------------------------------------------------------------------- forecasts
@dataclass(frozen=True)
class EventForecast:
    """Forecast of one event time, months after the data cut; beyond the horizon is inf.

    endpoint : "progression or death" or "progression"
    dots : 20 times at DOT_LEVELS, sorted, inf beyond the horizon
    dot_died : 20 flags, True where the dot is a death without progression (drawn with a cross)
    quantiles : QUANTILE_LEVELS -> months (inf beyond the horizon)
    after_horizon, death_share : shares 0 to 1 of all draws
    two_groups : (share in the early group, months t1, t2, t3) for template T5, None if one kind of course
    """

    endpoint: str
    dots: tuple[float, ...]
    quantiles: dict[float, float]
    after_horizon: float
    dot_died: tuple[bool, ...] = (False,) * 20
    death_share: float | None = None
    two_groups: tuple[float, float, float, float] | None = None

    def __post_init__(self):
        if len(self.dots) != 20 or len(self.dot_died) != 20 or list(self.dots) != sorted(self.dots):
            raise ValueError("an event forecast needs 20 sorted dots and 20 flags")

    @classmethod
    def from_draws(
        cls,
        months,
        *,
        died=None,
        weights=None,
        horizon=DEFAULT_HORIZON_MONTHS,
        endpoint="progression or death",
        two_groups=None,
    ) -> "EventForecast":
        """Summarise draws of T (months from the data cut, inf or anything past `horizon` = after it).

        died : True where the draw is a death without progression. Dots are quantiles of all draws; of the
        dots before the horizon, round(20 x share died) are marked as deaths, nearest to the deaths' own quantiles.
        """
        months = np.asarray(months, dtype=float)
        weights = np.full(months.shape, 1.0 / months.size) if weights is None else np.asarray(weights, float)
        weights = weights / weights.sum()
        after = ~(months <= horizon)
        capped = np.where(after, np.inf, months)
        dots = weighted_quantiles(capped, DOT_LEVELS, weights)
        flags, share = [False] * 20, None
        if died is not None:
            dead = np.asarray(died, bool) & ~after
            share = float(weights[dead].sum())
            flags = mark_deaths(dots, capped[dead], weights[dead], round(20 * share))
        levels = weighted_quantiles(capped, QUANTILE_LEVELS, weights)
        return cls(
            endpoint=endpoint,
            dots=tuple(dots),
            quantiles=dict(zip(QUANTILE_LEVELS, levels)),
            after_horizon=float(weights[after].sum()),
            dot_died=tuple(flags),
            death_share=share,
            two_groups=two_groups,
        )


@dataclass(frozen=True)
class Landmark:
    """The chance of being event-free at one month.

    chance, mcse : mean and its Monte Carlo standard error, 0 to 1
    knowledge : level (0.5, 0.8, 0.95) -> (low, high) over population draws, bias-corrected; None with
                knowledge_reason where it cannot be had. Never a draw-wise interval
    approximate : fewer than 20 effective patient draws per population draw
    doubt : (patient, knowledge, chance) parts of p(1-p), summing to it; None if not computed
    doubt_mcse : Monte Carlo error of those parts as shares of one
    """

    month: float
    chance: float
    mcse: float
    knowledge: dict[float, Range] | None = None
    knowledge_reason: str = ""
    approximate: bool = False
    doubt: tuple[float, float, float] | None = None
    doubt_mcse: float | None = None


@dataclass(frozen=True)
class Outcomes:
    """Shares at one month: progression-free, progressed, died without progression. They sum to one."""

    month: float
    free: float
    progressed: float
    died: float


@dataclass(frozen=True)
class ResponseDepth:
    """Predicted response categories at one visit (days after treatment start), shares that sum to one."""

    day: float
    cr: float
    vgpr: float
    pr: float
    sd: float
    pd: float


@dataclass(frozen=True)
class Trajectory:
    """Predicted course of one output.

    times : (T,) in Clock.time_unit after time zero; times up to the data cut are the fit, later ones forecast
    quantiles : (7, T) at QUANTILE_LEVELS, predictive (with assay error), in the output's unit
    samples : (12, T) sampled futures, may be (0, T)
    """

    output: str
    times: np.ndarray
    quantiles: np.ndarray
    samples: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True)
class Support:
    """Whether a treatment row may show numbers. estimated False prints "not estimated" with `reason`
    (the failed eligibility rule)."""

    estimated: bool = True
    reason: str = ""
    similar: int | None = None


@dataclass(frozen=True)
class TreatmentForecast:
    """Everything about one treatment the requester listed. `role` is one of ROLES."""

    name: str
    label: str
    role: str = "option"
    regimen: tuple[str, ...] = ()
    assumption: str = ""
    evidence: str = ""
    tested_outside: bool = False
    support: Support = Support()
    event: EventForecast | None = None
    progression: EventForecast | None = None
    landmarks: tuple[Landmark, ...] = ()
    progression_landmarks: tuple[Landmark, ...] = ()
    outcomes: tuple[Outcomes, ...] = ()
    responses: tuple[ResponseDepth, ...] = ()
    trajectories: tuple[Trajectory, ...] = ()

    def landmark(self, month: float) -> Landmark | None:
        """The landmark of `month`, or None."""
        return next((mark for mark in self.landmarks if mark.month == month), None)


@dataclass(frozen=True)
class Comparison:
    """Treatment b against treatment a: same population draws, same patient draws.

    difference : chance with b minus chance with a at `month`, -1 to 1; p80 its 80 % knowledge range
    by_rho : (rho, difference, low, high) for rho in {0, 0.5, 0.9}: how the difference moves with the assumed
             correlation between responses; empty withholds the difference, with `withheld` as reason
    pairs : (a later, b later, both after the horizon), shares that sum to one, independent event noise
    confidence_b_higher : share of population draws with a positive difference
    months_gained : difference of restricted means to the horizon, with its 80 % range
    """

    a: str
    b: str
    month: float = 12.0
    difference: float | None = None
    p80: Range | None = None
    by_rho: tuple[tuple[float, float, float, float], ...] = ()
    pairs: tuple[float, float, float] | None = None
    confidence_b_higher: float | None = None
    months_gained: float | None = None
    months_gained_p80: Range | None = None
    basis: str = "model"
    withheld: str = ""
    sign_changed: bool = False


# ----------------------------------------------------------------------------------------------------- change
@dataclass(frozen=True)
class BridgeStep:
    """One cause in the bridge from the last report: chance before and after, each with its 80 % range.

    cause : "time", "labs", "amended" (late, corrected, retracted), "doses" or "version"; text what happened in words
    """

    cause: str
    text: str
    before: float
    after: float
    before_p80: Range | None = None
    after_p80: Range | None = None


@dataclass(frozen=True)
class Change:
    """Block 2. previous : how the last report is named ("report 6 of 14 Feb 2026"), "" for a first report.

    prior_chance : the 12-month chance before any lab of this patient (first report)
    expected_share : share of updates expected to move this far; narrowed : share by which labs narrowed the range
    previous_middle_half : the 25 and 75 % points (months from then) of the last report's forecast
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
    """One past report's 12-month chance of the then current treatment; chance None = withheld."""

    time: float
    when: str
    chance: float | None = None
    p80: Range | None = None
    version: str = ""
    report_id: str = ""


# ------------------------------------------------------------------------------------------------------ trust
@dataclass(frozen=True)
class NumericalCheck:
    """How exact the last move of the twin was (UpdateInfo as plain values)."""

    verdict: str
    path: str = ""
    reasons: tuple[str, ...] = ()
    particles: int | None = None
    population_draws: int | None = None
    ess: float | None = None
    ess_population_draws: float | None = None
    pareto_k: float | None = None
    unique_particles: int | None = None
    acceptance: float | None = None
    island_agreement: float | None = None
    monte_carlo_error: tuple[tuple[str, float], ...] = ()
    full_rebuild: bool = False
    rhat: float | None = None
    divergence_share: float | None = None
    ess_bulk: float | None = None
    ess_tail: float | None = None
    solver_failures: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class TrackRecord:
    """How often 80 % ranges held in the past. held, held_range: shares; n forecasts. Empty = "not tested"."""

    where: str = ""
    n: int | None = None
    held: float | None = None
    held_range: Range | None = None
    external: str = ""


@dataclass(frozen=True)
class NextLab:
    """The planned lab expected to narrow the 12-month range most (widths 0 to 1), and what it would say.

    outcomes : (outcome in words, chance then, (low, high) or None)
    """

    label: str
    when: str = ""
    width_now: float | None = None
    width_expected: float | None = None
    outcomes: tuple[tuple[str, float, Range | None], ...] = ()


@dataclass(frozen=True)
class Comparator:
    """A simple rival beside the twin (linear extrapolation, risk group) at 12 months."""

    name: str
    chance: float | None
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """What made the numbers. Texts are tuples of sentences; versions, seeds and hashes are (name, value) pairs."""

    name: str
    version: str
    model_hash: str = ""
    population_hash: str = ""
    data_hash: str = ""
    seeds: tuple[tuple[str, int], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    purpose: str = ""
    made_for: tuple[str, ...] = ()
    not_for: tuple[str, ...] = ()
    trained_on: str = ""
    synthetic: bool = False
    validated_on: str = ""
    known_limits: tuple[str, ...] = ()
    prior_sources: tuple[str, ...] = ()
    owner: str = ""
    sites: tuple[str, ...] = ()


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
        return tuple(
            sorted(
                self.treatments,
                key=lambda t: (t.role not in ("current", "planned"), t.role != "current", t.label.casefold(), t.name),
            )
        )

    def main_treatment(self) -> TreatmentForecast | None:
        """The current (else planned, else first) treatment: the one blocks 2, 4 and 6 speak of."""
        rows = self.ordered_treatments()
        return rows[0] if rows else None
