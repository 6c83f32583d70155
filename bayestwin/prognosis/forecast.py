"""`forecast`: a twin's future under each treatment, as draws from which every reported number is computed."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError, ModelError
from bayestwin.individual import beginning
from bayestwin.individual.residuals import draw_observation
from bayestwin.prognosis.endpoint import EventTimes, code_progression, event_times
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import Plan, make_plans
from bayestwin.prognosis.quantities import Chance, chance_of
from bayestwin.prognosis.simulate import trajectories
from bayestwin.twin.surprise import weighted_quantiles

QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
SMALLEST_ESS_SHARE = 0.1  # under another rho; less and the number is not shown
SAMPLED_FUTURES = 12


@dataclass(frozen=True)
class Course:
    """Predictive course of one output.

    times (T,); quantiles (7, T) at QUANTILES with residual error; samples (12, T) without
    Values outside the observation's plausible range are set to its end: the report says so.
    """

    output: str
    times: np.ndarray
    quantiles: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True, eq=False)
class TreatmentPrognosis:
    """One treatment row. `refused` says why there is no number; events, courses and by_rho are then empty.

    events : months after the data cut
    by_rho : rho -> (survival (P, L), log_weights (P,)) or None where too few draws remain
    """

    plan: Plan
    refused: str
    events: EventTimes | None = None
    courses: tuple[Course, ...] = ()
    by_rho: dict | None = None
    solver_failures: float = 0.0


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
    landmarks: tuple[int, ...]
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

    def chance(self, treatment: str, month: int, *, endpoint: str = "progression or death") -> Chance | None:
        """Chance of being event-free at a landmark month, with knowledge range and doubt.

        None where the row has no number.
        endpoint : "progression or death" (PFS) or "progression" (time to progression, death as censoring)
        """
        row = self.row(treatment)
        if row.events is None:
            return None
        if month not in self.landmarks:
            raise ModelError(
                "not a landmark of this forecast", value=month, allowed=", ".join(str(m) for m in self.landmarks)
            )
        k = self.landmarks.index(month)
        survival = row.events.survival if endpoint == "progression or death" else row.events.free
        squared = row.events.squared[:, k]
        if endpoint != "progression or death":  # the same estimate without the chance of being alive
            alive = np.divide(
                row.events.survival[:, k], survival[:, k], out=np.ones(len(squared)), where=survival[:, k] > 0
            )
            squared = squared / np.maximum(alive, 1e-300) ** 2
        return chance_of(survival[:, k], squared, self.weights, self.draw, self.log_weights, self.islands)

    def knowledge_range(self, treatment: str, month: int, *, probability: float = 0.8):
        """The knowledge range of a chance, or None (see `Chance.reason`)."""
        chance = self.chance(treatment, month)
        return None if chance is None or chance.knowledge is None else chance.knowledge[probability]

    def quantiles(self, treatment: str, probabilities=(0.1, 0.25, 0.5, 0.75, 0.9)) -> tuple[float, ...] | None:
        """Quantiles of the time to progression or death, months; inf beyond the horizon."""
        row = self.row(treatment)
        if row.events is None:
            return None
        months = np.where(row.events.event > self.horizon, np.inf, row.events.event)
        order = np.argsort(months)
        at = np.searchsorted(np.cumsum(self.weights[order]), probabilities)
        return tuple(float(months[order][min(i, len(order) - 1)]) for i in at)

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
                        "knowledge_low": low,
                        "knowledge_high": high,
                        "median_months": np.nan if chance is None else self.quantiles(row.plan.name, (0.5,))[0],
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
        if not self.landmarks:
            return repr(self)
        lines = [
            f"Forecast of {self.patient} from {self.model.time_unit} {self.now:g} "
            "(research use only; not a randomised comparison)",
            "progression-free in 100, 80 % knowledge range in brackets; median months to progression or death",
        ]
        for row in self.rows:
            if row.events is None:
                lines.append(f"  {row.plan.label}: no number ({row.refused})")
                continue
            cells = []
            for month in self.landmarks:
                c = self.chance(row.plan.name, month)
                limits = (
                    f"({100 * c.knowledge[0.8][0]:.0f} to {100 * c.knowledge[0.8][1]:.0f})"
                    if c.knowledge
                    else f"(no range: {c.reason})"
                )
                cells.append(f"{month} mo {100 * c.value:.0f} {limits}")
            median = self.quantiles(row.plan.name, (0.5,))[0]
            lines.append(
                f"  {row.plan.label}: {', '.join(cells)}; median "
                f"{'after ' + format(self.horizon, 'g') if np.isinf(median) else format(median, '.1f')}"
            )
        return "\n".join(lines)

    def __repr__(self):
        return (
            f"<Prognosis of {self.patient} from {self.now:g} {self.model.time_unit}: "
            f"{', '.join(self.names)}; {self.verdict}>"
        )


def forecast(
    twin,
    treatments=None,
    *,
    horizon_months: float | None = None,
    horizon: float | None = None,
    random_seed: int,
    rho: float | None = None,
    over_rho: bool = True,
    accuracy: Accuracy = NO_GRADIENT,
) -> Prognosis:
    """The future under each treatment.

    Parameters
    ----------
    twin : Twin
    treatments : None (all of the model), names, or name -> Regimen     rows of the result, in this order
    horizon_months : float   for models with an endpoint; default the endpoint's own
    horizon : float          for models without an endpoint, in the model's time unit
    rho : float              response correlation, default the twin's
    over_rho : bool          also compute the range over the declared values of rho

    Raises
    ------
    FitError                 the twin is withheld: a posterior that failed its check makes no forecast
    ModelError               unknown treatment; a horizon past what the model declares
    """
    if twin.info.verdict != "PASS":
        raise FitError(
            "this twin is withheld and makes no forecast: " + "; ".join(twin.info.reasons),
            subject=f"patient {twin.key}",
            next_step="Rebuild it with more particles, or report the data only.",
        )
    model, endpoint = twin.model, twin.model.progression
    rho = twin.rho if rho is None else rho
    plans = make_plans(model, twin.record, treatments, twin.time)
    per_month = DAYS_PER_MONTH if model.time_unit == "day" else DAYS_PER_MONTH * 24.0
    if endpoint is None:
        span = 48.0 if horizon is None else float(horizon)
        landmarks: tuple[int, ...] = ()
    else:
        months = endpoint.horizon_months if horizon_months is None else horizon_months
        if not 0 < months <= endpoint.horizon_months:
            raise ModelError(
                "no forecast beyond the model's horizon",
                subject=f"model {model.name}",
                value=months,
                allowed=f"1 to {endpoint.horizon_months} months",
            )
        span, landmarks = months * per_month, tuple(m for m in endpoint.landmarks_months if m <= months)
    with jax.enable_x64(True):
        key = jax.random.fold_in(jax.random.key(random_seed), twin.updates)
        key_draw, key_event, key_course, key_rho = jax.random.split(key, 4)
        draws = forecast_draws(twin, rho, key_draw)
        rows = []
        for number, plan in enumerate(plans):
            keys = [jax.random.fold_in(k, number) for k in (key_event, key_course)]
            rows.append(_row(twin, plan, draws, endpoint, span, landmarks, per_month, keys, accuracy))
        if over_rho and endpoint is not None and model.response_correlation is not None:
            rows = _over_rho(
                twin, plans, rows, draws, endpoint, span, landmarks, per_month, rho, key_rho, key_event, accuracy
            )
        past = _past(twin, plans[0], draws, key_course, accuracy)
    return Prognosis(
        model,
        twin.key,
        twin.time,
        span / per_month if endpoint is not None else span,
        tuple(rows),
        landmarks,
        np.asarray(draws.draw),
        np.asarray(draws.log_weights),
        twin.islands,
        rho,
        twin.info.verdict,
        random_seed,
        twin.record.data_hash,
        twin.population_hash,
        past,
    )


def table(rows: list[dict]):
    """A data frame from rows of equal keys (through xarray, so that this room needs no pandas of its own)."""
    names = list(rows[0]) if rows else []
    return (
        xr.Dataset({name: (("row",), np.array([row[name] for row in rows], dtype=object)) for name in names})
        .to_dataframe()
        .infer_objects()
    )


def visit_times(endpoint, start: float, span: float) -> np.ndarray:
    """Assessments after the data cut.

    Every `visit_every` until the treatment starts, at its start, and so on from there.
    """
    waiting = np.arange(endpoint.visit_every, start, endpoint.visit_every) if start > 0 else np.array([])
    after = start + endpoint.visit_every * np.arange(0 if start > 0 else 1, int(span // endpoint.visit_every) + 2)
    return np.unique(np.concatenate([waiting, after[after <= span + endpoint.visit_every]]))


def marker_history(model, rule, record, plan, now) -> list[float]:
    """Observed values of the progression marker since the current treatment started, its baseline first."""
    labs = [(lab.time, lab.value) for lab in record.labs if lab.output == rule.output and lab.time <= now]
    if plan.new:
        return [labs[-1][1]] if labs and plan.start <= now else []
    before = [v for t, v in labs if t <= plan.start]
    return before[-1:] + [v for t, v in labs if t > plan.start]


def _row(twin, plan, draws, endpoint, span, landmarks, per_month, keys, accuracy):
    if plan.refused:
        return TreatmentPrognosis(plan, plan.refused)
    model, sigma = twin.model, twin.population.sigma[draws.draw]
    if endpoint is None:
        times = np.linspace(0.0, span, 61)
        outputs, _, ok = trajectories(twin, draws, plan, twin.time + times, past=False, accuracy=accuracy)
        return TreatmentPrognosis(
            plan,
            "",
            None,
            _courses(model, outputs, ok, sigma, twin.time + times, draws, twin.islands, keys[1]),
            None,
            float((~ok).mean()),
        )
    wait = max(plan.start - twin.time, 0.0) if plan.new else 0.0
    visits = visit_times(endpoint, wait, span)
    early = np.concatenate([np.arange(3.5, 32.0, 3.5), wait + np.arange(3.5, 32.0, 3.5)])
    times = np.unique(np.concatenate([visits, early[early < span]]))
    outputs, hazards, ok = trajectories(twin, draws, plan, twin.time + times, past=False, accuracy=accuracy)
    state = np.asarray(twin.particles.state[jnp.arange(len(draws.draw)), draws.known])[:, len(model.states) :]
    hazards = hazards - state[:, None]
    rule = endpoint.rule_for(twin.record.covariates)
    history = marker_history(model, rule, twin.record, plan, twin.time)
    if not plan.new and len(history) > 2:
        if code_progression(np.array(history), rule, first_valid=1, confirmations=endpoint.confirmations) >= 0:
            return TreatmentPrognosis(plan, "progression under this treatment is already in the record")
    at = np.searchsorted(times, visits)
    fine = np.where(ok)[0]
    outputs, hazards = (
        np.where(ok[:, None, None], outputs, outputs[fine[:1]]),
        np.where(ok[:, None, None], hazards, hazards[fine[:1]]),
    )
    events = event_times(
        model,
        rule,
        endpoint,
        outputs[:, at],
        hazards[:, at],
        sigma,
        visits,
        history=history,
        start=wait,
        landmarks=[m * per_month for m in landmarks],
        key=keys[0],
    )
    events = events._replace(event=events.event / per_month, progression=events.progression / per_month)
    shown = times <= 18.5 * DAYS_PER_MONTH
    courses = _courses(model, outputs[:, shown], ok, sigma, twin.time + times[shown], draws, twin.islands, keys[1])
    return TreatmentPrognosis(plan, "", events, courses, None, float((~ok).mean()))


def _courses(model, outputs, ok, sigma, times, draws, islands, key) -> tuple[Course, ...]:
    weights = np.where(ok, np.exp(np.asarray(draws.log_weights)) / islands, 0.0)
    weights = weights / weights.sum()
    picked = np.random.default_rng(0).choice(len(weights), SAMPLED_FUTURES, p=weights)
    found = []
    for k, observation in enumerate(model.observations):
        key, own = jax.random.split(key)
        seen = np.asarray(draw_observation(model, k, own, jnp.asarray(outputs[:, :, k]), sigma[:, None, :]))
        # no treatment after progression is modelled: what grows past the plausible range is drawn at its end
        seen = np.clip(
            seen,
            max(observation.plausible[0], 0.0) if observation.positive else observation.plausible[0],
            observation.plausible[1],
        )
        quantiles = np.stack([weighted_quantiles(seen[:, t], weights, QUANTILES) for t in range(len(times))], axis=1)
        found.append(
            Course(
                observation.output, np.asarray(times), quantiles, np.clip(outputs[picked, :, k], *observation.plausible)
            )
        )
    return tuple(found)


def _past(twin, plan, draws, key, accuracy) -> tuple[Course, ...]:
    """The fit to the past, from the patient's beginning to the data cut."""
    begin = beginning(twin.record)
    if twin.time <= begin:
        return ()
    times = np.unique(np.concatenate([np.linspace(begin, twin.time, 40), [lab.time for lab in twin.record.labs]]))
    outputs, _, ok = trajectories(twin, draws, plan, times, past=True, accuracy=accuracy)
    return _courses(
        twin.model,
        outputs,
        ok,
        twin.population.sigma[draws.draw],
        times,
        draws,
        twin.islands,
        jax.random.fold_in(key, 999),
    )


def _over_rho(twin, plans, rows, draws, endpoint, span, landmarks, per_month, rho, key, key_event, accuracy):
    """Survival of every row under each declared rho; None where reweighting leaves too few draws."""
    found = [dict() for _ in rows]
    for value in twin.model.response_correlation.shown:
        if abs(value - rho) < 1e-12:
            for store, row in zip(found, rows):
                if row.events is not None:
                    store[value] = (row.events.survival, np.asarray(draws.log_weights))
            continue
        other = forecast_draws(twin, value, key)
        for number, (store, plan, row) in enumerate(zip(found, plans, rows)):
            if row.events is None:
                continue
            if other.ess < SMALLEST_ESS_SHARE * len(other.draw):
                store[value] = None
                continue
            keys = [jax.random.fold_in(key_event, number)] * 2
            again = _row(twin, plan, other, endpoint, span, landmarks, per_month, keys, accuracy)
            store[value] = (again.events.survival, np.asarray(other.log_weights)) if again.events is not None else None
    return [
        TreatmentPrognosis(r.plan, r.refused, r.events, r.courses, f or None, r.solver_failures)
        for r, f in zip(rows, found)
    ]
