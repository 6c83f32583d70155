"""A refresh that kills itself: python killed_refresh.py STORE LABS [MODULE.FUNCTION N before|after]

The process gets SIGKILL at the N-th call of a function, so nothing is tidied up and no exit code is left.
"""

import importlib
import os
import signal
import sys

from bayestwin.jobs.compilation_cache import use_compilation_cache


def kill_at(place: str, number: int, when: str) -> None:
    """Replace a function by one that kills the process around its `number`-th call."""
    module, _, name = place.rpartition(".")
    home, calls = importlib.import_module(module), []
    function = getattr(home, name)

    def fatal(*given, **named):
        calls.append(1)
        if len(calls) == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*given, **named)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(home, name, fatal)


def main(url: str, labs: str, *point: str) -> None:
    """Refresh; with a point, die there."""
    use_compilation_cache()
    from bayestwin.jobs.refresh import refresh
    from bayestwin.store.opening import open_store

    if point:
        kill_at(point[0], int(point[1]), point[2])
    store = open_store(url)
    found = refresh(store, {"labs": labs})
    print(found.counts["published"], found.waiting)


if __name__ == "__main__":
    main(*sys.argv[1:])
