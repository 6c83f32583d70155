"""Rows of files that were not used: kept once each, whoever they belong to, until their patient is erased.

A row is named by its content, so that a file that is read every night adds it once. The store knows no medicine: a row
is a subject (its key as written, "" where the file names none) and a JSON body.
"""

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from bayestwin.store.schema import now, refused


def keep_refused(connection: Connection, rows: list[tuple[str, dict[str, Any]]]) -> int:
    """Add rows (subject, body) that the store does not hold yet; how many."""
    named = {}
    for subject, content in rows:
        body = json.dumps(content, sort_keys=True)
        named[hashlib.sha256(json.dumps([subject, body]).encode()).hexdigest()] = (subject, body)
    keys, there = list(named), set()
    for k in range(0, len(keys), 500):  # in parts: a database takes only so many values in one question
        step = select(refused.c.id).where(refused.c.id.in_(keys[k : k + 500]))
        there |= set(connection.execute(step).scalars())
    moment = now()
    new = [
        {"id": key, "subject": subject, "body": body, "stored_at": moment}
        for key, (subject, body) in named.items()
        if key not in there
    ]
    if new:
        connection.execute(insert(refused), new)
    return len(new)


def refused_rows(connection: Connection) -> list[dict[str, Any]]:
    """Every row that was ever refused: its body, `subject` and `first_seen`, oldest first."""
    rows = connection.execute(select(refused).order_by(refused.c.stored_at, refused.c.id))
    return [{**json.loads(row.body), "subject": row.subject, "first_seen": row.stored_at} for row in rows]


def forget_refused(connection: Connection, subjects) -> None:
    """Remove the rows of these subjects (erasure only)."""
    connection.execute(delete(refused).where(refused.c.subject.in_(list(subjects))))
