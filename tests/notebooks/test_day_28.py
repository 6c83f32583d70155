"""The third notebook runs from top to bottom with few particles, and its last assertions hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "03_day_28.py"
# Its programs run for seconds and are compiled for a minute: a process of its own compiles them without optimisation.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


@pytest.mark.validate
def test_day_28_runs_in_fast_mode_and_ends_in_its_assertions(tmp_path):
    environment = os.environ | {"BAYESTWIN_FAST": "1", "XLA_FLAGS": QUICK, "BAYESTWIN_FIGURES": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, NOTEBOOK], env=environment, capture_output=True, text=True, cwd=NOTEBOOK.parent
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("rests on") == 10 and done.stdout.count("in 100 that a tenth of the burden") == 2
    assert len(list(tmp_path.glob("*.png"))) == 4
