"""Files of a subject that are being written: said in the database before the first byte lies on the disk.

    intend   the row, if the store (still) knows the subject
    write    under the write lock, and only while the row stands
    done     with the commit that makes the file part of the store, the row goes

A run that is killed on the way leaves the row, and so an erasure finds the file. A process that was stopped, lost its
lease and goes on after the erasure finds no row any more and writes nothing.
"""

from sqlalchemy import Connection, delete, insert, select

from bayestwin.errors import StoreError
from bayestwin.store.schema import intended_files, subjects


def intend(connection: Connection, subject: str, name: str) -> None:
    """Say that a file is about to be written for a subject.

    Raises
    ------
    StoreError      the store does not know the subject (any more)
    """
    if connection.execute(select(subjects.c.subject).where(subjects.c.subject == subject)).first() is None:
        raise _erased()
    if not _stands(connection, name):
        connection.execute(insert(intended_files).values(name=name, subject=subject))


def refuse_unintended(connection: Connection, name: str) -> None:
    """StoreError where the row is gone; asked under the write lock, right before the file is written."""
    if not _stands(connection, name):
        raise _erased()


def done(connection: Connection, name: str) -> None:
    """The file is part of the store."""
    connection.execute(delete(intended_files).where(intended_files.c.name == name))


def intended_of(connection: Connection, subject: str) -> list[str]:
    """Files that were to be written for a subject and are no part of the store."""
    wanted = select(intended_files.c.name).where(intended_files.c.subject == subject)
    return list(connection.execute(wanted).scalars())


def _stands(connection: Connection, name: str) -> bool:
    return connection.execute(select(intended_files.c.name).where(intended_files.c.name == name)).first() is not None


def _erased() -> StoreError:
    return StoreError(
        "the patient of this file is not in the store any more; nothing was written",
        place="table intended_files",
        next_step="The patient was erased meanwhile: nothing is to be done.",
    )
