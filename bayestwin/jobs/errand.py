"""What a process must know that moves patients for another one, and how it makes itself ready.

Shared by the processes of one machine and the workers of a Dask cluster. A worker unpickles `move_there`, and so
imports this module, before anything of this program runs there: nothing here imports JAX until the compilation cache is
set up, since JAX reads its settings once, when it is imported.
"""

import functools
import threading
from dataclasses import dataclass, field

from bayestwin.errors import BayestwinError, StoreError
from bayestwin.jobs.compilation_cache import use_compilation_cache

_one_at_a_time = threading.Lock()  # figures of a report are not drawn in two threads


@dataclass(frozen=True)
class Errand:
    """What a worker must know besides the patient's key. Dask may log it: address and salt are no part of its text."""

    url: str = field(repr=False)
    salt: str = field(repr=False)
    basis: str
    model_text: str | None
    rebuild_damaged: bool
    versions: tuple[tuple[str, str], ...]
    as_of: str | None = None


@dataclass(frozen=True)
class Unfit:
    """A worker that cannot do the work at all, and why; the run stops."""

    reason: str


def make_errand(store, basis, model_text: str | None, rebuild_damaged: bool, as_of=None) -> Errand:
    """The errand of workers that are to do what this process would do."""
    from bayestwin.jobs.basis import versions

    url = store.engine.url.render_as_string(hide_password=False)
    return Errand(url, store.salt, basis.name, model_text, rebuild_damaged, tuple(versions().items()), as_of)


@functools.lru_cache(maxsize=1)
def ready(errand: Errand):
    """The store and its basis, opened once in each process of a worker.

    Raises
    ------
    StoreError      no such store there, or another one
    """
    use_compilation_cache()
    from bayestwin.jobs.basis import load_basis
    from bayestwin.store.opening import open_store

    store = open_store(errand.url)
    basis = load_basis(store, model_text=errand.model_text)
    if store.salt != errand.salt or basis.name != errand.basis:
        raise StoreError("another store lies at this address there", place="--store")
    return store, basis


def move_there(errand: Errand, key: str):
    """One patient, on a worker: what it came to (`Moved`), or `Unfit`."""
    use_compilation_cache()
    from bayestwin.jobs.basis import versions
    from bayestwin.jobs.refresh import move_or_fail

    here = tuple(versions().items())
    if here != errand.versions:
        other = next(
            f"{name} {have}, not {want}" for (name, want), (_, have) in zip(errand.versions, here) if want != have
        )
        return Unfit(f"a worker has {other}")
    import dask

    # Else xarray, inside a worker, asks the cluster for a lock around every file it writes.
    with _one_at_a_time, dask.config.set(scheduler="synchronous"):
        try:
            store, basis = ready(errand)
            return move_or_fail(store, basis, key, errand.rebuild_damaged, errand.as_of)
        except BayestwinError as error:
            return Unfit(f"a worker cannot use the store: {error}")
        except OSError as error:
            return Unfit(f"a worker cannot read or write: {error.strerror or type(error).__name__}")
