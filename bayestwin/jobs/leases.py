"""Leases: who works on which patient, so that two refreshes at once neither do one twice nor lose one.

A lease names its process, and the run within it, and ends by the clock. While a process works, a thread renews what it
holds; a killed process of this machine is seen to be gone at once, one of another machine when its lease runs out. A
process that lost its lease (it was stopped for longer than that) finds out when it wants to write, and writes nothing.
"""

import threading
from datetime import timedelta

from bayestwin.errors import StoreError
from bayestwin.store.outcomes import release, renew, state_of, take
from bayestwin.store.process import is_gone, one_of_this_process
from bayestwin.store.schema import now

LENGTH_SECONDS = 180.0


class Leases:
    """The leases of one run in one store; use as a context manager."""

    def __init__(self, store, *, seconds: float = LENGTH_SECONDS):
        self.store, self.seconds, self.me = store, seconds, one_of_this_process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="bayestwin leases", daemon=True)

    def __enter__(self) -> "Leases":
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _until(self):
        return now() + timedelta(seconds=self.seconds)

    def _keep(self):
        while not self._stop.wait(self.seconds / 3):
            try:
                with self.store.writing() as connection:
                    renew(connection, self.me, self._until())
            except StoreError:
                continue  # tried again; should it last, the lease ends and another process takes over

    def take(self, key: str) -> bool:
        """Take a patient, or see that another process has them."""
        with self.store.writing() as connection:
            row = state_of(connection, key)
            if row is None:
                return False
            dead = row.holder if row.holder and is_gone(row.holder) else None
            return take(connection, key, self.me, self._until(), dead)

    def holds(self, connection, key: str) -> bool:
        """True where this process still has the patient; asked inside the transaction that writes."""
        row = state_of(connection, key)
        return row is not None and row.holder == self.me

    def let_go(self, key: str) -> None:
        """Give a patient back."""
        with self.store.writing() as connection:
            release(connection, key, self.me)
