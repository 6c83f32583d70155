"""What the database says, in the words of this program: full, locked, unreachable, read-only, damaged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from bayestwin.errors import StoreError
from bayestwin.store.durable import disk_full

# word in the driver's message -> problem, next step
_SAID = {
    "locked": (
        "another process held the store for more than a minute",
        "Run the same command again; nothing was lost.",
    ),
    "readonly": ("the store cannot be written to", "Check the permissions of the file and its folder."),
    "unable to open": ("the store cannot be opened", "Check the path and its permissions."),
    "not a database": ("this file is no database", "Check the path; restore it from a backup if it was a store."),
    "malformed": ("the database file is damaged", "Restore it from a backup."),
    "append-only": ("rows of the record and the audit log cannot be changed", "Append what is right now instead."),
}


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the database's errors into StoreError; no value of a row is repeated."""
    try:
        yield
    except (OperationalError, InterfaceError, DatabaseError) as error:
        said = str(error.orig)
        if "is full" in said or "No space left" in said or "could not extend" in said:
            raise disk_full("database") from error
        for word, (problem, step) in _SAID.items():
            if word in said:
                raise StoreError(problem, place="store", next_step=step) from error
        if isinstance(error, OperationalError | InterfaceError):
            raise StoreError(
                "the database cannot be reached",
                place="--store",
                value=type(error.orig).__name__,
                next_step="Check that it runs, its address and your rights; nothing was changed.",
            ) from error
        raise
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) or "isoformat" in str(error) or "datetime" in str(error):
            raise StoreError(
                "a row of the store is damaged and cannot be read",
                place="store",
                next_step="`bayestwin verify-store` names it; restore the database from a backup.",
            ) from error
        raise
