"""Replay of a patient's labs: the twin predicts every panel before it learns it."""

from typing import Any

from bayestwin.errors import RecordError
from bayestwin.evaluation.panels import panels
from bayestwin.evaluation.predictions import prediction_rows
from bayestwin.twin import predict_labs, start_twin, update_twin
from bayestwin.twin.compare import difference


def replay(
    population,
    record,
    *,
    random_seed: int,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
    reveal_until: float | None = None,
    doses_known_until: float | None = None,
    learnt=None,
    anchor_every: int = 0,
):
    """Follow one patient panel by panel.

    Parameters
    ----------
    population : PopulationPosterior     fitted without this patient
    record : PatientRecord               the whole record
    reveal_until : float                 labs of a later time are predicted from the last twin and never learnt; with it
        the rows are those of these labs only
    doses_known_until : float            doses of a later time are hidden from the twin
    learnt : called with every panel     to show progress
    anchor_every : int                   as for `update_twin`; 0: the forecasts are those of the updates alone

    Returns
    -------
    rows, twins     rows of predictions.csv as dicts, one per lab; the twin before every panel and after the last

    Raises
    ------
    RecordError     the patient was in the fitted cohort, whose labs the population has learnt

    A lab that arrives with a change of the past (a restart) has no row: rivals that start again have no forecast of it.
    Nor has one that finds a twin without any weight. Where the twin had failed its check, the row says WITHHELD.
    """
    if population.knows(record):
        raise RecordError(
            "this patient was in the fitted cohort; a replay would predict labs that are already learnt",
            subject=f"patient {record.key}",
            next_step="Fit without this patient.",
        )
    sizes: dict[str, Any] = {"particles": particles, "islands": islands, "population_draws": population_draws}
    course = panels(record, reveal_until=reveal_until, doses_known_until=doses_known_until)
    if not course:
        return [], ()
    twin = start_twin(population, course[0].known, random_seed=random_seed, **sizes)
    rows, twins = [], [twin]
    for panel in course:
        before = twin
        if panel.final:
            expected = predict_labs(before, panel.newer, random_seed=random_seed)
        else:
            twin, info = update_twin(
                twin, panel.newer, random_seed=random_seed, population=population, anchor_every=anchor_every
            )
            learns = twin.updates > before.updates and not difference(before, panel.newer).taken_away
            expected = info.surprise if learns else ()
            twins.append(twin)
        if panel.final or reveal_until is None:
            counts: dict[str, Any] = {"n_seen": len(panel.known.labs), "verdict": before.info.verdict}
            rows += prediction_rows(population.model, panel.newer, expected, **counts)
        if learnt is not None:
            learnt(panel)
    return rows, tuple(twins)


def rest_of_course(twin, record, *, random_seed: int):
    """Rows of predictions.csv for every lab of `record` that the twin has not learnt, nothing being learnt."""
    expected = predict_labs(twin, record, random_seed=random_seed)
    counts: dict[str, Any] = {"n_seen": len(twin.record.labs), "verdict": twin.info.verdict}
    return prediction_rows(twin.model, record, expected, **counts)
