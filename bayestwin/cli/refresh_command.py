"""The command `refresh`: new labs into the twins of a store, forecasts, reports."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestwin.cli.options import (
    DIAGNOSTICS_FAILED,
    DONE,
    NOTHING_USABLE,
    SOME_REFUSED,
    AsOf,
    Snapshot,
    StoreUrl,
    TimeUnit,
    say,
    usage_error,
)
from bayestwin.cli.reading import input_files, say_refused


def refresh(
    store: StoreUrl,
    labs: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file, known by its header; or a folder of labs*.csv, patients*.csv, doses*.csv, events*.csv.",
            exists=True,
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="New place of the model's folder, if it moved.")] = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    snapshot: Snapshot = False,
    workers: Annotated[int, typer.Option(help="Processes on this machine.", min=1, max=64)] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler whose workers do the work (extra distributed)."),
    ] = None,
    rebuild_damaged: Annotated[
        bool,
        typer.Option("--rebuild-damaged", help="Start a twin again from its record where its file is damaged."),
    ] = False,
):
    """Work new labs into the twins they belong to, forecast, publish reports; run again, it does nothing."""
    from bayestwin.jobs.refresh import problem_lines
    from bayestwin.jobs.refresh import refresh as refresh_store
    from bayestwin.store.opening import open_store

    if scheduler is not None and workers > 1:
        raise usage_error("--workers counts processes of this machine; with --scheduler the cluster has its own.")
    if scheduler is not None and not scheduler.strip():
        raise usage_error("--scheduler is empty: name the address of a Dask scheduler, tcp://machine:8786.")
    skipped: list[str] = []
    opened, files = open_store(store), input_files(labs, tell=skipped.append) if labs else {}
    reading: dict[str, Any] = {"as_of": as_of, "time_unit": time_unit, "snapshot": snapshot}
    how: dict[str, Any] = {"model_text": model, "workers": workers, "rebuild_damaged": rebuild_damaged}
    how["scheduler"] = scheduler
    with _progress(opened) as log:
        for reason in skipped:
            log.line("file not read", reason=reason)
        found = refresh_store(opened, files, log=log, **how, **reading)
    if sys.stderr.isatty():  # else the log tells them
        say_refused(found.refusals, "`bayestwin refused` lists every row")
        for line in (*(f"not read: {reason}" for reason in skipped), *(f"note: {note}" for note in found.notes)):
            say(line)
    for line in (*found.unusable, *problem_lines(found)):
        say(line)
    typer.echo(found.summary())
    return _code_of(found)


def _code_of(found) -> int:
    """Exit code of a refresh. A death is no failed check; all patients asked for (of the files, else of the store)
    failing is nothing usable."""
    published, failed = found.counts["published"], found.counts["failed"]
    nothing = found.stopped or not found.known and (found.unusable or found.refusals)
    nothing = nothing or failed and failed >= (found.known or found.patients)
    if nothing and not published:
        return NOTHING_USABLE
    if found.counts["held"] > found.died and not published:
        return DIAGNOSTICS_FAILED
    trouble = found.problems or found.unusable or found.refusals or found.stopped or found.erased
    return SOME_REFUSED if trouble else DONE


def _progress(store):
    """A bar for a person at a terminal, JSON lines for everyone else; a context that gives the log."""
    from contextlib import contextmanager

    from bayestwin.jobs.run_log import RunLog

    @contextmanager
    def bar():
        from bayestwin.jobs.progress import Bar

        with Bar(store) as shown:
            yield shown.log

    @contextmanager
    def plain():
        yield RunLog()

    return bar() if sys.stderr.isatty() else plain()
