"""What an unattended run says: one JSON object per line, patients by study key, no value of any lab."""

import json
import re
import sys
from datetime import UTC, datetime

NUMBER = re.compile(r"[-+]?\d[\d.,]*([eE][-+]?\d+)?")


class RunLog:
    """Writes lines to a stream (default the standard error). quiet : say nothing, as beside a progress bar"""

    def __init__(self, stream=None, *, quiet: bool = False):
        self.stream, self.quiet = stream, quiet

    def line(self, event: str, *, patient: str = "", **fields) -> None:
        """One thing that happened. patient : as `public_name` gives it"""
        if self.quiet:
            return
        said = {"at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), "event": event}
        said |= ({"patient": patient} if patient else {}) | fields
        print(json.dumps(said), file=self.stream or sys.stderr, flush=True)

    def refused(self, refusal) -> None:
        """One row that was not used: its place and why; numbers in the reason are left out, they may be of a lab.

        refusal : as `public_refusal` gives it. The store keeps the row with its value: `bayestwin refused`.
        """
        reason = NUMBER.sub("#", refusal.reason)
        self.line("row refused", patient=refusal.patient, file=refusal.file, row=refusal.row, reason=reason)
