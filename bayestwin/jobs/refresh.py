"""`bayestwin refresh`: what is new in the files, worked into exactly those patients whose record changed.

    files ──take_in──▶ record items ──due──▶ move_patient ──commit──▶ outcome, objects ──publish──▶ folder of reports

Each patient is one transaction; a run killed at any point leaves patients done or due, nothing between, and the next
one goes on. Which patients are due is read from the store, never remembered. Runs at once share them by leases.
"""

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from bayestwin.errors import BayestwinError, StoreError
from bayestwin.jobs.basis import load_basis
from bayestwin.jobs.leases import Leases
from bayestwin.jobs.move_patient import WITH_VALUES, Moved, move_patient
from bayestwin.jobs.public_names import discreet, public_name, public_refusal
from bayestwin.jobs.publish import publish_all, publish_one
from bayestwin.jobs.run_log import RunLog
from bayestwin.jobs.take_in import take_in, without_unusable_labs
from bayestwin.prognosis.row import DIED
from bayestwin.records.refusal import Refusal
from bayestwin.store import audit
from bayestwin.store.durable import DiskFull, remove_unfinished
from bayestwin.store.erase import remove_doomed
from bayestwin.store.outcomes import FAILED, HELD, PUBLISHED, add_outcome, due, in_force, state_of
from bayestwin.store.schema import now


@dataclass
class Refreshed:
    """What a run did. counts : status -> patients; refusals : rows

    waiting, patients : who are not current, and all there are; died : of the held those who had died
    problems : patient, as others may read it -> reason
    stopped : why the run ended early (a full disk), "" where it did not
    unusable : files that could not be read, reports that could not be shown
    notes : what the readers ask to be known
    known : patients of the files whose record is in the store now
    """

    counts: Counter = field(default_factory=Counter)
    changed: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    known: int = 0
    erased: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    stopped: str = ""
    waiting: int = 0
    patients: int = 0
    died: int = 0
    seconds: float = 0.0

    def summary(self) -> str:
        """One line for the mail of a cron job."""
        parts = [f"{self.counts[status]} {status}" for status in (PUBLISHED, HELD, FAILED)]
        parts += [
            f"{self.changed} records changed",
            f"{len(self.refusals)} rows refused",
            f"{self.waiting} patients waiting",
        ]
        if self.erased:
            parts.append(f"{self.erased} erased patients left out")
        if self.unusable:
            parts.append(f"{len(self.unusable)} files unusable")
        said = f"bayestwin refresh: {', '.join(parts)}; {self.seconds:.0f} s"
        return said + (f". Stopped early: {self.stopped}" if self.stopped else "")


def take_in_files(store, schema, files, found: Refreshed, log: RunLog, **reading) -> None:
    """Take in the tables; one that cannot be used is told and stops nothing else."""

    def unusable(problem):
        found.unusable.append(str(problem))
        log.line("file unusable", reason=str(problem))

    usable, problems = (files, []) if reading.get("snapshot") else without_unusable_labs(schema, files)
    for problem in problems:
        unusable(problem)
    try:
        taken = take_in(store, schema, usable, **reading)
    except StoreError:
        raise
    except BayestwinError as error:
        unusable(error)
        return
    found.changed = len(taken.changed)
    found.refusals = [public_refusal(store, refusal) for refusal in taken.refusals]
    found.known = len(taken.reading.cohort) - len(taken.erased)
    found.erased = len(taken.erased)
    for key in taken.erased:
        log.line("erased patient left out", mark=store.mark(key))
    log.line("files read", patients=len(taken.changed), entries=taken.entries, refused=len(found.refusals))
    log.refused(found.refusals)
    found.notes = taken.reading.notes
    log.notes(found.notes)


def refresh_due(
    store,
    basis,
    began: datetime,
    found: Refreshed,
    log: RunLog,
    *,
    rebuild_damaged=False,
    as_of=None,
    lease_seconds=None,
    after=lambda moved: None,
) -> None:
    """Move every patient who is due and free, until none is left. after : called with each `Moved`

    as_of : day of the reports, from which the age of dated labs counts; None for today
    """
    timing = {} if lease_seconds is None else {"seconds": lease_seconds}
    with Leases(store, **timing) as leases:
        tried: set[tuple[str, str]] = set()
        while True:
            with store.reading() as connection:
                waiting = due(connection, basis.name, began)
            work = [entry for entry in waiting.items() if entry not in tried]
            moved_any = False
            for key, state in work:
                if not leases.take(key):
                    continue
                try:
                    if not still_due(store, basis, key, began):
                        continue
                    moved = move_or_fail(store, basis, key, rebuild_damaged, as_of)
                    tried.add((key, moved.state_hash or state))
                    moved_any = True
                    if finish(store, basis, leases, moved, found, log):
                        after(moved)
                finally:
                    leases.let_go(key)
            if not moved_any:
                return


