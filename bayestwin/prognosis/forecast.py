"""`forecast`: a twin's future under each treatment, as draws from which every reported number is computed."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError, ModelError
from bayestwin.prognosis.courses import courses, past_courses
from bayestwin.prognosis.endpoint import EventTimes, code_progression, event_times
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import Plan, make_plans
from bayestwin.prognosis.result import Prognosis, TreatmentPrognosis
from bayestwin.prognosis.simulate import trajectories

SMALLEST_ESS_SHARE = 0.1  # under another rho; less and the number is not shown


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
        if not landmarks:
            raise ModelError(
                "no landmark of this model lies within the horizon",
                subject=f"model {model.name}",
                value=months,
                allowed=f"{min(endpoint.landmarks_months)} to {endpoint.horizon_months} months",
            )
    asked = _Asked(twin, endpoint, span, landmarks, per_month, random_seed, accuracy)
    with jax.enable_x64(True):
        draws = forecast_draws(twin, rho, asked.rng(0))
        rows = [_row(asked, plan, number, draws) for number, plan in enumerate(plans)]
        if over_rho and endpoint is not None and model.response_correlation is not None:
            rows = _over_rho(asked, rows, draws, rho)
        past = past_courses(twin, plans[0], draws, asked.rng(1), accuracy)
    return Prognosis(
        model,
        twin.key,
        twin.time,
        span / per_month if endpoint is not None else span,
        tuple(rows),
        landmarks,
        draws.draw,
        draws.log_weights,
        twin.islands,
        rho,
        twin.info.verdict,
        random_seed,
        twin.record.data_hash,
        twin.population_hash,
        past,
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


class _Asked(NamedTuple):
    """What every row of one forecast shares; span and landmarks in the model's time unit and in months."""

    twin: Any
    endpoint: Any
    span: float
    landmarks: tuple[int, ...]
    per_month: float
    random_seed: int
    accuracy: Accuracy

    def rng(self, *what: int) -> np.random.Generator:
        """Random numbers of one purpose; the values of rho share theirs, so that their differences are quiet."""
        return np.random.default_rng([self.random_seed, self.twin.updates, *what])


class _Simulated(NamedTuple):
    """outputs (P, V, K), hazards (P, V, H) since the data cut, ok (P,), times (V,) and visits from the data cut."""

    outputs: np.ndarray
    hazards: np.ndarray
    ok: np.ndarray
    times: np.ndarray
    visits: np.ndarray
    wait: float


def _row(asked: _Asked, plan: Plan, number: int, draws) -> TreatmentPrognosis:
    """Events and courses under one plan."""
    if plan.refused:
        return TreatmentPrognosis(plan, plan.refused)
    twin, sigma = asked.twin, np.asarray(asked.twin.population.sigma)[draws.draw]
    if asked.endpoint is None:
        times = np.linspace(0.0, asked.span, 61)
        outputs, _, ok = trajectories(twin, draws, plan, twin.time + times, past=False, accuracy=asked.accuracy)
        events, shown = None, np.ones(len(times), dtype=bool)
    elif _progressed_already(asked, plan):
        return TreatmentPrognosis(plan, "progression under this treatment is already in the record")
    else:
        simulated = _simulate(asked, plan, draws)
        outputs, ok, times = simulated.outputs, simulated.ok, simulated.times
        events, shown = _events(asked, plan, number, simulated, sigma), times <= 18.5 * DAYS_PER_MONTH
    found = courses(
        twin.model, outputs[:, shown], ok, sigma, twin.time + times[shown], draws, twin.islands, asked.rng(2, number)
    )
    return TreatmentPrognosis(plan, "", events, found, None, float((~ok).mean()))


def _simulate(asked: _Asked, plan: Plan, draws) -> _Simulated:
    """Solve every draw to the horizon, at the visits and more often soon after a start."""
    twin = asked.twin
    wait = max(plan.start - twin.time, 0.0) if plan.new else 0.0
    visits = visit_times(asked.endpoint, wait, asked.span)
    early = np.concatenate([np.arange(3.5, 32.0, 3.5), wait + np.arange(3.5, 32.0, 3.5)])
    times = np.unique(np.concatenate([visits, early[early < asked.span]]))
    outputs, hazards, ok = trajectories(twin, draws, plan, twin.time + times, past=False, accuracy=asked.accuracy)
    known = np.asarray(twin.particles.state)[np.arange(len(draws.draw)), draws.known]
    hazards = hazards - known[:, None, len(twin.model.states) :]
    first = np.flatnonzero(ok)[:1]  # a failed solve has no weight, and borrows numbers
    outputs, hazards = (np.where(ok[:, None, None], a, a[first]) for a in (outputs, hazards))
    return _Simulated(outputs, hazards, ok, times, visits, wait)


def _events(asked: _Asked, plan: Plan, number: int, simulated: _Simulated, sigma) -> EventTimes:
    """Event times in months after the data cut."""
    twin = asked.twin
    rule = asked.endpoint.rule_for(twin.record.covariates)
    at = np.searchsorted(simulated.times, simulated.visits)
    events = event_times(
        twin.model,
        rule,
        asked.endpoint,
        simulated.outputs[:, at],
        simulated.hazards[:, at],
        sigma,
        simulated.visits,
        history=marker_history(twin.model, rule, twin.record, plan, twin.time),
        start=simulated.wait,
        landmarks=[m * asked.per_month for m in asked.landmarks],
        rng=asked.rng(3, number),
    )
    return events._replace(event=events.event / asked.per_month, progression=events.progression / asked.per_month)


def _progressed_already(asked: _Asked, plan: Plan) -> bool:
    """True where the record holds a confirmed progression under the treatment in force."""
    twin, endpoint = asked.twin, asked.endpoint
    rule = endpoint.rule_for(twin.record.covariates)
    history = marker_history(twin.model, rule, twin.record, plan, twin.time)
    if plan.new or len(history) <= 2:
        return False
    return bool(code_progression(np.array(history), rule, first_valid=1, confirmations=endpoint.confirmations) >= 0)


def _over_rho(asked: _Asked, rows, draws, rho: float) -> list[TreatmentPrognosis]:
    """Survival of every row under each declared rho; None where reweighting leaves too few draws."""
    found: list[dict] = [{} for _ in rows]
    for value in asked.twin.model.response_correlation.shown:
        same = abs(value - rho) < 1e-12
        other = draws if same else forecast_draws(asked.twin, value, asked.rng(4))
        sigma = np.asarray(asked.twin.population.sigma)[other.draw]
        for number, (store, row) in enumerate(zip(found, rows)):
            if row.events is None:
                continue
            if same:
                store[value] = (row.events.survival, draws.log_weights)
            elif other.ess < SMALLEST_ESS_SHARE * len(other.draw):
                store[value] = None
            else:
                events = _events(asked, row.plan, number, _simulate(asked, row.plan, other), sigma)
                store[value] = (events.survival, other.log_weights)
    return [replace(row, by_rho=store or None) for row, store in zip(rows, found)]
