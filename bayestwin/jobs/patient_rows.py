"""A patient's record as items of the store, and back.

One item per lab, dose and event, believed now or once (`until` then says until when); one for covariates and time zero;
one per refused row of the patient's files. The order in which rows were stored leaves no trace in the record.
"""

import json
from dataclasses import asdict

from bayestwin.dosing import DoseEvent
from bayestwin.errors import StoreError
from bayestwin.records import ClinicalEvent, Lab, PatientRecord, Refusal
from bayestwin.records.refusal import shown_key
from bayestwin.store.items import Item, item
from bayestwin.twin.save import record_from_json

_KINDS = {Lab: "lab", DoseEvent: "dose", ClinicalEvent: "event"}
_PLACES = {"lab": "labs", "dose": "doses", "event": "events"}
PERSON, REFUSAL = "person", "refusal"


def record_items(record: PatientRecord) -> list[Item]:
    """All items of a record but its refusals."""
    found = [item(PERSON, {"covariates": dict(record.covariates), "time_zero": record.time_zero})]
    for row in (*record.labs, *record.doses, *record.events):
        found.append(_row_item(row, None))
    for old in record.past:
        found.append(_row_item(old.row, old.until))
    return found


def refusal_items(refusals) -> list[Item]:
    """One item per refused row."""
    return [item(REFUSAL, refusal.as_row()) for refusal in dict.fromkeys(refusals)]


def _row_item(row, until: float | None) -> Item:
    content = {"row": asdict(row), "until": until}
    return item(_KINDS[type(row)], content, float(row.time), float(row.known_time))


def record_of(key: str, items) -> PatientRecord:
    """The record that these items make; the same for every order of them.

    Raises
    ------
    StoreError      an item of the store is damaged
    """
    try:
        return _record_of(key, items)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            "a row of this record in the store is damaged",
            subject=f"patient {shown_key(key)}",
            place="table record_items",
            next_step="`bayestwin verify-store` names the row; restore the database from a backup.",
        ) from error


def _record_of(key: str, items) -> PatientRecord:
    raw: dict = {"key": key, "labs": [], "doses": [], "events": [], "covariates": {}, "time_zero": "", "past": []}
    for one in sorted(items, key=lambda i: (i.kind, i.body)):
        if one.kind == PERSON:
            raw |= one.content
        elif one.kind in _PLACES:
            content = one.content
            where = _PLACES[one.kind] if content["until"] is None else "past"
            raw[where].append(content["row"] if content["until"] is None else content)
    raw["doses"].sort(key=lambda d: (d["time"], d["order"], d["target"], d["amount"], json.dumps(d, sort_keys=True)))
    raw["events"].sort(key=lambda e: (e["time"], e["event"], e["value"], json.dumps(e, sort_keys=True)))
    return record_from_json(raw)


def refusals_of(key: str, items) -> tuple[Refusal, ...]:
    """The refused rows among the items of a patient, in a fixed order."""
    mine = sorted((one for one in items if one.kind == REFUSAL), key=lambda i: i.body)
    return tuple(Refusal(**one.content, key=key) for one in mine)
