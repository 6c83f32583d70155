"""What a store can say of its own forecasts: how they held, which labs were surprising, alone and taken together.

Every forecast that was ever published is read again and set beside the labs that came after it. Nothing is changed in
the store; a file or record that cannot be read is told and the rest goes on.
"""

from dataclasses import dataclass, field

import numpy as np

from bayestwin.errors import StoreError
from bayestwin.evaluation.kept_forecasts import of_another_assay, score_kept
from bayestwin.evaluation.pooled_surprise import COLUMNS, LIMIT_FLAG, pooled_shifts, surprise_rows
from bayestwin.evaluation.predictions import UPPER
from bayestwin.evaluation.scores import holm
from bayestwin.jobs.basis import Basis, load_basis
from bayestwin.jobs.move_patient import SURPRISES
from bayestwin.jobs.patient_rows import record_of
from bayestwin.jobs.public_names import discreet, public_name
from bayestwin.prognosis import load_prognosis
from bayestwin.store.items import current, ever_stored
from bayestwin.store.outcomes import PUBLISHED, outcomes_of, tried
from bayestwin.twin import load_twin

GROUPS = ("laboratory", "product")


@dataclass
class Gathered:
    """forecasts : rows of `score_kept`; surprises : rows of `surprise_rows` with the patient's words as covariates and
    `batch`, the day on which a lab was stored; problems : what could not be read; published : forecasts that were read;
    of_another_assay : labs after a forecast that are not scored, since it is of a lab of the usual laboratory;
    groups : columns of surprises by which labs can be grouped"""

    forecasts: list[dict] = field(default_factory=list)
    surprises: list[dict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    published: int = 0
    of_another_assay: int = 0
    groups: tuple[str, ...] = GROUPS
    time_unit: str = "day"


def gather(store, *, model_text: str | None = None, progress=False) -> Gathered:
    """Score every published forecast of a store, and collect what was expected of each lab.

    model_text : where the model's folder has moved, its new place; progress : a bar on the standard error

    Raises
    ------
    StoreError      the store holds no population posterior
    """
    from tqdm import tqdm

    basis = load_basis(store, model_text=model_text)
    found = Gathered(time_unit=basis.model.time_unit)
    with store.reading() as connection:
        keys = tried(connection)
    for key in tqdm(keys, unit="patient", disable=not progress):
        try:
            _one_patient(store, basis, key, found)
        except StoreError as error:
            _left_out(store, key, "this patient is", error, found)
    return found


def _left_out(store, key: str, what: str, error: StoreError, found: Gathered) -> None:
    said = discreet(store, key, str(error))
    found.problems.append(f"patient {public_name(store, key)}: {what} left out: {said}")


def _one_patient(store, basis: Basis, key: str, found: Gathered) -> None:
    """Add what the store can say of one patient; a file that cannot be read leaves the others."""
    shown = {"patient": public_name(store, key)}
    with store.reading() as connection:
        record = record_of(key, current(connection, [key]).get(key, []))
        past = outcomes_of(connection, key)
        stored = ever_stored(connection, key, "lab")
    other: set[tuple[str, float]] = set()
    for outcome in (o for o in past if o.status == PUBLISHED):
        try:
            with store.files.at_hand(outcome.objects["prognosis"], ".nc") as path:
                prognosis = load_prognosis(path, basis.model)
            found.forecasts += [row | shown for row in score_kept(prognosis, record)]
            other |= of_another_assay(prognosis, record)
            found.published += 1
        except StoreError as error:
            _left_out(store, key, "a forecast is", error, found)
    found.of_another_assay += len(other)
    newest, rows = next((o.objects["twin"] for o in reversed(past) if "twin" in o.objects), None), []
    if newest is not None:
        try:
            with store.files.at_hand(newest, ".nc") as path:
                rows = surprise_rows(load_twin(path, basis.model))
        except StoreError as error:
            _left_out(store, key, "surprises are", error, found)
    rows = _with_held(rows, past, record)
    days = {(c["row"]["lab_id"], c["row"]["time"]): moment.date().isoformat() for c, moment in reversed(stored)}
    words = {name: value for name, value in record.covariates.items() if isinstance(value, str)}
    found.groups = tuple(dict.fromkeys((*found.groups, *sorted(words.keys() - {*COLUMNS, "alarm", "batch"}))))
    found.surprises += [words | row | shown | {"batch": days.get((row["lab_id"], row["time"]), "")} for row in rows]


def _with_held(rows, past, record) -> list[dict]:
    """The rows, and those of updates whose twin failed its check and was not kept, of labs that stand as they were."""
    labs = {(lab.lab_id, lab.time): lab for lab in record.labs}
    found = {(row["lab_id"], row["time"]): row for row in rows}
    for row in (row for outcome in reversed(past) for row in outcome.facts.get(SURPRISES, ())):
        lab = labs.get(place := (row["lab_id"], row["time"]))
        said = (row["observed"], row.get(UPPER), row[LIMIT_FLAG])
        if place not in found and lab is not None and said == (lab.value, lab.upper, lab.censoring):
            found[place] = row
    return list(found.values())


def shifts(surprises, columns, *, random_seed: int) -> dict:
    """Column -> table of `pooled_shifts` by it, within outputs; p adjusted over the groups of all columns together."""
    found = {}
    for column in dict.fromkeys(columns):
        rows = [row for row in surprises if row.get(column)]
        found[column] = pooled_shifts(rows, by=("output", column), random_seed=random_seed)
    adjusted = holm(np.concatenate([table["p"].to_numpy(float) for table in found.values()] or [np.zeros(0)]))
    ends = np.cumsum([len(table) for table in found.values()])
    for table, part in zip(found.values(), np.split(adjusted, ends[:-1])):
        table["p_adjusted"] = part
    return found
