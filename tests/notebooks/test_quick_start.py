"""The quick start runs from top to bottom and its last assertions hold."""

import runpy
from pathlib import Path

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_quick_start.py"


def test_quick_start_runs_in_fast_mode_and_ends_in_its_assertions(monkeypatch, capsys):
    monkeypatch.setenv("BAYESTWIN_FAST", "1")
    names = runpy.run_path(str(NOTEBOOK))
    assert names["twin"].info.verdict == "PASS"
    assert len(names["expected"]) == len(names["newcomer"].labs)
    assert "highest median concentration" in capsys.readouterr().out
