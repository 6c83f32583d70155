"""The page on drift says what its script writes of the same numbers, misses included."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from drift_coverage import missed, page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "validation" / "drift_coverage.md"
ROW = re.compile(r"\| (\d+) % \| (.+?) \| (.+?) \| (\d+) \| (\d+) \((\d+) to (\d+)\) \| (\d+) \| (\d+) \|")


def share(text):
    return int(text) / 100


def test_the_page_is_what_the_script_writes_of_its_numbers():
    written = PAGE.read_text(encoding="utf-8").splitlines()
    rows = []
    for drift, population, learnt, c50, c80, low, high, c90, labs in filter(None, map(read, written)):
        shares = {"coverage_50": share(c50), "coverage_80": share(c80), "coverage_90": share(c90)}
        limits = {"80_low": share(low), "80_high": share(high), "labs": int(labs), "withheld": 0, "missing": 0}
        rows.append({"drift": share(drift), "population": population, "labs learnt": learnt} | shares | limits)
    made = page(pd.DataFrame(rows), SimpleNamespace(patients=60, visits=24)).splitlines()
    end = made.index("", made.index("|---|---|---|---|---|---|---|---|"))
    assert len(rows) == 35 and written[3:end] == made[3:end]  # above them the day of the run


def test_a_row_more_than_five_points_off_is_marked():
    near = {"coverage_50": 0.546, "coverage_80": 0.75, "coverage_90": 0.854}
    assert missed(near) == "" and missed(near | {"coverage_50": 0.43}) == "**50 %: -7**"


def read(line):
    found = ROW.match(line)
    return found.groups() if found else None
