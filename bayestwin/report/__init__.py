"""Words, pages and their machine-readable twin. Start with `write_report` (write.py) and `ReportInput` (model.py)."""

from bayestwin.report.model import ReportInput
from bayestwin.report.write import Report, make_report, write_report

__all__ = ["Report", "ReportInput", "make_report", "write_report"]
