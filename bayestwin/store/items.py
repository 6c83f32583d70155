"""The record of a subject as an append-only list of items that came (+1) and went (-1).

An item is a kind, when it happened, when it became known, and a JSON body. What the record now is, or was when the
store knew no more than at some moment, is the sum of its items; nothing is ever overwritten.
"""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from bayestwin.errors import StoreError
from bayestwin.store.schema import now, record_items


@dataclass(frozen=True)
class Item:
    """One thing known of a subject. body : JSON with sorted keys, so that equal items are equal texts"""

    kind: str
    body: str
    happened: float | None = None
    known: float | None = None

    @property
    def content(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


def item(kind: str, content: Any, happened: float | None = None, known: float | None = None) -> Item:
    """An item from plain values."""
    return Item(kind, json.dumps(content, sort_keys=True), happened, known)


def current(connection: Connection, subjects=None, *, stored_by: datetime | None = None) -> dict[str, list[Item]]:
    """What is known of each subject, in the order in which it was stored.

    subjects : keys, default all; stored_by : only what the store had by then. What came after something stored later
    than that came later too, whatever the clock said: where it was set back, a withdrawal would else precede its lab.
    """
    wanted = select(record_items).order_by(record_items.c.id)
    later: set[str] = set()
    if subjects is None:
        parts = [connection.execute(wanted)]
    else:
        keys = list(subjects)  # in parts: a database takes only so many values in one question
        steps = [keys[k : k + 500] for k in range(0, len(keys), 500)]
        parts = [connection.execute(wanted.where(record_items.c.subject.in_(step))) for step in steps]
    found: dict[str, Counter[Item]] = {}
    for part in parts:
        for row in part:
            if stored_by is not None and (row.subject in later or row.stored_at > stored_by):
                later.add(row.subject)
                continue
            mine = found.setdefault(row.subject, Counter())
            mine[Item(row.kind, row.body, row.happened, row.known)] += row.sign
    for mine in found.values():
        if any(count < 0 for count in mine.values()):
            raise StoreError(
                "a record in the store contradicts itself",
                place="table record_items",
                next_step="`bayestwin verify-store` gives its mark; restore the database from a backup.",
            )
    return {subject: list(mine.elements()) for subject, mine in found.items()}


def ever_stored(connection: Connection, subject: str, kind: str) -> list[tuple[Any, datetime]]:
    """Everything of one kind that ever came of a subject, as read, and when it was stored."""
    mine = (record_items.c.subject == subject, record_items.c.kind == kind, record_items.c.sign > 0)
    wanted = select(record_items.c.body, record_items.c.stored_at).where(*mine).order_by(record_items.c.id)
    return [(json.loads(body), moment) for body, moment in connection.execute(wanted)]


def newest(connection: Connection) -> int:
    """Number of the newest entry; two equal answers mean that nothing came between."""
    return connection.execute(select(record_items.c.id).order_by(record_items.c.id.desc()).limit(1)).scalar() or 0


def append(connection: Connection, subject: str, before: list[Item], after: list[Item]) -> int:
    """Write the difference between two states of a subject's record; how many entries."""
    old, new = Counter(before), Counter(after)
    changes = [(-1, i) for i in (old - new).elements()] + [(1, i) for i in (new - old).elements()]
    if changes:
        moment = now()
        rows = [
            {"subject": subject, "kind": i.kind, "sign": sign, "happened": i.happened, "known": i.known}
            | {"body": i.body, "stored_at": moment}
            for sign, i in changes
        ]
        connection.execute(insert(record_items), rows)
    return len(changes)
