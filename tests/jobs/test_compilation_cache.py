"""Compiled programs on disk: found again by the next process, off when told so, never in the caller's way."""

import os
import pickle
import subprocess
import sys

import pytest

from bayestwin.jobs.compilation_cache import machine_key, use_compilation_cache
from bayestwin.jobs.errand import Errand, move_there

VARIABLES = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
    "BAYESTWIN_COMPILATION_CACHE",
)

PROGRAM = """
import sys
from bayestwin.jobs.compilation_cache import use_compilation_cache
use_compilation_cache(sys.argv[1])
import jax
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
jax.jit(lambda x: jax.numpy.sin(x) * 3)(1.0).block_until_ready()
print(len(hits))
"""


WORKER = """
import pickle, sys
move, errand = pickle.loads(bytes.fromhex(sys.argv[1]))
move(errand, "P-0")
import jax
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.fixture
def bare_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that monkeypatch puts back what the code under test sets
        monkeypatch.delenv(name)


def test_the_next_process_reads_back_what_this_one_compiled(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    counts = [
        int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, tmp_path], env=environment, capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(2)
    ]
    assert counts[0] == 0 and any(tmp_path.glob("jax-*/*"))
    if counts[1] == 0:
        pytest.skip("this processor rejects cached programs (jax#38445); the cache is optional")
    assert counts[1] > 0


def test_a_worker_of_a_cluster_knows_the_cache_before_jax_is_imported(tmp_path):
    pytest.importorskip("dask")
    sent = pickle.dumps((move_there, Errand("nowhere.db", "", "", None, False, (("bayestwin", "0"),)))).hex()
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    call = [sys.executable, "-c", WORKER, sent]
    said = subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(tmp_path / "bayestwin" / f"jax-{machine_key()}")


def test_the_folder_is_one_per_kind_of_machine_and_jaxlib(bare_environment, tmp_path):
    folder = use_compilation_cache(tmp_path)
    assert folder == tmp_path / f"jax-{machine_key()}"
    assert len(machine_key()) == 12 and machine_key() == machine_key()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)


def test_the_cache_can_be_switched_off(bare_environment, monkeypatch, tmp_path):
    monkeypatch.setenv("BAYESTWIN_COMPILATION_CACHE", "off")
    assert use_compilation_cache(tmp_path) is None
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_a_folder_chosen_through_jaxs_own_variable_stays(bare_environment, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "mine"))
    assert use_compilation_cache(tmp_path / "other") == tmp_path / "mine"
