"""Is a store whole? And: do two stores hold the same?"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Column, Connection, Float, Integer, Table, select, type_coerce
from sqlalchemy.types import NullType

from bayestwin.errors import StoreError
from bayestwin.store import audit
from bayestwin.store.files import SEALED
from bayestwin.store.items import current
from bayestwin.store.schema import (
    UtcTime,
    doomed_files,
    meta,
    metadata,
    objects,
    outcomes,
    record_items,
    refused,
    subjects,
)
from bayestwin.store.store import Store

JSON_COLUMNS = {
    "meta": ("settings",),
    "record_items": ("body",),
    "objects": ("provenance",),
    "outcomes": ("objects", "facts"),
    "refused": ("body",),
    "audit": ("details",),
}


@dataclass(frozen=True)
class Verified:
    """problems : sentences; orphans : files without a row; head : last hash of the audit log; digest : content

    records_readable : False where rows of the record are damaged, so that no record can be put together
    """

    problems: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    objects: int = 0
    lines: int = 0
    head: str = ""
    digest: str = ""
    records_readable: bool = True


def verify_store(store: Store, *, head: str = "") -> Verified:
    """Check the audit chain, every file against its name, every row and record against itself.

    A damaged row is one problem of the list and hides no other.

    head : hash of the audit log noted at an earlier time
    """
    with store.reading() as connection:
        unreadable = {table.name: _unreadable(store, connection, table) for table in metadata.sorted_tables}
        problems = [said for found in unreadable.values() for said in found]
        chain = _chain(connection)
        problems += audit.broken_links(chain, head)
        readable = not unreadable[record_items.name] and not unreadable[subjects.name]
        contradictions = _contradictions(store, connection) if readable else []
        problems, readable = problems + contradictions, readable and not contradictions
        rows = connection.execute(select(objects.c.id, objects.c.suffix).order_by(objects.c.id)).all()
        doomed = set(connection.execute(select(doomed_files.c.name)).scalars())
        if not unreadable[outcomes.name]:
            problems += _lost_objects(connection, {row.id for row in rows})
    for row in rows:
        try:
            store.files.get(row.id, row.suffix)
        except StoreError as error:
            problems.append(str(error))
    expected = {f"{row.id}{row.suffix}{SEALED if store.files.cipher else ''}" for row in rows}
    expected |= {name.rpartition("/")[2] for name in doomed}
    last = str(chain[-1]["hash"]) if chain else ""
    orphans = sorted(store.files.listed() - expected)
    return Verified(problems, orphans, len(rows), len(chain), last, content_digest(store), readable)


def _unreadable(store: Store, connection: Connection, table: Table) -> list[str]:
    """Sentences about rows with a cell that is of another kind than its column, or whose JSON cannot be read."""
    plain = select(*(type_coerce(c, NullType()).label(c.name) for c in table.c))
    wrong = []
    for row in connection.execute(plain):
        bad = [c.name for c in table.c if not _fits(c, getattr(row, c.name))]
        if bad:
            key = row[0]  # the first column names the row; a study key is not repeated
            named = f"of mark {store.mark(str(key))}" if table is subjects else repr(key)
            wrong.append(f"table {table.name}, row {named}: damaged, cannot be read: {', '.join(bad)}")
    return wrong


def _fits(column: Column, value) -> bool:
    """True where a cell, as the database hands it out, is what its column is made for."""
    if value is None:
        return bool(column.nullable)
    if column.name in JSON_COLUMNS.get(column.table.name, ()):
        try:
            return isinstance(value, str) and isinstance(json.loads(value), dict)
        except (TypeError, ValueError):
            return False
    if isinstance(column.type, UtcTime):
        if isinstance(value, datetime):
            return True
        try:
            return bool(datetime.fromisoformat(value))
        except (TypeError, ValueError):
            return False
    kind = int if isinstance(column.type, Integer) else (int, float) if isinstance(column.type, Float) else str
    return isinstance(value, kind)


def _chain(connection: Connection) -> list[dict]:
    """The lines of the audit log as they stand, damaged ones too; in the order of their numbers where they have one."""
    return sorted(audit.lines(connection), key=lambda row: row["number"] if isinstance(row["number"], int) else 0)


def _contradictions(store: Store, connection: Connection) -> list[str]:
    """Records that take back what they never held."""
    try:
        current(connection)
        return []
    except StoreError:
        pass
    found = []
    for subject in connection.execute(select(record_items.c.subject).distinct()).scalars().all():
        try:
            current(connection, [subject])
        except StoreError:
            found.append(f"the record of mark {store.mark(subject)} contradicts itself")
    return sorted(found)


def _lost_objects(connection: Connection, known: set[str]) -> list[str]:
    """Outcomes, and the row of settings, that speak of objects of which there is no row."""
    basis = connection.execute(select(meta.c.basis)).scalar()
    found = [] if basis is None or basis in known else ["the population in use is not among the objects of the store"]
    for row in connection.execute(select(outcomes.c.id, outcomes.c.objects)):
        if lost := sorted(set(map(str, json.loads(row.objects).values())) - known):
            found.append(f"outcome {row.id} speaks of objects that the store does not hold: {lost[0][:12]}")
    return found


def content_digest(store: Store) -> str:
    """SHA-256 over everything that a store holds but its clocks, its numbering, its leases and the marks by which its
    log knows patients, which are salted in each store.

    Two stores of one digest hold the same; stores filled by the same runs have one, whenever that was.
    """
    wanted = {
        "subjects": [subjects.c.subject, subjects.c.state_hash],
        "items": [c for c in record_items.c if c.name not in ("id", "stored_at")],
        "objects": [c for c in objects.c if c.name != "stored_at"],
        "outcomes": [c for c in outcomes.c if c.name not in ("id", "at")],
        "refused": [refused.c.id, refused.c.subject, refused.c.body],
        "audit": [audit.audit.c.action, audit.audit.c.details],
    }
    digest = hashlib.sha256()
    with store.reading() as connection:
        for name, columns in wanted.items():
            plain = select(*(type_coerce(c, NullType()) for c in columns))  # a damaged cell is part of what it holds
            rows = sorted(json.dumps(list(row), default=repr) for row in connection.execute(plain))
            digest.update(json.dumps([name, rows]).encode())
    return digest.hexdigest()
