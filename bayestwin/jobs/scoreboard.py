"""What a store can say of its own forecasts: how they held, which labs were surprising, alone and taken together.

Every forecast that was ever published is read again and set beside the labs that came after it. Nothing is changed in
the store; a file that cannot be read is told and the rest goes on.
"""

from dataclasses import dataclass, field

from bayestwin.errors import StoreError
from bayestwin.evaluation.kept_forecasts import score_kept
from bayestwin.evaluation.pooled_surprise import surprise_rows
from bayestwin.jobs.basis import load_basis
from bayestwin.jobs.patient_rows import record_of
from bayestwin.jobs.public_names import public_name
from bayestwin.prognosis import load_prognosis
from bayestwin.store.items import current, first_stored
from bayestwin.store.outcomes import PUBLISHED, in_force, outcomes_of
from bayestwin.twin import load_twin


@dataclass(frozen=True)
class Gathered:
    """forecasts : rows of `score_kept`; surprises : rows of `surprise_rows` with the patient's words as covariates and
    `batch`, the day on which a lab was stored; problems : what could not be read; published : forecasts read"""

    forecasts: list[dict] = field(default_factory=list)
    surprises: list[dict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    published: int = 0
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
    forecasts, surprises, problems, number = [], [], [], 0
    with store.reading() as connection:
        subjects = [entry.subject for entry in in_force(connection) if entry.newest is not None]
    for key in tqdm(subjects, unit="patient", disable=not progress):
        with store.reading() as connection:
            record = record_of(key, current(connection, [key]).get(key, []))
            past = outcomes_of(connection, key)
            published = [o for o in past if o.status == PUBLISHED]
            stored = first_stored(connection, key, "lab")
        for outcome in published:
            number += 1
            try:
                with store.files.at_hand(outcome.objects["prognosis"], ".nc") as path:
                    forecasts += score_kept(load_prognosis(path, basis.model), record)
            except StoreError as error:
                problems.append(f"patient {public_name(store, key)}: a forecast is left out: {error}")
        newest = next((o.objects["twin"] for o in reversed(past) if "twin" in o.objects), None)
        if newest is None:
            continue
        try:
            with store.files.at_hand(newest, ".nc") as path:
                rows = surprise_rows(load_twin(path, basis.model))
        except StoreError as error:
            problems.append(f"patient {public_name(store, key)}: surprises are left out: {error}")
            continue
        days = {(c["row"]["lab_id"], c["row"]["time"]): moment.date().isoformat() for c, moment in reversed(stored)}
        words = {name: value for name, value in record.covariates.items() if isinstance(value, str)}
        surprises += [words | row | {"batch": days.get((row["lab_id"], row["time"]), "")} for row in rows]
    return Gathered(forecasts, surprises, problems, number, basis.model.time_unit)
