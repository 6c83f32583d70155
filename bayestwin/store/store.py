"""`Store`: an open store, and its two kinds of transactions.

Whoever writes holds the store's one write lock for the length of a short transaction: audit lines are numbered without
gaps, and a reader never sees half of what belongs together. Solving and drawing happen outside.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Engine

from bayestwin.store import audit, intended
from bayestwin.store.files import ObjectFiles, content_hash
from bayestwin.store.plain_errors import plain_errors
from bayestwin.store.schema import meta, now, objects


@dataclass(frozen=True)
class Kept:
    """One immutable object. name : SHA-256 of its bytes; provenance : what it was made from"""

    name: str
    suffix: str
    kind: str
    size: int
    provenance: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Store:
    """An open store. engine : SQLAlchemy's; files : the folder of objects; settings, salt : of this store"""

    engine: Engine
    files: ObjectFiles
    settings: dict[str, Any]
    salt: str

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the store."""
        with plain_errors(self.engine.url), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that alone may write; all of it happens or nothing."""
        with (
            plain_errors(self.engine.url),
            self.engine.connect().execution_options(writing=True) as connection,
            connection.begin(),
        ):
            connection.execute(select(meta.c.id).with_for_update())
            yield connection

    def mark(self, subject: str) -> str:
        """What stands for a study key in the audit log."""
        return audit.mark_of(self.salt, subject)

    def put(self, data: bytes, *, kind: str, suffix: str, subject: str | None = None, **provenance) -> Kept:
        """Write the file of an object; `record_object` makes it part of the store.

        subject : whose it is; then the database knows of the file before it is there (intended.py)

        Raises
        ------
        StoreError      the subject was erased meanwhile; nothing was written
        """
        kept = Kept(content_hash(data), suffix, kind, len(data), provenance)
        if subject is None:
            self.files.put(data, suffix)
            return kept
        place = self.files.place(kept.name, suffix)
        with self.writing() as connection:
            intended.intend(connection, subject, place)
        with self.writing() as connection:
            intended.refuse_unintended(connection, place)
            self.files.put(data, suffix)
        return kept

    def record_object(self, connection: Connection, kept: Kept, subject: str | None = None) -> None:
        """Enter an object whose file lies there; entered once, however often it is made."""
        if connection.execute(select(objects.c.id).where(objects.c.id == kept.name)).first() is None:
            row = {"id": kept.name, "subject": subject, "kind": kept.kind, "suffix": kept.suffix, "size": kept.size}
            provenance = json.dumps(kept.provenance, sort_keys=True)
            connection.execute(insert(objects).values(**row, provenance=provenance, stored_at=now()))
        intended.done(connection, self.files.place(kept.name, kept.suffix))

    def object(self, connection: Connection, name: str) -> Kept | None:
        """What the store knows of an object."""
        row = connection.execute(select(objects).where(objects.c.id == name)).first()
        return None if row is None else Kept(row.id, row.suffix, row.kind, row.size, json.loads(row.provenance))

    def basis(self, connection: Connection) -> str | None:
        """The object that all updates now rest on (a population posterior)."""
        return connection.execute(select(meta.c.basis)).scalar()

    def set_basis(self, connection: Connection, name: str) -> None:
        """From now on updates rest on this object."""
        connection.execute(update(meta).values(basis=name))

    def close(self) -> None:
        """Let the database go."""
        self.engine.dispose()
