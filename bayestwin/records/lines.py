"""Rows and lines of a CSV file: what a quotation mark holds together, and what it swallows.

A spreadsheet counts rows, a text editor lines; a cell with a line break makes them differ. Such a row is refused,
with the lines it spans and the rows that were lost inside it.
"""

import csv
import io
from dataclasses import dataclass

from bayestwin.errors import RecordError
from bayestwin.records.refusal import RowRefused


@dataclass(frozen=True)
class Line:
    """A row as read. number : as a spreadsheet counts; first : its first line in the file; texts : those lines."""

    number: int
    cells: list[str]
    first: int
    texts: list[str]


def broken(line: Line, width: int, key: int) -> list[tuple[str | None, RowRefused]]:
    """Refusals of a row with a line break in a cell, and of each row that the cell swallowed, by patient.

    A quotation mark too many makes one row of several; a swallowed line counts as a row if it has as many cells as the
    header. None stands for the patient of the row itself. The lines are not repeated: anything may stand there.
    """
    if not any("\n" in cell or "\r" in cell for cell in line.cells):
        return []
    last = line.first + len(line.texts) - 1
    lost = [(k, t.split(",")) for k, t in enumerate(line.texts[1:], start=line.first + 1) if t.count(",") == width - 1]
    step = "Look for a quotation mark too many in these lines; a text takes one line."
    place = f"lines {line.first} to {last} of the file"
    said = f"; {len(lost)} row{'s are' if len(lost) > 1 else ' is'} lost inside it" if lost else ""
    return [
        (
            None,
            RowRefused(
                f"a cell holds a line break, so {place} were read as one row{said}",
                allowed="cells of one line",
                next_step=step,
            ),
        ),
        *(
            (
                cells[key].strip().strip('"'),
                RowRefused(
                    f"line {k} of the file was lost inside a cell with a line break: {place} were read as one row",
                    allowed="one line per row",
                    next_step=step,
                ),
            )
            for k, cells in lost
        ),
    ]


def uneven(line: Line, width: int) -> list[tuple[str | None, RowRefused]]:
    """The refusal of a row with too many or too few cells."""
    if len(line.cells) == width:
        return []
    problem = RowRefused(
        f"the row has {len(line.cells)} cells, the header has {width}",
        allowed=f"{width} cells",
        next_step="Look for a decimal comma or a comma inside a text; "
        "numbers take a point, texts with commas take quotes.",
    )
    return [(None, problem)]


def read_lines(file: str, text: str) -> list[Line]:
    """Each row that is not blank. Strict quotes: one open to the end would swallow all rows."""
    texts = io.StringIO(text, newline="").readlines()
    found, reader = [], csv.reader(texts, strict=True)
    number = read = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if any(cell.strip() for cell in cells):
                found.append(Line(number, cells, read + 1, texts[read : reader.line_num]))
            read = reader.line_num
    except csv.Error as problem:
        raise RecordError(
            f"the file is not well-formed CSV after row {number}, in the row that starts in line {read + 1}",
            place=file,
            value=str(problem),
            allowed="quotes in pairs",
            next_step="Look for a quotation mark that is not closed.",
        ) from problem
    return found
