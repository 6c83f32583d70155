"""Events forecast at every assessment: the twin's chance of no progression or death, asked as its rivals are.

At each landmark of `rivals.landmark_cox` the twin has learnt what was known then and is asked for the treatment in
force, continued. The rivals forecast patients who are alive at the landmark, so the twin is told that too: its data cut
is the landmark, though its newest lab was drawn days before it was reported. A landmark without a treatment in force
has no row; one at which the twin is withheld, or has no number, has a row without a probability.
"""

from dataclasses import replace
from typing import Any

from bayestwin.errors import FitError, ModelError
from bayestwin.evaluation.rivals.landmark_cox import follow_up, landmarks_of
from bayestwin.prognosis import forecast
from bayestwin.prognosis.plan import current_treatment
from bayestwin.records import ClinicalEvent
from bayestwin.twin import start_twin, update_twin
from bayestwin.units import convert

TWIN = "twin"


def twin_event_rows(
    population,
    record,
    *,
    random_seed: int,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
) -> list[dict]:
    """Rows as of `rivals.event_rows`, with `verdict`, for every assessment of one patient before the event.

    Horizons are the landmark months of the model's endpoint.

    Parameters
    ----------
    population : PopulationPosterior     fitted without this patient

    Raises
    ------
    ModelError      the model has no endpoint
    """
    model = population.model
    months = landmark_months(model)
    if not months:
        raise ModelError(
            "the model has no endpoint, so there is no event to forecast",
            subject=f"model {model.name}",
            place="progression",
            next_step="Give the model a Progression, or replay its labs only.",
        )
    per_month = convert(1.0, "month", model.time_unit)
    sizes: dict[str, Any] = {"particles": particles, "islands": islands, "population_draws": population_draws}
    twin, rows, follow = None, [], follow_up(record)
    alive: tuple[ClinicalEvent, ...] = ()
    for moment in (s for s in landmarks_of(record) if s < follow.time):
        alive = (*alive, ClinicalEvent("last_known_alive", moment, moment))
        known = record.known_at(moment)
        known = replace(known, events=(*known.events, *alive))
        if twin is None:
            twin = start_twin(population, known, random_seed=random_seed, **sizes)
        else:
            twin, _ = update_twin(twin, known, random_seed=random_seed, population=population, anchor_every=0)
        chances = _chances(twin, known, months, random_seed)
        for month in months if chances is not None else ():
            row = {"patient": record.key, "landmark": moment, "horizon": month * per_month, "forecaster": TWIN}
            row |= {"probability": chances[month], "time": follow.time, "event": follow.event}
            rows.append(row | {"verdict": twin.info.verdict})
    return rows


def landmark_months(model) -> tuple[int, ...]:
    """Landmark months of the model's endpoint; none without one."""
    return () if model.progression is None else tuple(model.progression.landmarks_months)


def _chances(twin, known, months, random_seed):
    """month -> chance, NaN where there is no number; None without a treatment in force."""
    in_force = current_treatment(twin.model, known, twin.time)
    if in_force is None:
        return None
    try:
        found = forecast(twin, [in_force[1]], horizon_months=max(months), random_seed=random_seed, over_rho=False)
    except FitError:  # withheld
        return dict.fromkeys(months, float("nan"))
    chances = {month: found.chance(in_force[1], month) for month in months}
    return {month: float("nan") if chance is None else float(chance.value) for month, chance in chances.items()}
