"""Events forecast at every assessment: the twin's chance of no progression or death, asked as its rivals are.

At each landmark of `rivals.landmark_cox` the twin has learnt what was known then and is asked for the treatment in
force, continued. It counts from its data cut, the latest lab or event that it knows of, so that the time until a visit
was reported is forecast too. A landmark without a treatment in force has no row; one at which the twin is withheld, or
has no number, has a row without a probability.
"""

from typing import Any

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.errors import FitError
from bayestwin.evaluation.rivals.landmark_cox import follow_up, landmarks_of
from bayestwin.prognosis import forecast
from bayestwin.prognosis.plan import current_treatment
from bayestwin.twin import start_twin, update_twin

TWIN = "twin"


def twin_event_rows(
    population,
    record,
    *,
    random_seed: int,
    months=None,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
) -> list[dict]:
    """Rows as of `rivals.event_rows`, with `verdict`, for every assessment of one patient before the event.

    Parameters
    ----------
    population : PopulationPosterior     fitted without this patient
    months : landmark months of the model's endpoint; None: all of them

    Raises
    ------
    ModelError      the model has no endpoint, or none at such a month
    """
    model = population.model
    months, per_month = horizons_of(model, months)
    sizes: dict[str, Any] = {"particles": particles, "islands": islands, "population_draws": population_draws}
    twin, rows, follow = None, [], follow_up(record)
    for moment in (s for s in landmarks_of(record) if s < follow.time):
        known = record.known_at(moment)
        if twin is None:
            twin = start_twin(population, known, random_seed=random_seed, **sizes)
        elif known != twin.record:
            twin, _ = update_twin(twin, known, random_seed=random_seed, population=population, anchor_every=0)
        chances = _chances(twin, known, months, random_seed)
        for month in months if chances is not None else ():
            row = {"patient": record.key, "landmark": moment, "horizon": month * per_month, "forecaster": TWIN}
            row |= {"probability": chances[month], "time": follow.time, "event": follow.event}
            rows.append(row | {"verdict": twin.info.verdict})
    return rows


def horizons_of(model, months=None) -> tuple[tuple[int, ...], float]:
    """Landmark months of the model's endpoint and the length of a month in its time unit; no months without one."""
    endpoint = model.progression
    every = () if endpoint is None else tuple(endpoint.landmarks_months)
    return (every if months is None else tuple(months)), DAYS_PER_MONTH * (1.0 if model.time_unit == "day" else 24.0)


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
