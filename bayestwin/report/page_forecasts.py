"""Forecasts of one report: events, chances, courses, treatments and their comparison."""

from dataclasses import dataclass, field

import numpy as np

from bayestwin.report.page_patient import DEFAULT_HORIZON_MONTHS
from bayestwin.report.summaries import mark_deaths, weighted_quantiles

Range = tuple[float, float]
DOT_LEVELS = tuple(round((2.5 + 5 * k) / 100, 3) for k in range(20))
QUANTILE_LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
ROLES = ("current", "planned", "reference", "option")
FEWEST_SIMILAR = 10


def report_order(role: str, label: str, name: str) -> tuple:
    """Sorting key of a report's rows: current, planned, then by label; never by outcome."""
    return role not in ("current", "planned"), role != "current", label.casefold(), name


@dataclass(frozen=True)
class EventErrors:
    """Monte Carlo errors of an event forecast, by which it is printed: months of the quantiles (level -> error) and of
    the dots, later than the horizon being counted as the horizon; shares after it and of deaths."""

    quantiles: dict[float, float]
    dots: tuple[float, ...]
    after_horizon: float
    death_share: float | None = None


@dataclass(frozen=True)
class EventForecast:
    """Forecast of one event time, months after the data cut; beyond the horizon is inf.

    endpoint : "progression or death" or "progression"
    dots : 20 times at DOT_LEVELS, sorted, inf beyond the horizon
    dot_died : 20 flags, True where the dot is a death without progression (drawn with a cross)
    quantiles : QUANTILE_LEVELS -> months (inf beyond the horizon)
    after_horizon, death_share : shares 0 to 1 of all draws
    two_groups : (share in the early group, months t1, t2, t3) for template T5, None if one kind of course
    errors : Monte Carlo errors, None where they are not known
    """

    endpoint: str
    dots: tuple[float, ...]
    quantiles: dict[float, float]
    after_horizon: float
    dot_died: tuple[bool, ...] = (False,) * 20
    death_share: float | None = None
    two_groups: tuple[float, float, float, float] | None = None
    errors: EventErrors | None = None

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
        errors=None,
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
            errors=errors,
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
    draws_error : error of the chance because few population draws hold its weight
    """

    month: float
    chance: float
    mcse: float
    knowledge: dict[float, Range] | None = None
    knowledge_reason: str = ""
    approximate: bool = False
    doubt: tuple[float, float, float] | None = None
    doubt_mcse: float | None = None
    draws_error: float = 0.0


@dataclass(frozen=True)
class Outcomes:
    """Shares at one month: progression-free, progressed, died without progression. They sum to one.

    mcse : Monte Carlo error of the last two, the larger; None: unknown
    """

    month: float
    free: float
    progressed: float
    died: float
    mcse: float | None = None


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
    errors : (7, T) Monte Carlo errors of the quantiles, None where they are not known
    """

    output: str
    times: np.ndarray
    quantiles: np.ndarray
    samples: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    errors: np.ndarray | None = None


@dataclass(frozen=True)
class Support:
    """Whether a treatment row may show numbers. estimated False prints "not estimated" with `reason`
    (the failed eligibility rule)."""

    estimated: bool = True
    reason: str = ""
    similar: int | None = None


@dataclass(frozen=True)
class TreatmentForecast:
    """Everything about one treatment the requester listed. `role` is one of ROLES.

    given_before : that the patient has had it before, when and with what response; "" where not
    """

    name: str
    label: str
    role: str = "option"
    regimen: tuple[str, ...] = ()
    assumption: str = ""
    given_before: str = ""
    evidence: str = ""
    tested_outside: bool = False
    support: Support = Support()
    event: EventForecast | None = None
    progression: EventForecast | None = None
    landmarks: tuple[Landmark, ...] = ()
    progression_landmarks: tuple[Landmark, ...] = ()
    infusion_landmarks: tuple[Landmark, ...] = ()
    outcomes: tuple[Outcomes, ...] = ()
    responses: tuple[ResponseDepth, ...] = ()
    trajectories: tuple[Trajectory, ...] = ()

    @property
    def estimated(self) -> bool:
        """Whether numbers of this row may be shown."""
        return self.support.estimated and (self.support.similar is None or self.support.similar >= FEWEST_SIMILAR)

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
    mcse, pairs_mcse, by_rho_mcse, months_gained_mcse : Monte Carlo errors, by which these are rounded; None: unknown
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
    mcse: float | None = None
    pairs_mcse: tuple[float, float, float] | None = None
    by_rho_mcse: tuple[float, ...] = ()
    months_gained_mcse: float | None = None
