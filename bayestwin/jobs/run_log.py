"""What an unattended run says: one JSON object per line, patients by study key, no value of any lab."""

import json
import sys
from datetime import UTC, datetime

from bayestwin.records.refusal import NUMBER, alike


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

    def refused(self, refusals) -> None:
        """Rows that were not used: place and why; numbers in the reason are left out, they may be of a lab.

        Of like ones the first, and how many more there are. refusals : as `public_refusal` gives them. The store keeps
        every row with its value: `bayestwin refused`.
        """
        for first, *more in alike(refusals):
            said = {"file": first.file, "row": first.row, "reason": NUMBER.sub("#", first.reason)}
            self.line("row refused", patient=first.patient, **said, **({"more_like_this": len(more)} if more else {}))

    def notes(self, notes) -> None:
        """What the readers ask to be known; numbers are left out here too."""
        for note in notes:
            self.line("note", reason=NUMBER.sub("#", note))
