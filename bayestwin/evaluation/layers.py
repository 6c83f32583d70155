"""The same patients with the labs of a registry, of routine care, and of a research laboratory.

Each layer holds the outputs of the one before it (`Observation.layer`) and its own. A twin of each layer learns its
labs and the events of the record, panel by panel, and forecasts every lab of the markers that progression is read from
before it learns anything of that day: the same labs in every layer, whether it learns them afterwards or not.
"""

from dataclasses import replace
from typing import Any

from bayestwin.errors import ModelError, RecordError
from bayestwin.evaluation.panels import panels
from bayestwin.evaluation.predictions import prediction_rows
from bayestwin.specification.observations import LAYERS
from bayestwin.twin import predict_labs, start_twin, update_twin
from bayestwin.twin.compare import difference


def learnt_in(model, layer: str) -> tuple[str, ...]:
    """Outputs that a layer learns: its own and those of the layers before it."""
    below = LAYERS[: LAYERS.index(layer) + 1]
    return tuple(o.output for o in model.observations if o.layer in below)


def scored_outputs(model) -> tuple[str, ...]:
    """The markers that progression is read from.

    Raises
    ------
    ModelError      the model has no progression endpoint
    """
    if model.progression is None:
        raise ModelError(
            "layers are compared on the markers of progression, and the model has none",
            subject=f"model {model.name}",
            next_step="Give it an endpoint Progression(rules=...), or replay without layers.",
        )
    return tuple(dict.fromkeys(rule.output for rule in model.progression.rules))


def replay_layer(population, record, layer: str, *, random_seed: int, learnt=None, **sizes) -> list[dict]:
    """Rows of predictions.csv of one patient, whose twin learns the labs of `layer`.

    Parameters
    ----------
    population : PopulationPosterior     fitted without this patient
    sizes                                particles, islands, population_draws, as for `start_twin`
    learnt : called with every panel     to show progress

    Raises
    ------
    RecordError     the patient was in the fitted cohort
    """
    model = population.model
    if population.knows(record):
        raise RecordError(
            "this patient was in the fitted cohort; a replay would predict labs that are already learnt",
            subject=f"patient {record.key}",
            next_step="Fit without this patient.",
        )
    own, scored, course = learnt_in(model, layer), scored_outputs(model), panels(record)
    rows: list[dict] = []
    if not course:
        return rows
    twin = start_twin(population, _only(course[0].known, own), random_seed=random_seed, **sizes)
    for panel in course:
        asked = [lab for lab in panel.labs if lab.output in scored]
        if asked:
            # what is only asked for is never known, so nothing counts as derived from it
            unknown = tuple(replace(lab, known_time=float("inf")) for lab in asked)
            question = replace(panel.newer, labs=(*twin.record.labs, *unknown), past=())
            # a panel that changes the past restarts the twin: its labs have no forecast, as in `replay`
            changed = difference(twin, question).taken_away
            expected = () if changed else predict_labs(twin, question, random_seed=random_seed)
            counts: dict[str, Any] = {"n_seen": len(twin.record.labs), "verdict": twin.info.verdict}
            known = {(lab.lab_id, lab.output, lab.time): lab.known_time for lab in asked}
            rows += [
                row | {"known_time": known[row["lab_id"], row["output"], row["time"]]}
                for row in prediction_rows(model, question, expected, **counts)
            ]
        newer = _only(panel.newer, own)
        if newer != twin.record:
            twin, _ = update_twin(twin, newer, random_seed=random_seed, population=population)
        if learnt is not None:
            learnt(panel)
    return rows


def layer_table(rows_by_layer: dict[str, list[dict]], *, random_seed: int):
    """Scores of each layer beside each other: output, score, one column per layer, labs, patients."""
    import pandas as pd

    from bayestwin.evaluation.predictions import predictions_frame
    from bayestwin.evaluation.scores import score_predictions

    found = None
    for layer, rows in rows_by_layer.items():
        table = score_predictions(predictions_frame(rows), random_seed=random_seed)
        own = table[["output", "score", "value"]].rename(columns={"value": layer})
        counts = table[["output", "score", "labs", "patients"]]
        found = own.merge(counts, on=["output", "score"]) if found is None else found.merge(own, on=["output", "score"])
    if found is None:
        return pd.DataFrame(columns=["output", "score", "labs", "patients"])
    return found[["output", "score", *rows_by_layer, "labs", "patients"]]


def _only(record, outputs):
    """The record with the labs of these outputs alone."""
    labs = tuple(lab for lab in record.labs if lab.output in outputs)
    past = tuple(s for s in record.past if getattr(s.row, "output", outputs[0]) in outputs)
    return replace(record, labs=labs, past=past)
