"""Makes the invented inputs of report_examples.py importable under every import mode of pytest."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def made():
    """name -> finished report, each made once."""
    import report_examples

    from bayestwin.report import make_report

    done = {}

    def make(name):
        if name not in done:
            done[name] = make_report(getattr(report_examples, name)())
        return done[name]

    return make