def still_due(store, basis, key, began) -> bool:
    """Asked again once the lease is held: another run may have been faster."""
    with store.reading() as connection:
        return bool(due(connection, basis.name, began, subject=key))


def move_or_fail(store, basis, key, rebuild_damaged, as_of=None) -> Moved:
    """One patient; whatever goes wrong with them alone is their outcome, a full disk or lost database is not."""
    try:
        moved = move_patient(store, basis, key, rebuild_damaged=rebuild_damaged, as_of=as_of)
        return replace(moved, reason=discreet(store, key, moved.reason))
    except (DiskFull, OSError):
        raise
    except BayestwinError as error:
        reason = discreet(store, key, str(error))
    except Exception as error:  # a fault of this program; its text may hold values
        if os.environ.get("BAYESTWIN_TRACEBACK"):
            raise
        reason = f"a fault in bayestwin ({type(error).__name__}); please report it"
    with store.reading() as connection:
        state = state_of(connection, key)
    return Moved(key, state.state_hash if state else "", FAILED, reason)


def finish(store, basis, leases, moved: Moved, found: Refreshed, log: RunLog) -> bool:
    """Commit what was made, publish it, tell it; False where the lease was lost."""
    if not _commit(store, basis, leases, moved):
        return False
    publish_one(store, moved.key)
    _tell(store, log, found, moved)
    return True


def _commit(store, basis, leases, moved: Moved) -> bool:
    """Objects, outcome and audit line, all or none; False where the lease was lost, and then nothing is written."""
    with store.writing() as connection:
        if not leases.holds(connection, moved.key):
            return False
        for kept in moved.made.values():
            store.record_object(connection, kept, moved.key)
        names = {role: kept.name for role, kept in moved.made.items()}
        what = (moved.status, moved.reason, names, moved.facts)
        if add_outcome(connection, moved.key, moved.state_hash, basis.name, *what):
            details = {"state": moved.state_hash, "objects": names, "basis": basis.name}
            audit.note(connection, moved.status, store.mark(moved.key), **details)
    return True


def _tell(store, log, found: Refreshed, moved: Moved) -> None:
    found.counts[moved.status] += 1
    found.died += moved.reason == DIED
    fields = {name: fact for name, fact in moved.facts.items() if name not in WITH_VALUES}
    fields["seconds"] = round(moved.seconds, 2)
    name = public_name(store, moved.key)
    if moved.reason:
        found.problems[name] = moved.reason
        fields["reason"] = moved.reason
    log.line(moved.status, patient=name, **fields)


def refresh(
    store,
    files,
    *,
    model_text=None,
    log=None,
    workers=1,
    scheduler=None,
    rebuild_damaged=False,
    lease_seconds=None,
    **reading,
) -> Refreshed:
    """Take in files, move who is due, publish.

    Parameters
    ----------
    store : Store
    files : dict                    table name -> its files, as for `read_records`; {} where only the store is worked on
    workers : int                   processes; each is a run of its own, started afresh and never forked
    scheduler : str                 address of a Dask scheduler whose workers do the work; see scheduler.py
    rebuild_damaged : bool          start a twin again from the record where its file is damaged
    reading                         as_of (day of the reports, too), time_unit, snapshot: as for `read_records`

    Returns
    -------
    Refreshed                       what was done and what is waiting, with reasons
    """
    log, found, began = log or RunLog(), Refreshed(), now()
    how = {"rebuild_damaged": rebuild_damaged, "lease_seconds": lease_seconds, "as_of": reading.get("as_of")}
    try:
        remove_unfinished(store.files.folder)
        remove_doomed(store)
        basis = load_basis(store, model_text=model_text)
        publish_all(store)
        if files:
            take_in_files(store, basis.model.record_schema(), files, found, log, **reading)
        if scheduler:
            from bayestwin.jobs.scheduler import refresh_on_cluster

            refresh_on_cluster(store, basis, began, found, log, scheduler, model_text, **how)
        elif workers > 1:
            from bayestwin.jobs.workers import refresh_with_workers

            refresh_with_workers(store, basis, began, found, log, workers, model_text, **how)
        else:
            refresh_due(store, basis, began, found, log, **how)
        found.unusable += publish_all(store)
    except DiskFull as error:
        found.stopped = str(error)
        log.line("stopped", reason=found.stopped)
    with store.reading() as connection:
        shown = in_force(connection)
        left = {} if found.stopped else due(connection, basis.name, began)
    found.waiting, found.patients = sum(not entry.fresh for entry in shown), len(shown)
    for key in left:
        found.problems.setdefault(public_name(store, key), "still due: another run is working on this patient")
    found.seconds = (now() - began).total_seconds()
    log.line("done", **dict(found.counts), waiting=found.waiting, seconds=round(found.seconds, 1))
    return found


def problem_lines(found: Refreshed) -> list[str]:
    """One sentence per patient whose forecast was not renewed."""
    return [
        reason if name in reason else f"patient {name}: {reason}" for name, reason in sorted(found.problems.items())
    ]
