"""The second notebook runs from top to bottom on the simulated men, and its last assertions hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_follow_real_labs.py"
# Its programs run for seconds and are compiled for a minute: a process of its own compiles them without optimisation.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


@pytest.mark.validate
def test_following_labs_runs_in_fast_mode_on_simulated_men():
    environment = os.environ | {"BAYESTWIN_FAST": "1", "XLA_FLAGS": QUICK, "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, NOTEBOOK], env=environment, capture_output=True, text=True, cwd=NOTEBOOK.parent
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SIMULATED men are followed" in done.stdout and "of 20 PSA inside" in done.stdout
    assert "of gaussian_process" in done.stdout or "of last_value" in done.stdout
    assert "pause, resume at 10 ng/mL" in done.stdout
