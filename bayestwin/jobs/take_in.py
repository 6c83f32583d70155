"""Files into the store: rows that are new, corrected or withdrawn become items; the rest is known already.

Reading is done outside the write lock, on the record as it stood; where another run wrote something meanwhile it is
read again. Several files of one kind are read as one table, so neither their names nor their order decide anything.
Rows of erased patients are not taken in again: the files of a hospital outlive an erasure. Every row that is not used
is kept in the table of refused rows, whether or not its patient is known.
"""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bayestwin.errors import RecordError
from bayestwin.jobs.patient_rows import PERSON, REFUSAL, record_items, record_of, refusal_items
from bayestwin.records import Cohort, RecordReading, read_records
from bayestwin.records.read import each_file, refuse_unreadable
from bayestwin.records.refusal import Refusal
from bayestwin.store import audit
from bayestwin.store.erase import erased_marks
from bayestwin.store.files import content_hash
from bayestwin.store.items import append, current, newest
from bayestwin.store.outcomes import set_state, state_of
from bayestwin.store.refused import keep_refused


@dataclass(frozen=True)
class TakenIn:
    """reading : what the readers said; changed : patients whose record is another one now; erased : keys left out

    refusals : rows that were not used, without those of erased patients, of whom nobody is told any more
    """

    reading: RecordReading
    changed: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()
    entries: int = 0
    refusals: tuple[Refusal, ...] = ()


def take_in(store, schema, files: dict, *, as_of=None, time_unit=None, snapshot=False) -> TakenIn:
    """Read tables (table name -> path, DataFrame or a list of them) onto the records in the store, append what differs.

    Raises
    ------
    RecordError     a file as a whole cannot be used; nothing of this call is stored then
    """
    keys = _named_patients(files)
    while True:
        with store.reading() as connection:
            seen, items = newest(connection), current(connection, keys)
        base = Cohort(tuple(record_of(key, mine) for key, mine in sorted(items.items())))
        reading = read_records(
            schema, **files, as_of=as_of, time_unit=time_unit, snapshot=snapshot, base=base if len(base) else None
        )
        with store.writing() as connection:
            if newest(connection) == seen:
                return _append(store, connection, reading, items, files)


def _append(store, connection, reading, items, files) -> TakenIn:
    """The difference between the records as read and as stored, in one transaction."""
    changed, erased, entries, gone = [], [], 0, erased_marks(connection)
    refused: dict[str, list] = {}
    for refusal in reading.refusals:
        refused.setdefault(refusal.key, []).append(refusal)
    for record in sorted(reading.cohort, key=lambda r: r.key):
        if store.mark(record.key) in gone:
            erased.append(record.key)
            continue
        before = items.get(record.key, [])
        known = [one for one in before if one.kind == REFUSAL]
        more = [one for one in refusal_items(refused.get(record.key, ())) if one not in known]
        after = [*record_items(record), *known, *more]
        written = append(connection, record.key, before, after)
        entries += written
        state = record_of(record.key, after).data_hash
        row = state_of(connection, record.key)
        if row is None or row.state_hash != state:
            set_state(connection, record.key, state)
            changed.append(record.key)
        if written:
            counts = Counter(one.kind for one in after if one.kind != PERSON)
            audit.note(connection, "record taken in", store.mark(record.key), state=state, rows=dict(counts))
    rows = [r for r in reading.refusals if not r.key or store.mark(r.key) not in gone]
    keep_refused(connection, [(r.key, r.as_row()) for r in rows])
    if entries:
        paths = {name: [Path(one) for one in each_file(files[name]) if isinstance(one, str | Path)] for name in files}
        hashes = {name: sorted(content_hash(path.read_bytes()) for path in found) for name, found in paths.items()}
        audit.note(connection, "files read", patients=len(changed), entries=entries, files=hashes)
    return TakenIn(reading, tuple(changed), tuple(erased), entries, tuple(rows))


def without_unusable_labs(schema, files: dict) -> tuple[dict, list[RecordError]]:
    """The files without those of labs that cannot be read as a whole, and why.

    Late labs come later; doses, events and patients do not: without them the labs would be read as something else, so a
    damaged file of those, or of labs where there is no other, stops the whole reading.
    """
    kept, problems, sources = [], [], each_file(files.get("labs"))
    for source in sources if len(sources) > 1 else ():  # one alone cannot be left out
        try:
            refuse_unreadable("labs", source, schema)
            kept.append(source)
        except RecordError as problem:
            problems.append(problem)
    return (files | {"labs": kept}, problems) if kept and problems else (files, [])


def _named_patients(files) -> list[str]:
    """Study keys that the files name, so that only their records are fetched; a file that is no CSV names none."""
    keys: dict[str, None] = {}
    for source in (one for given in files.values() for one in each_file(given)):
        if hasattr(source, "to_csv"):  # a DataFrame from a notebook
            column = next((name for name in source.columns if str(name).strip().lower() in ("patient", "id")), None)
            keys |= dict.fromkeys(() if column is None else map(str, source[column]))
            continue
        try:
            with open(source, encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file)
                header = [name.strip().lower() for name in next(reader, [])]
                at = next((header.index(name) for name in ("patient", "id") if name in header), None)
                for cells in reader:
                    if at is not None and at < len(cells):
                        keys[cells[at].strip()] = None
        except (OSError, UnicodeDecodeError, csv.Error):
            continue  # the readers say what is wrong with it
    return [key for key in keys if key]
