"""Questions to a store: what was believed on a date, what happened to a patient, what was refused; forget a patient."""

import time
from dataclasses import dataclass

from bayestwin.errors import RecordError, StoreError
from bayestwin.jobs.leases import Leases
from bayestwin.jobs.patient_rows import record_of
from bayestwin.jobs.public_names import public_refusal
from bayestwin.jobs.publish import WAITING, publish_all, published_files
from bayestwin.records.clocks import parse_as_of
from bayestwin.records.refusal import SHOWN, Refusal, refusals_to_frame, shown_key, spreadsheet_safe
from bayestwin.store.erase import erase_rows, remove_doomed
from bayestwin.store.items import current
from bayestwin.store.outcomes import PUBLISHED, Outcome, outcomes_of, state_of
from bayestwin.store.refused import refused_rows

ROLES = {"report": ".html", "report_json": ".json", "prognosis": ".nc", "twin": ".nc"}


@dataclass(frozen=True)
class Believed:
    """data : the stored bytes; outcome : what they belong to; note : "" or why newer data were not in it

    newer data : what the store had taken in by that moment, whether or not it had been tried to work it in
    """

    data: bytes
    outcome: Outcome
    note: str = ""


def believed(store, key: str, on, *, what: str = "report_json") -> Believed:
    """The answer that was in force on a date, byte for byte.

    on : ISO date (the end of that day, UTC) or moment, by the store's own clock: when the answer was stored
    what : "report" (page), "report_json", "prognosis" or "twin"

    Raises
    ------
    RecordError     no such patient; nothing was published by then
    StoreError      the file is missing or has changed
    """
    moment = parse_as_of(on)
    known = _known(store, key)
    past = known[: next((k for k, o in enumerate(known) if o.at > moment), len(known))]
    published = [o for o in past if o.status == PUBLISHED]
    if not published:
        raise RecordError(
            "nothing had been published by then",
            subject=f"patient {shown_key(key)}",
            value=moment.isoformat(timespec="seconds"),
            next_step="`bayestwin history` lists what was published when.",
        )
    answer = published[-1]
    note = f"{WAITING}: {past[-1].reason}" if past[-1] is not answer else _not_worked_in(store, key, moment, answer)
    return Believed(store.files.get(answer.objects[what], ROLES[what]), answer, note)


def _not_worked_in(store, key: str, moment, answer: Outcome) -> str:
    """What is to be said where the record was another one by then than the answer's, though nothing was tried."""
    try:
        state = record_known(store, key, moment).data_hash
    except StoreError as error:
        return f"whether newer data were waiting cannot be said: {error}"
    return "" if state == answer.state_hash else f"{WAITING}: they had not been worked in yet"


def record_known(store, key: str, on):
    """The record as the store had it at that moment; on : as for `believed`."""
    moment = parse_as_of(on)
    with store.reading() as connection:
        items = current(connection, [key], stored_by=moment).get(key, [])
    return record_of(key, items)


def history(store, key: str) -> list[Outcome]:
    """Everything that was tried for a patient, oldest first."""
    return _known(store, key)


def refused_table(store):
    """Every row that was ever refused, oldest first (pandas); columns as `Refusal.as_row`, and when it was first seen.

    A key that may be a name is replaced by its mark wherever a row repeats it.
    """
    with store.reading() as connection:
        rows = refused_rows(connection)
    found = (Refusal(**{name: row[name] for name in SHOWN}, key=row["subject"]) for row in rows)
    frame = spreadsheet_safe(refusals_to_frame(public_refusal(store, refusal) for refusal in found))
    return frame.assign(first_seen=[row["first_seen"].isoformat(timespec="seconds") for row in rows])


def erase(store, key: str, *, wait_seconds: float = 60.0) -> int:
    """Remove a patient's rows, draws and reports; an audit line stays. How many files were removed.

    Raises
    ------
    RecordError     no such patient
    StoreError      a refresh is working on the patient and did not finish in time
    """
    _known(store, key)
    with Leases(store) as leases:
        limit = time.monotonic() + wait_seconds
        while not leases.take(key):
            if time.monotonic() > limit:
                raise StoreError(
                    "a refresh is working on this patient",
                    subject=f"patient {shown_key(key)}",
                    next_step="Erase again when it is done; nothing was removed.",
                )
            time.sleep(0.2)
        with store.writing() as connection:
            number = erase_rows(store, connection, key, published_files(connection, key), shown=shown_key(key))
    remove_doomed(store)
    publish_all(store)
    return number


def _known(store, key: str) -> list[Outcome]:
    with store.reading() as connection:
        if state_of(connection, key) is None:
            raise RecordError(
                "no such patient in this store",
                subject=f"patient {shown_key(key)}",
                next_step="Check the key against the files that were read.",
            )
        return outcomes_of(connection, key)
