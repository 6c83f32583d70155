"""What the database says, in the words of this program: full, locked, unreachable, read-only, damaged."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from bayestwin.errors import StoreError
from bayestwin.store.durable import disk_full
from bayestwin.store.schema import DamagedCell

# problem, next step; and the codes by which SQLite (its own numbers) and PostgreSQL (SQLSTATE) say it
_SAID = (
    (
        ("another process held the store for more than a minute", "Run the same command again; nothing was lost."),
        {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, "55P03"},
    ),
    (
        ("the store cannot be written to", "Check the permissions of the file and its folder."),
        {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, "25006", "42501"},
    ),
    (("the store cannot be opened", "Check the path and its permissions."), {sqlite3.SQLITE_CANTOPEN}),
    (
        ("this file is no database", "Check the path; restore it from a backup if it was a store."),
        {sqlite3.SQLITE_NOTADB},
    ),
    (("the database is damaged", "Restore it from a backup."), {sqlite3.SQLITE_CORRUPT, "XX001", "XX002"}),
    (
        ("rows of the record and the audit log cannot be changed", "Append what is right now instead."),
        {sqlite3.SQLITE_CONSTRAINT_TRIGGER, "P0001"},
    ),
)
_FULL = {sqlite3.SQLITE_FULL, "53100"}


@contextmanager
def plain_errors(address: URL) -> Iterator[None]:
    """Turn the database's errors into StoreError, which names the store; no value of a row is repeated."""
    file = address.get_backend_name() == "sqlite"
    place = Path(address.database or "").name if file else address.render_as_string(hide_password=True)
    try:
        yield
    except (OperationalError, InterfaceError, DatabaseError) as error:
        codes = _codes(error.orig)
        if codes & _FULL:
            raise disk_full("database") from error
        for (problem, step), mine in _SAID:
            if codes & mine:
                raise StoreError(problem, place=place, next_step=step) from error
        if isinstance(error, OperationalError | InterfaceError):
            raise StoreError(
                "the database cannot be reached",
                place=place,
                value=type(error.orig).__name__,
                next_step="Check that it runs, its address and your rights; nothing was changed.",
            ) from error
        raise
    except (json.JSONDecodeError, DamagedCell) as error:
        raise StoreError(
            "a row of the store is damaged and cannot be read",
            place=place,
            next_step="`bayestwin verify-store` names it; restore the database from a backup.",
        ) from error


def _codes(problem) -> set:
    """What a driver says is wrong: SQLite's code and the primary code it refines, or PostgreSQL's SQLSTATE."""
    code, state = getattr(problem, "sqlite_errorcode", None), getattr(problem, "sqlstate", None)
    return {code, code & 0xFF} if code is not None else {state} - {None}
