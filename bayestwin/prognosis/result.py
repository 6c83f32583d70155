"""What a forecast is: courses, event times and chances per treatment, from draws that are kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayestwin.errors import ModelError
from bayestwin.prognosis.endpoint import EventTimes
from bayestwin.prognosis.moments import MOMENTS, Moment
from bayestwin.prognosis.plan import Plan
from bayestwin.prognosis.quantities import LEVELS, Chance, Estimate, chance_of, estimate
from bayestwin.prognosis.table import table
from bayestwin.prognosis.time_on import TimeOnTreatment, step_quantiles
from bayestwin.twin.monte_carlo import quantile_errors
from bayestwin.twin.particles import normalised

ENDPOINTS = ("progression or death", "progression", "death")
QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


@dataclass(frozen=True)
class Course:
    """Predictive course of one output.

    times (T,); quantiles (7, T) at QUANTILES with residual error, errors (7, T) their Monte Carlo errors, None in files
    of earlier versions; samples (12, T) without residual error: futures to look at, not numbers that have an error
    Values outside the observation's plausible range are set to its end: the report says so.
    """

    output: str
    times: np.ndarray
    quantiles: np.ndarray
    samples: np.ndarray
    errors: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class TreatmentPrognosis:
    """One treatment row. `refused` says why there is no number; events, courses and by_rho are then empty.

    events : months after the data cut
    by_rho : rho -> (survival (P, L), log_weights (P,)) or None where too few draws remain
    time_on : of a schedule or a policy, how long each treatment is given and when it first changes
    moments : "leukapheresis", "infusion" -> the future counted from there, where they lie ahead
    """

    plan: Plan
    refused: str
    events: EventTimes | None = None
    courses: tuple[Course, ...] = ()
    by_rho: dict | None = None
    solver_failures: float = 0.0
    time_on: TimeOnTreatment | None = None
    moments: dict[str, Moment] | None = None


@dataclass(frozen=True, eq=False)
class Prognosis:
    """Forecasts of one patient.

    Months count from the data cut `now`; horizon in months (or time units without an endpoint).
    """

    model: Any
    patient: str
    now: float
    horizon: float
    rows: tuple[TreatmentPrognosis, ...]
    landmarks: tuple[float, ...]
    draw: np.ndarray
    log_weights: np.ndarray
    islands: int
    rho: float
    verdict: str
    random_seed: int
    twin_hash: str
    population_hash: str
    past: tuple[Course, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Treatments in the order asked for."""
        return tuple(row.plan.name for row in self.rows)

    @property
    def weights(self) -> np.ndarray:
        """Weights summing to one, (P,)."""
        return np.exp(self.log_weights) / self.islands

    def row(self, treatment: str) -> TreatmentPrognosis:
        """The row of a treatment."""
        for row in self.rows:
            if row.plan.name == treatment:
                return row
        raise ModelError("this treatment was not forecast", value=treatment, allowed=", ".join(self.names))

    def chance(self, treatment: str, month: float, *, endpoint: str = "progression or death") -> Chance | None:
        """Chance of being event-free at a landmark month, with knowledge range and doubt.

        None where the row has no number.
        endpoint : "progression or death" (PFS), "progression" (time to progression, death as censoring) or "death"
            (overall survival; what is given after progression is not in the model)
        """
        row = self.row(treatment)
        if row.events is None:
            return None
        if endpoint not in ENDPOINTS:
            raise ModelError("no such endpoint", place="endpoint", value=endpoint, allowed=", ".join(ENDPOINTS))
        k = self._landmark(month)
        if endpoint == "death":
            alive, squared = (None if a is None else a[:, k] for a in (row.events.alive, row.events.alive_squared))
            return None if alive is None else self._chance(alive, squared)
        survival = row.events.survival if endpoint == "progression or death" else row.events.free
        squared = row.events.squared[:, k]
        if endpoint != "progression or death":  # the same estimate without the chance of being alive
            alive = np.divide(
                row.events.survival[:, k], survival[:, k], out=np.ones(len(squared)), where=survival[:, k] > 0
            )
            squared = squared / np.maximum(alive, 1e-300) ** 2
        return self._chance(survival[:, k], squared)

    def chance_from(
        self, moment: str, treatment: str, month: float, *, endpoint: str = "progression or death"
    ) -> Chance | None:
        """As `chance`, counted from a moment ahead ("leukapheresis", "infusion") among those who get there alive.

        None where the row has no number or has no such moment ahead, and for a landmark past the horizon.
        endpoint : "progression or death" or "death"
        """
        found = self._moment(moment, treatment)
        values = {"progression or death": ("survival", "squared"), "death": ("alive", "alive_squared")}
        if endpoint not in values:
            raise ModelError("no such endpoint", place="endpoint", value=endpoint, allowed=", ".join(values))
        if found is None:
            return None
        survival, squared = (getattr(found, name)[:, self._landmark(month)] for name in values[endpoint])
        if np.isnan(survival).any():
            return None
        log_weights = normalised(self.log_weights + np.log(np.maximum(found.reached, 1e-300)), self.islands)
        weights = np.exp(log_weights) / self.islands
        return chance_of(survival, squared, weights, self.draw, log_weights, self.islands)

    def reached(self, moment: str, treatment: str) -> Chance | None:
        """Chance of all who set out on a treatment to get to a moment ahead alive; None where there is none."""
        found = self._moment(moment, treatment)
        return None if found is None else self._chance(found.reached, found.reached**2)

    def first_events(self, treatment: str, month: float) -> dict[str, Estimate] | None:
        """Chance of each way to have ended progression-free survival by a landmark month, as the first of all.

        With the chance of none they sum to one. None where the row has no number.
        """
        row = self.row(treatment)
        if row.events is None or row.events.first is None:
            return None
        names = (name.replace("_", " ") for name in self.model.progression.first_events)
        first = row.events.first[:, self._landmark(month)].T
        return {name: estimate(one, self.log_weights, self.islands) for name, one in zip(names, first)}

    def _moment(self, moment: str, treatment: str) -> Moment | None:
        """The future of a row counted from a moment, None where that does not lie ahead."""
        if moment not in MOMENTS:
            raise ModelError("no such moment", place="moment", value=moment, allowed=", ".join(MOMENTS))
        return (self.row(treatment).moments or {}).get(moment)

    def _landmark(self, month: float) -> int:
        if month in self.landmarks:
            return self.landmarks.index(month)
        raise ModelError(
            "not a landmark of this forecast", value=month, allowed=", ".join(str(m) for m in self.landmarks)
        )

    def _chance(self, survival, squared) -> Chance:
        return chance_of(survival, squared, self.weights, self.draw, self.log_weights, self.islands)

    def knowledge_range(self, treatment: str, month: float, *, probability: float = 0.8):
        """The knowledge range of a chance, or None (see `Chance.reason`); probability : 0.5, 0.8 or 0.95."""
        if probability not in LEVELS:
            raise ModelError(
                "no knowledge range of this probability",
                place="probability",
                value=probability,
                allowed=", ".join(map(str, LEVELS)),
            )
        chance = self.chance(treatment, month)
        return None if chance is None or chance.knowledge is None else chance.knowledge[probability]

    def quantiles(self, treatment: str, probabilities=(0.1, 0.25, 0.5, 0.75, 0.9)) -> tuple[float, ...] | None:
        """Quantiles of the time to progression or death, months; inf beyond the horizon."""
        months = self._months(treatment)
        return None if months is None else step_quantiles(months, self.weights, probabilities)

    def quantiles_mcse(self, treatment: str, probabilities=(0.1, 0.25, 0.5, 0.75, 0.9)) -> tuple[float, ...] | None:
        """Monte Carlo errors of `quantiles`, months; inf where another seed may pass the horizon or come back."""
        months = self._months(treatment)
        if months is None:
            return None
        errors = quantile_errors(months, self.log_weights, self.islands, probabilities, step_quantiles)
        return tuple(map(float, errors))

    def _months(self, treatment: str) -> np.ndarray | None:
        """Times to progression or death (P,), inf beyond the horizon; None where the row has no number."""
        events = self.row(treatment).events
        return None if events is None else np.where(events.event > self.horizon, np.inf, events.event)

    def time_on(self, treatment: str, *, probability: float = 0.8) -> dict[str, tuple[float, float, float]] | None:
        """Of a schedule or a policy: treatment -> mean share of the time until progression, death or horizon, and its
        predictive interval. None for other rows."""
        found = self.row(treatment).time_on
        return None if found is None else found.shares(self.weights, probability)

    def time_on_mcse(self, treatment: str, *, probability: float = 0.8) -> dict[str, tuple[float, float, float]] | None:
        """Monte Carlo errors of `time_on`, of the mean share and of both ends."""
        found = self.row(treatment).time_on
        return None if found is None else found.shares_mcse(self.log_weights, self.islands, probability)

    def first_change(self, treatment: str, probabilities=(0.1, 0.5, 0.9)) -> tuple[float, ...] | None:
        """Of a schedule or a policy: quantiles of the time to the first change of treatment, months; inf where none."""
        found = self.row(treatment).time_on
        return None if found is None else found.quantiles(self.weights, probabilities)

    def first_change_mcse(self, treatment: str, probabilities=(0.1, 0.5, 0.9)) -> tuple[float, ...] | None:
        """Monte Carlo errors of `first_change`; inf where one seed may say a month and another none."""
        found = self.row(treatment).time_on
        return None if found is None else found.quantiles_mcse(self.log_weights, self.islands, probabilities)

    def to_frame(self):
        """One row per treatment and landmark: chance, its error, knowledge range, doubt (pandas)."""
        rows = []
        for row in self.rows:
            for month in self.landmarks if row.events is not None else (None,):
                chance = None if month is None else self.chance(row.plan.name, month)
                low, high = (np.nan, np.nan) if chance is None or chance.knowledge is None else chance.knowledge[0.8]
                rows.append(
                    {
                        "treatment": row.plan.name,
                        "role": row.plan.role,
                        "month": month,
                        "chance": np.nan if chance is None else chance.value,
                        "mcse": np.nan if chance is None else chance.mcse,
                        "draws_error": np.nan if chance is None else chance.draws_error,
                        "knowledge_low": low,
                        "knowledge_high": high,
                        "median_months": np.nan if chance is None else self.quantiles(row.plan.name, (0.5,))[0],
                        "median_mcse": np.nan if chance is None else self.quantiles_mcse(row.plan.name, (0.5,))[0],
                        "note": row.refused or ("" if chance is None else chance.reason),
                    }
                )
        return table(rows)

    def to_datatree(self):
        """ArviZ-style DataTree of the draws."""
        from bayestwin.prognosis.save import prognosis_to_tree

        return prognosis_to_tree(self)

    def save(self, path):
        """Write the prognosis as one netCDF file."""
        from bayestwin.prognosis.save import save_prognosis

        return save_prognosis(self, path)

    @property
    def treatments(self) -> tuple[str, ...]:
        """The same as `names`."""
        return self.names

    def __str__(self):
        """A plain table: chances in 100 with their 80 % knowledge range, never a ranking."""
        from bayestwin.prognosis.printed import forecast_text

        return forecast_text(self)

    def __repr__(self):
        return (
            f"<Prognosis of {self.patient} from {self.now:g} {self.model.time_unit}: "
            f"{', '.join(self.names)}; {self.verdict}>"
        )
