"""Remove a subject: rows, outcomes, files; an audit line stays.

The rows go first, in one transaction that also writes down which files are doomed, those that a killed run left without
a row among them; then the files; a run that is killed between leaves the list, and the next command of this store
finishes it. Copies in backups are outside this program.
"""

from sqlalchemy import Connection, delete, insert, select

from bayestwin.store import audit
from bayestwin.store.durable import remove_durably, remove_halves
from bayestwin.store.intended import intended_of
from bayestwin.store.refused import forget_refused
from bayestwin.store.schema import doomed_files, intended_files, objects, outcomes, record_items, subjects
from bayestwin.store.store import Store

ERASED = "erased"


def erase_rows(store: Store, connection: Connection, subject: str, published=(), *, shown: str = "") -> int:
    """Remove the rows of a subject and doom its files; how many files there are to remove.

    published : names that its files have or had in the folder of reports
    shown : what stood for the subject in refused rows of earlier programs; they cannot be told apart, so all of them go
    """
    mine = connection.execute(select(objects).where(objects.c.subject == subject)).all()
    doomed = [store.files.place(row.id, row.suffix) for row in mine]
    doomed += [*intended_of(connection, subject), *(f"reports/{name}" for name in published)]
    for name in dict.fromkeys(doomed):
        connection.execute(insert(doomed_files).values(name=name))
    for table in (record_items, outcomes, objects, intended_files, subjects):
        connection.execute(delete(table).where(table.c.subject == subject))
    forget_refused(connection, {subject, shown or subject})
    there = sum((store.files.folder / name).is_file() for name in set(doomed))
    audit.note(connection, ERASED, store.mark(subject), files=there)
    return there


def remove_doomed(store: Store) -> int:
    """Remove the files of erased subjects; how many. Safe to call at any time."""
    with store.reading() as connection:
        names = connection.execute(select(doomed_files.c.name)).scalars().all()
    for name in names:
        remove_durably(store.files.folder / name)
        remove_halves(store.files.folder / name)
    if names:
        with store.writing() as connection:
            connection.execute(delete(doomed_files).where(doomed_files.c.name.in_(names)))
        if store.engine.dialect.name == "sqlite":  # or old pages would stay in the write-ahead log
            raw = store.engine.raw_connection()
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raw.close()
    return len(names)


def erased_marks(connection: Connection) -> set[str]:
    """Marks of all subjects that were ever erased."""
    return set(connection.execute(select(audit.audit.c.mark).where(audit.audit.c.action == ERASED)).scalars())
