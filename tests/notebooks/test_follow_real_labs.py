"""The second notebook runs from top to bottom on the simulated men, and its last assertions hold."""

import runpy
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_follow_real_labs.py"


@pytest.mark.slow
def test_following_labs_runs_in_fast_mode_on_simulated_men(monkeypatch, capsys):
    monkeypatch.setenv("BAYESTWIN_FAST", "1")
    names = runpy.run_path(str(NOTEBOOK))
    said = capsys.readouterr().out
    assert "SIMULATED men are followed" in said and "of 20 PSA inside" in said
    assert set(names["beside"]) == {"last_value", "gaussian_process"}
    assert {row.plan.name for row in names["prognosis"].rows} >= {"continue", "pause, resume at 10 ng/mL"}
