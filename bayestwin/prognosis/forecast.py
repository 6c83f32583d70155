"""`forecast`: a twin's future under each treatment, as draws from which every reported number is computed."""

from typing import Any

import jax

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError, ModelError, refuse_other, refuse_seed
from bayestwin.prognosis.courses import past_courses
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.result import Prognosis
from bayestwin.prognosis.row import Asked, forecast_row
from bayestwin.units import convert

LONGEST_MONTHS = 1200.0  # of a model without an endpoint: no life is longer
SMALLEST_ESS_SHARE = 0.1  # under another rho; less and the number is not shown


def forecast(
    twin,
    treatments=None,
    *,
    horizon_months: float | None = None,
    horizon: float | None = None,
    landmarks_months: tuple[float, ...] | None = None,
    random_seed: int,
    rho: float | None = None,
    over_rho: bool = True,
    accuracy: Accuracy = NO_GRADIENT,
) -> Prognosis:
    """The future under each treatment.

    Parameters
    ----------
    twin : Twin
    treatments : rows of the result, in this order: None (what the model offers), names, or row name -> what is done:
        None (the treatment of that name), a treatment's name, a Regimen, a Schedule or a Policy
    horizon_months : float   default the endpoint's own
    horizon : float          for models without an endpoint, in the model's time unit; default 48
    landmarks_months : months after the data cut at which chances are computed; default the endpoint's own
    rho : float              response correlation, default the twin's
    over_rho : bool          also compute the range over the declared values of rho

    Raises
    ------
    FitError                 the twin is withheld: a posterior that failed its check makes no forecast
    ModelError               unknown treatment; a horizon past what the model declares; a policy that cannot be followed

    The parameters of every draw are the same in all rows; events and assay errors are drawn row by row.
    """
    refuse_other(twin, "forecast, twin", "a Twin: start_twin(...) or load_twin(path)", "particles", "history")
    refuse_seed(random_seed, "forecast")
    if treatments is not None:
        allowed = "None, names of treatments, or row name -> treatment, Regimen, Schedule or Policy"
        refuse_other(treatments, "forecast, treatments", allowed, "__iter__")
    if landmarks_months is not None:
        refuse_other(landmarks_months, "forecast, landmarks_months", "months in a row: (12,)", "__iter__")
    for name, given in (("horizon_months", horizon_months), ("horizon", horizon)):
        if given is not None:
            refuse_other(given, f"forecast, {name}", "a number", "__float__")
    if twin.info.verdict != "PASS":
        raise FitError(
            "this twin is withheld and makes no forecast: " + "; ".join(twin.info.reasons),
            subject=f"patient {twin.key}",
            next_step="Rebuild it with more particles, or report the data only.",
        )
    model, endpoint = twin.model, twin.model.progression
    rho = twin.rho if rho is None else rho
    span, landmarks, per_month = _span_and_landmarks(model, horizon_months, horizon, landmarks_months)
    plans = make_plans(model, twin.record, treatments, twin.time, applied=twin.applied, span=span)
    asked = Asked(twin, endpoint, span, landmarks, per_month, random_seed, accuracy)
    with jax.enable_x64(True):
        draws = forecast_draws(twin, rho, asked.rng(0))
        ranged = over_rho and endpoint is not None and model.response_correlation is not None
        by_rho = _draws_by_rho(asked, draws, rho) if ranged else {}
        rows = [forecast_row(asked, plan, number, draws, by_rho) for number, plan in enumerate(plans)]
        past = past_courses(twin, plans[0], draws, asked.rng(1), accuracy)
    return Prognosis(
        model,
        twin.key,
        twin.time,
        span / per_month if endpoint is not None else span,
        tuple(rows),
        landmarks,
        twin.population.drawn(draws.draw),
        draws.log_weights,
        twin.islands,
        rho,
        twin.info.verdict,
        random_seed,
        twin.record.data_hash,
        twin.population_hash,
        past,
    )


def _span_and_landmarks(model, horizon_months, horizon, landmarks_months) -> tuple[float, tuple[float, ...], float]:
    """How far the forecast goes in the model's time, its landmarks in months, and the model's time in a month."""
    endpoint, per_month = model.progression, convert(1.0, "month", model.time_unit)
    if horizon is not None and (endpoint is not None or horizon_months is not None):
        raise ModelError(
            "the horizon is said twice" if endpoint is None else "a model with an endpoint is asked for months",
            subject=f"model {model.name}",
            place="horizon",
            value=horizon,
            allowed="horizon_months alone" if endpoint is not None else "horizon_months or horizon",
        )
    if endpoint is None:
        return _span(model, horizon_months, horizon, per_month), (), per_month
    months = endpoint.horizon_months if horizon_months is None else horizon_months
    if not 0 < months <= endpoint.horizon_months:
        raise ModelError(
            "no forecast beyond the model's horizon",
            subject=f"model {model.name}",
            value=months,
            allowed=f"1 to {endpoint.horizon_months} months",
        )
    wanted = endpoint.landmarks_months if landmarks_months is None else landmarks_months
    landmarks = tuple(m for m in wanted if 0 < m <= months)
    if landmarks_months is not None and len(landmarks) < len(landmarks_months):
        raise ModelError(
            "a landmark lies outside the horizon",
            subject=f"model {model.name}",
            value=", ".join(f"{m:g}" for m in landmarks_months),
            allowed=f"more than 0 and at most {months:g} months",
        )
    if not landmarks:
        raise ModelError(
            "no landmark of this model lies within the horizon",
            subject=f"model {model.name}",
            value=months,
            allowed=f"{min(endpoint.landmarks_months)} to {endpoint.horizon_months} months",
        )
    return months * per_month, landmarks, per_month


def _span(model, horizon_months, horizon, per_month: float) -> float:
    """How far the forecast of a model without an endpoint goes."""
    name, asked = ("horizon", horizon) if horizon_months is None else ("horizon_months", horizon_months)
    most = LONGEST_MONTHS * (per_month if horizon_months is None else 1.0)
    if asked is None:
        return 48.0
    if not 0 < asked <= most:
        raise ModelError(
            "this is no horizon of a forecast",
            subject=f"model {model.name}",
            place=name,
            value=asked,
            allowed=f"more than 0 and at most {most:g} {'months' if name == 'horizon_months' else model.time_unit}",
        )
    return float(asked) * (per_month if name == "horizon_months" else 1.0)


def _draws_by_rho(asked: Asked, draws, rho: float) -> dict:
    """Draws under each declared rho; None where reweighting leaves too few of them."""
    found: dict[float, Any] = {}
    for value in asked.twin.model.response_correlation.shown:
        same = abs(value - rho) < 1e-12
        other = draws if same else forecast_draws(asked.twin, value, asked.rng(4))
        found[value] = other if same or other.ess >= SMALLEST_ESS_SHARE * len(other.draw) else None
    return found
