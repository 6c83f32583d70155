"""What every test may lean on: the shared data folder, a browser, no network, one compilation cache.

shared_data   public data sets: $BAYESTWIN_SHARED_DATA or ../shared/data beside the checkout, else a skip
demo_data     the synthetic data this repository ships
chromium      path of a headless Chromium, else the test skips
"""

import gc
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

# Before NumPy is imported: the two test processes fill two cores already, and threads that wait for each other spin.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bayestwin.jobs.compilation_cache import use_compilation_cache

ROOT = Path(__file__).resolve().parents[1]

# Before any test imports JAX: the second test run, and the second process of this one, compile little.
use_compilation_cache(ROOT / ".cache" / "tests")
# Level 1 takes a tenth less to compile than level 3 and runs as fast. See also pytest_configure. Tried on four programs
# of these tests, no gain beyond noise: xla_cpu_opt_preset=FAST_COMPILE, 128-bit vectors, SSE4_2, code generated in
# one part, no noalias metadata, a malloc that keeps memory. Without the fusion pass compiling takes 1.7 times as long.
# One device: two test processes fill two cores; the command `fit`, called in a test, would else make two of them.
ONE_DEVICE = "--xla_force_host_platform_device_count=1"
os.environ.setdefault(
    "XLA_FLAGS", f"--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true {ONE_DEVICE}"
)
WITHOUT_OPTIMISATION = "jax_disable_most_optimizations"
os.environ.setdefault("MPLBACKEND", "agg")

try:
    from hypothesis import settings

    # A first example that compiles takes seconds; that is no fault. Derandomised: the same examples every run.
    settings.register_profile("bayestwin", deadline=None, derandomize=True)
    settings.load_profile("bayestwin")
except ImportError:
    pass


# These files start first, so that no process is left alone with one of them at the end.
LONGEST = (
    "models/test_contract.py",
    "population/test_gibbs.py",
    "twin/test_failures.py",
    "notebooks/test_quick_start.py",
    "dynamics/test_dosing_identities.py",
    "evaluation/test_verification_simulated.py",
    "jobs/test_verify_jobs.py",
    "jobs/test_refresh_killed.py",
    "twin/test_update_equals_oracle.py",
    "twin/test_between.py",
    "dynamics/test_drivers.py",
    "population/test_gibbs_observed.py",
    "population/test_crosscheck_density.py",
    "prognosis/test_clearance.py",
    "population/test_fit_and_save.py",
    "individual/test_likelihood.py",
    "population/test_sites.py",
    "population/test_variational.py",
    "validation/test_nmtest.py",
    "evaluation/test_verification.py",
    "cli/test_verify_command.py",
)


def pytest_configure(config):
    """Most programs of the fast tests run for less time than they are compiled. Without optimisation compiling takes a
    third less, running two to three times as much: those of `make validate`, which run long, have it."""
    os.environ.setdefault(WITHOUT_OPTIMISATION.upper(), "1" if "not validate" in config.option.markexpr else "0")
    if "jax" in sys.modules:  # the conftest of a folder that was asked for alone has imported it already
        quick(os.environ[WITHOUT_OPTIMISATION.upper()] == "1")


# These files run longer than they compile.
OPTIMISED = ("validation/test_nmtest.py",)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """A file of OPTIMISED is compiled at level 1, fixtures and processes that it starts too."""
    if item.path not in {ROOT / "tests" / name for name in OPTIMISED} or not quick():
        return (yield)
    quick(False)
    try:
        return (yield)
    finally:
        quick(True)


def quick(wanted=None):
    """Whether programs are compiled without optimisation, here and in processes to come; `wanted` sets it."""
    import jax

    if wanted is not None:
        os.environ[WITHOUT_OPTIMISATION.upper()] = "1" if wanted else "0"
        jax.config.update(WITHOUT_OPTIMISATION, wanted)
    return jax.config.values[WITHOUT_OPTIMISATION]


def pytest_collection_finish(session):
    """Tracing makes objects by the million that live on: looking through them all for cycles takes a fifth of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items):
    """The longest files first, the others as they come."""
    places = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


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
