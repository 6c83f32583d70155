"""What an update is given belongs to one twin: the record is of its patient and no older than the twin, and the
population posterior and the earlier twins that a restart, an anchor or the last rung may take are those that its
particles rest on. With others a restart would move the patient silently to another model or population, and an anchor
would call the updates astray.
"""

from bayestwin.errors import FitError, RecordError
from bayestwin.records.refusal import shown_key


def refuse_other_patient(twin, record) -> None:
    """Raises RecordError where the record is of another patient than the twin."""
    if record.key != twin.key:
        raise RecordError(
            "the record belongs to another patient",
            subject=f"patient {twin.key}",
            value=shown_key(record.key),
            allowed=twin.key,
        )


def refuse_older(twin, older: str) -> None:
    """Raises RecordError where `older` says that a record is an older state of what the twin has seen (`Change`)."""
    if older:
        raise RecordError(
            f"the record is older than the twin: {older}",
            subject=f"patient {twin.key}",
            place="record",
            allowed="a record that holds or withdraws every row that the twin has seen",
            next_step="Give the newer record, or one that withdraws what is missing (status = retracted, Superseded in "
            "PatientRecord.past); to go back on purpose say allow_older=True.",
        )


def refuse_other_population(twin, population, earlier=()) -> None:
    """Raises FitError where the population (or None), or an earlier twin, is of another model or posterior."""
    if population is not None:
        _refuse_other(twin, population.model, population.hash, "population")
    for one in earlier:
        _refuse_other(twin, one.model, one.population_hash, f"earlier, the twin of update {one.updates}")


def _refuse_other(twin, model, posterior: str, place: str) -> None:
    who = {"subject": f"patient {twin.key}", "place": place}
    if model.hash != twin.model.hash:
        raise FitError(
            "this is of another model than the twin, or of another version of it",
            value=f"{model.name} {model.hash[:12]}",
            allowed=f"{twin.model.name} {twin.model.hash[:12]}",
            next_step="Give that of the twin's own model, or start the twin again.",
            **who,
        )
    if posterior != twin.population_hash:
        raise FitError(
            "the twin rests on another population posterior",
            value=posterior[:12],
            allowed=twin.population_hash[:12],
            next_step="Give the one it was started from, or start the twin again.",
            **who,
        )
