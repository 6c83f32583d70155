"""A refresh by several processes on this machine.

Each worker is a fresh interpreter (spawned, never forked: JAX does not survive a fork) that opens the store and takes
patients by lease like any other refresh, so the results are those of one process. A worker that dies is started again;
the patient it held is free the moment it is gone.
"""

import multiprocessing
import time
from datetime import datetime

from bayestwin.errors import StoreError
from bayestwin.jobs.errand import Errand, make_errand, ready
from bayestwin.jobs.public_names import public_name
from bayestwin.jobs.run_log import RunLog
from bayestwin.prognosis.row import DIED
from bayestwin.store.outcomes import PUBLISHED, tried_since

RESTARTS = 3


def refresh_with_workers(store, basis, began: datetime, found, log: RunLog, workers: int, model_text, **how) -> None:
    """Run workers until none finds anything due; then count what they did.

    Raises
    ------
    StoreError      workers died more often than `RESTARTS` times each; what was finished stands
    """
    spawn = multiprocessing.get_context("spawn")
    errand = make_errand(store, basis, model_text, how["rebuild_damaged"], how.get("as_of"))
    arguments = (errand, began, log.quiet, how)
    running = {k: spawn.Process(target=_work, args=arguments) for k in range(workers)}
    left, given_up = RESTARTS * workers, False
    for process in running.values():
        process.start()
    while running:
        time.sleep(0.1)
        for k, process in list(running.items()):
            if process.is_alive():
                continue
            process.join()
            del running[k]
            if process.exitcode == 0:
                continue
            log.line("worker died", exit_code=process.exitcode, restarts_left=max(left - 1, 0))
            if left == 0:
                given_up = True
                continue
            left -= 1
            running[k] = spawn.Process(target=_work, args=arguments)
            running[k].start()
    with store.reading() as connection:
        for outcome in tried_since(connection, began):
            found.counts[outcome.status] += 1
            found.died += outcome.reason == DIED
            if outcome.status != PUBLISHED:
                found.problems[public_name(store, outcome.subject)] = outcome.reason
    if given_up:
        raise StoreError(
            "the workers died again and again",
            place="refresh",
            allowed=f"at most {RESTARTS} restarts per worker",
            next_step="Look for a lack of memory; run with --workers 1 to see the reason. What was finished stands.",
        )


def _work(errand: Errand, began: datetime, quiet: bool, how: dict) -> None:
    """The life of one worker."""
    store, basis = ready(errand)
    from bayestwin.jobs.refresh import Refreshed, refresh_due

    refresh_due(store, basis, began, Refreshed(), RunLog(quiet=quiet), **how)
    store.close()
