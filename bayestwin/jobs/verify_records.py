"""Is every patient's record in the store the one that its hash speaks of?

The store checks rows and files without knowing what they mean (`bayestwin.store.verify`); here the record is put
together as a refresh would do it, and its hash compared with the one that the newest file left behind.
"""

from sqlalchemy import select

from bayestwin.errors import StoreError
from bayestwin.jobs.patient_rows import record_of
from bayestwin.store.items import current
from bayestwin.store.schema import subjects


def damaged_records(store) -> list[str]:
    """Sentences about records that cannot be put together or were changed; patients by their mark."""
    with store.reading() as connection:
        hashes = {row.subject: row.state_hash for row in connection.execute(select(subjects))}
        items = current(connection)
    found = []
    for key in sorted({*hashes, *items}):
        try:
            same = record_of(key, items.get(key, ())).data_hash == hashes.get(key)
        except StoreError:
            same = False
        if not same:
            found.append(
                f"the record of mark {store.mark(key)} is not the one that was taken in; refresh all its files"
            )
    return found
