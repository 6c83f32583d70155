"""A progress bar for a person: how many patients are done, read from the store itself, so that it counts the work of
all processes."""

import threading

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bayestwin.errors import StoreError
from bayestwin.jobs.run_log import RunLog
from bayestwin.store.outcomes import due
from bayestwin.store.schema import now

READING, FIRST, MOVING = "refresh: reading files", "refresh: first patient, compiling (minutes)", "refresh: patients"


class Bar:
    """Shows a bar while a refresh runs; use as a context manager. log : what the refresh talks to"""

    def __init__(self, store, *, every: float = 0.5, console: Console | None = None):
        self.store, self.every, self.log = store, every, RunLog(quiet=True)
        counted = TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn()
        times = TextColumn("after"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
        self._bar = Progress(*counted, *times, console=console or Console(stderr=True), transient=True)
        self._stop = threading.Event()
        self._began, self._most = now(), 0
        self._thread = threading.Thread(target=self._watch, name="bayestwin progress", daemon=True)

    def __enter__(self) -> "Bar":
        self._bar.start()
        self._task = self._bar.add_task(READING, total=None)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._bar.stop()

    def _watch(self):
        while not self._stop.wait(self.every):
            try:
                with self.store.reading() as connection:
                    left = len(due(connection, self.store.basis(connection), self._began))
            except StoreError:
                continue
            self._most = max(self._most, left)
            if self._most:
                done = self._most - left
                doing = {"description": MOVING if done else FIRST, "total": self._most, "completed": done}
                self._bar.update(self._task, **doing)
