"""Is a store whole? And: do two stores hold the same?"""

import hashlib
import json
from dataclasses import dataclass, field

from sqlalchemy import select

from bayestwin.errors import StoreError
from bayestwin.store import audit
from bayestwin.store.files import SEALED
from bayestwin.store.items import current
from bayestwin.store.schema import doomed_files, objects, outcomes, record_items, subjects
from bayestwin.store.store import Store


@dataclass(frozen=True)
class Verified:
    """problems : sentences; orphans : files without a row; head : last hash of the audit log; digest : content"""

    problems: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    objects: int = 0
    lines: int = 0
    head: str = ""
    digest: str = ""


def verify_store(store: Store, *, head: str = "") -> Verified:
    """Check the audit chain, every file against its name, every record against itself.

    head : hash of the audit log noted at an earlier time
    """
    with store.reading() as connection:
        chain = audit.lines(connection)
        rows = connection.execute(select(objects).order_by(objects.c.id)).all()
        doomed = set(connection.execute(select(doomed_files.c.name)).scalars())
        problems = audit.broken_links(chain, head)
        try:
            current(connection)
        except StoreError as error:
            problems.append(str(error))
        known = {row.id for row in rows}
        for row in connection.execute(select(outcomes.c.id, outcomes.c.objects)):
            if lost := sorted(set(json.loads(row.objects).values()) - known):
                problems.append(f"outcome {row.id} speaks of objects that the store does not hold: {lost[0][:12]}")
    for row in rows:
        try:
            store.files.get(row.id, row.suffix)
        except StoreError as error:
            problems.append(str(error))
    expected = {f"{row.id}{row.suffix}{SEALED if store.files.cipher else ''}" for row in rows}
    expected |= {name.rpartition("/")[2] for name in doomed}
    last = chain[-1]["hash"] if chain else ""
    orphans = sorted(store.files.listed() - expected)
    return Verified(problems, orphans, len(rows), len(chain), last, content_digest(store))


def content_digest(store: Store) -> str:
    """SHA-256 over everything that a store holds but its clocks, its numbering and its leases.

    Two stores of one digest gave and will give the same answers, whenever and in how many runs they were filled.
    """
    wanted = {
        "subjects": [subjects.c.subject, subjects.c.state_hash],
        "items": [c for c in record_items.c if c.name not in ("id", "stored_at")],
        "objects": [c for c in objects.c if c.name != "stored_at"],
        "outcomes": [c for c in outcomes.c if c.name not in ("id", "at")],
        "audit": [audit.audit.c.action, audit.audit.c.mark, audit.audit.c.details],
    }
    digest = hashlib.sha256()
    with store.reading() as connection:
        for name, columns in wanted.items():
            rows = sorted(json.dumps(list(row)) for row in connection.execute(select(*columns)))
            digest.update(json.dumps([name, rows]).encode())
    return digest.hexdigest()
