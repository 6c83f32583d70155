"""A person sees how far a refresh is."""

import io
import time

from rich.console import Console

from bayestwin.jobs.progress import Bar
from bayestwin.store.outcomes import PUBLISHED, add_outcome, set_state


def test_the_bar_counts_patients_done_by_whichever_process(store):
    with store.writing() as connection:
        for key in ("P-1", "P-2"):
            set_state(connection, key, "a")
        basis = store.basis(connection)
    screen = io.StringIO()
    with Bar(store, every=0.05, console=Console(file=screen, force_terminal=True, width=80)):
        time.sleep(0.4)
        with store.writing() as connection:
            add_outcome(connection, "P-1", "a", basis, PUBLISHED, "", {}, {"report": "bt_1"})
        time.sleep(0.6)
    assert "0/2" in screen.getvalue() and "1/2" in screen.getvalue()
