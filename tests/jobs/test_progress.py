"""A person sees how far a refresh is."""

import io
import time

from rich.console import Console

from bayestwin.jobs.progress import FIRST, MOVING, READING, Bar
from bayestwin.store.outcomes import PUBLISHED, add_outcome, set_state


def test_the_bar_counts_patients_done_by_whichever_process_and_says_what_keeps_it_before_the_first(store):
    with store.writing() as connection:
        for key in ("P-1", "P-2"):
            set_state(connection, key, "a")
        basis = store.basis(connection)
    screen = io.StringIO()
    with Bar(store, every=0.05, console=Console(file=screen, force_terminal=True, width=120)):
        assert READING in screen.getvalue()
        time.sleep(0.4)
        assert f"{FIRST} " in screen.getvalue() and MOVING not in screen.getvalue()
        with store.writing() as connection:
            add_outcome(connection, "P-1", "a", basis, PUBLISHED, "", {}, {"report": "bt_1"})
        time.sleep(0.6)
    assert "0/2" in screen.getvalue() and "1/2" in screen.getvalue()
    assert f"{MOVING} " in screen.getvalue() and "after" in screen.getvalue() and "0:00:0" in screen.getvalue()
