"""What every test may lean on: the shared data folder, a browser, no network, one compilation cache.

shared_data   public data sets: $BAYESTWIN_SHARED_DATA or ../shared/data beside the checkout, else a skip
demo_data     the synthetic data this repository ships
chromium      path of a headless Chromium, else the test skips
"""

import os
import shutil
import socket
from pathlib import Path

import pytest

from bayestwin.jobs.compilation_cache import use_compilation_cache

ROOT = Path(__file__).resolve().parents[1]

# Before any test imports JAX: the second test run, and the second process of this one, compile little.
use_compilation_cache(ROOT / ".cache" / "tests")
os.environ.setdefault("MPLBACKEND", "agg")

try:
    from hypothesis import settings

    # A first example that compiles takes seconds; that is no fault. Derandomised: the same examples every run.
    settings.register_profile("bayestwin", deadline=None, derandomize=True)
    settings.load_profile("bayestwin")
except ImportError:
    pass


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public data sets that are never committed."""
    folder = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("public data sets absent: set BAYESTWIN_SHARED_DATA or put shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def demo_data() -> Path:
    """Folder of the shipped synthetic data."""
    return ROOT / "data"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium that can run headless."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")


class NetworkUsed(AssertionError):
    """A test tried to reach another machine."""


def refuse_other_machines(connect):
    """`connect` as it was for this machine's own addresses, an error for all others."""

    def guarded(self, address, *args):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise NetworkUsed(f"connection to {address[0]} that nobody asked for")
        return connect(self, address, *args)

    return guarded


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing in bayestwin connects to another machine unless asked (promise 12)."""
    monkeypatch.setattr(socket.socket, "connect", refuse_other_machines(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", refuse_other_machines(socket.socket.connect_ex))
