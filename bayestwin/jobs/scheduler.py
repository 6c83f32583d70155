"""A refresh on a Dask cluster (extra `distributed`): patients are moved by its workers, everything else happens here.

    here: due ──lease──▶ worker: move_patient, files ──Moved──▶ here: commit, publish, let go

A worker reads the record from the store, writes the files of an update (each is said in the database first, so that an
erasure finds it) and gives back their names; it decides nothing and commits nothing. So a worker that dies costs its
patient another try elsewhere, and what comes out is what one process makes: every update is a function of the store's
seed, the patient's record and the population. Workers reach the database and the folder of files by the same addresses
as this process, and hold the same versions; one patient at a time in each of their processes. Nothing is forked: Dask's
own nannies spawn.
"""

import logging
import os
import queue
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bayestwin.errors import StoreError, StoreOptionError
from bayestwin.jobs.errand import Errand, Unfit, make_errand, move_there
from bayestwin.jobs.leases import Leases
from bayestwin.jobs.move_patient import Moved
from bayestwin.jobs.run_log import RunLog
from bayestwin.store.outcomes import FAILED, due, state_of

CONNECT_SECONDS = 15.0
WORKER_SECONDS = 60.0  # how long a cluster may be without any worker
LOOK_SECONDS = 2.0
RETRIES = 2


def refresh_on_cluster(
    store,
    basis,
    began: datetime,
    found,
    log: RunLog,
    address: str,
    model_text,
    *,
    rebuild_damaged=False,
    as_of=None,
    lease_seconds=None,
) -> None:
    """Move every patient who is due and free on the workers of a Dask cluster.

    Where the scheduler is lost on the way, `found.stopped` says so; what was done stands, the rest is due again.

    Raises
    ------
    StoreOptionError    no address of a scheduler
    StoreError          the extra is missing; no scheduler answers, or it has no worker; a worker cannot do the work
    """
    errand = make_errand(store, basis, model_text, rebuild_damaged, as_of)
    timing = {} if lease_seconds is None else {"seconds": lease_seconds}
    with _client(address) as client, Leases(store, **timing) as leases:
        run = _Run(store, basis, began, found, log, client, leases, errand)
        try:
            while run.once_through():
                pass
        except _SchedulerLost:
            found.stopped = f"the scheduler {address} was lost; run the same command again"
            log.line("stopped", reason=found.stopped)
        finally:
            run.let_all_go()


