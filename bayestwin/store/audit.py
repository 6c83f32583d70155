"""The audit log: one line per thing done, each holding the hash of the line before.

    hash(n) = SHA-256( hash(n-1), n, at, action, mark, details )

Changing or removing a line breaks every hash after it. Cutting off the end does not, so keep the last hash that
`bayestwin verify-store` prints somewhere else and hand it back with --head. Patients appear by a mark, not by their
key: whoever knows a key can find its lines, and after an erasure no line gives the key back.
"""

import hashlib
import json

from sqlalchemy import insert, select

from bayestwin.store.schema import audit, now

BEGINNING = "0" * 64


def mark_of(salt: str, subject: str) -> str:
    """Sixteen letters that stand for a study key in one store."""
    return hashlib.sha256(f"{salt}:{subject}".encode()).hexdigest()[:16] if subject else ""


def note(connection, action: str, mark: str = "", **details) -> None:
    """Append a line. The caller's transaction holds the store's write lock, so numbers leave no gap."""
    last = connection.execute(select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)).first()
    number, previous = (last.number + 1, last.hash) if last else (1, BEGINNING)
    row = {
        "number": number,
        "at": now().isoformat(timespec="microseconds"),
        "action": action,
        "mark": mark,
        "details": json.dumps(details, sort_keys=True),
        "previous": previous,
    }
    connection.execute(insert(audit).values(**row, hash=_hash(row)))


def _hash(row) -> str:
    parts = [row[name] for name in ("previous", "number", "at", "action", "mark", "details")]
    return hashlib.sha256(json.dumps(parts, default=repr).encode()).hexdigest()  # repr: bytes of a damaged cell


def lines(connection) -> list[dict]:
    """All lines, oldest first."""
    return [dict(row._mapping) for row in connection.execute(select(audit).order_by(audit.c.number))]


def broken_links(found: list[dict], head: str = "") -> list[str]:
    """What is wrong with a log: sentences, none where it is whole.

    head : a hash noted at an earlier time, which must stand in the log
    """
    wrong, previous = [], BEGINNING
    for expected, row in enumerate(found, start=1):
        if row["number"] != expected:
            wrong.append(f"audit line {expected} is missing")
            break
        if row["previous"] != previous:
            wrong.append(f"audit line {expected} does not continue the line before it")
        if row["hash"] != _hash(row):
            wrong.append(f"audit line {expected} was changed")
        previous = row["hash"]
    if head and head not in {BEGINNING, *(row["hash"] for row in found)}:
        wrong.append("the audit log does not hold the hash that was noted earlier: its end was cut off or rewritten")
    return wrong