@dataclass
class _Run:
    """One refresh on a cluster.

    running : future -> (key, state) of the patients whose lease is held here; ended : futures, as they end
    """

    store: Any
    basis: Any
    began: datetime
    found: Any
    log: RunLog
    client: Any
    leases: Leases
    errand: Errand
    running: dict[Any, tuple[str, str]] = field(default_factory=dict)
    ended: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    tried: set[tuple[str, str]] = field(default_factory=set)
    worker_seen: float = field(default_factory=time.monotonic)

    def once_through(self) -> bool:
        """Everybody who is due now; False where nobody was moved."""
        with self.store.reading() as connection:
            waiting = due(connection, self.basis.name, self.began)
        work = iter([entry for entry in waiting.items() if entry not in self.tried])
        before = len(self.tried)
        while True:
            self._send(work)
            if not self.running:
                return len(self.tried) > before
            for future in self._done():
                self._receive(future)

    def _send(self, work: Iterator[tuple[str, str]]) -> None:
        """Keep every worker busy and one patient waiting for each, no more: others may share the work."""
        from bayestwin.jobs.refresh import still_due

        room = 2 * max(1, self._workers())
        while len(self.running) < room and (entry := next(work, None)):
            key, _ = entry
            if not self.leases.take(key):
                continue
            if not still_due(self.store, self.basis, key, self.began):
                self.leases.let_go(key)
                continue
            name = f"bayestwin-{self.store.mark(key)}-{time.monotonic_ns()}"  # Dask shows names: no study key in them
            try:
                with _asking_the_scheduler():
                    future = self.client.submit(move_there, self.errand, key, key=name, retries=RETRIES, pure=False)
            except BaseException:
                self.leases.let_go(key)
                raise
            self.running[future] = entry
            future.add_done_callback(self.ended.put)

    def _workers(self) -> int:
        """Processes of workers; a cluster may lose all of them for a while, not for ever."""
        with _asking_the_scheduler():
            number = len(self.client.nthreads())
        if number:
            self.worker_seen = time.monotonic()
        elif time.monotonic() - self.worker_seen > WORKER_SECONDS:
            raise StoreError(
                "the cluster has no worker",
                place="--scheduler",
                allowed="one worker at least",
                next_step="Start `dask worker ADDRESS --nthreads 1` where there is room; the rest stays due.",
            )
        return number

    def _done(self) -> list:
        """Futures that have an end, after a while none."""
        try:
            found = [self.ended.get(timeout=LOOK_SECONDS)]
        except queue.Empty:
            self._workers()  # a cluster without any is not waited for
            return []
        while not self.ended.empty():
            found.append(self.ended.get())
        return found

    def _receive(self, future) -> None:
        """Commit and publish what a worker made."""
        from bayestwin.jobs.refresh import finish

        key, state = self.running[future]
        moved = self._result(future, key, state)
        if isinstance(moved, Unfit):
            raise StoreError(
                moved.reason, place="--scheduler", next_step="Workers need the store, its folder and these versions."
            )
        self._refuse_files_elsewhere(moved)
        self.tried.add((key, moved.state_hash or state))
        try:
            finish(self.store, self.basis, self.leases, moved, self.found, self.log)
        finally:
            del self.running[future]
            self.leases.let_go(key)

    def _result(self, future, key: str, state: str) -> Moved | Unfit:
        """What a worker gave back; where it could not, a failed patient, and the others go on."""
        try:
            with _asking_the_scheduler():
                return future.result()
        except _SchedulerLost:
            raise
        except ImportError as error:
            return Unfit(f"a worker lacks {error.name or 'a library'}")
        except Exception as error:
            if os.environ.get("BAYESTWIN_TRACEBACK"):
                raise
            died = type(error).__name__ == "KilledWorker"
            reason = f"a fault in bayestwin ({type(error).__name__}); please report it"
            if died:
                reason = "the workers that had this patient died again and again; look for a lack of memory"
        with self.store.reading() as connection:
            row = state_of(connection, key)
        return Moved(key, row.state_hash if row else state, FAILED, reason)

    def _refuse_files_elsewhere(self, moved: Moved) -> None:
        lost = [kept for kept in moved.made.values() if not self.store.files.path(kept.name, kept.suffix).is_file()]
        if lost:
            raise StoreError(
                "a worker wrote its files where this process does not see them",
                place="--scheduler",
                value=str(self.store.files.objects),
                next_step="Make the store with --files on a folder that every worker reaches; nothing of it was kept.",
            )

    def let_all_go(self) -> None:
        """Leases of patients whose answer is not waited for any more."""
        for key, _ in self.running.values():
            self.leases.let_go(key)


class _SchedulerLost(Exception):
    """The scheduler has gone."""


@contextmanager
def _asking_the_scheduler() -> Iterator[None]:
    """A question to Dask; what it raises where its scheduler has gone becomes one exception."""
    from concurrent.futures import CancelledError

    try:
        yield
    except (CancelledError, OSError) as error:
        raise _SchedulerLost from error


@contextmanager
def _client(address: str):
    """A client of the scheduler, which says nothing by itself."""
    try:
        from distributed import Client
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise StoreError(
            "a Dask cluster needs the library `distributed`",
            place="--scheduler",
            next_step="Install it with `pip install 'bayestwin[distributed]'`.",
        ) from error
    loud = ("distributed", "tornado", "asyncio")
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.split(".")[0] in loud]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    client = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # versions that matter are compared by each worker
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="bayestwin")
        yield client
    except (OSError, TimeoutError) as error:
        if client is not None:
            raise
        raise StoreError(
            "no scheduler answers at this address",
            place="--scheduler",
            value=address,
            next_step="Start one with `dask scheduler`; nothing was updated, rows that were read are kept.",
        ) from error
    except ValueError as error:
        if client is not None:
            raise
        raise StoreOptionError(
            "this is no address of a scheduler", place="--scheduler", value=address, allowed="tcp://machine:8786"
        ) from error
    finally:
        if client is not None:
            client.close(timeout=2)
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
