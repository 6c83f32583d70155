"""From a file to rows of text: the only place that knows about encodings, separators and quotes.

A file that cannot be trusted as a whole (wrong encoding, semicolons, a column twice) raises `RecordError`;
a row with too many or too few cells is refused by itself. No cell is converted here.
"""

import csv
import io
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from bayestwin.errors import RecordError
from bayestwin.records.refusal import Findings, RowRefused

SAVE_AS = "Save the table as CSV (UTF-8, comma separated) with one header row."


@dataclass(frozen=True)
class Row:
    """One row of a file: cells by lower-case column name, stripped; a missing column reads as empty."""

    file: str
    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Table:
    """A file as text. columns : lower-case name -> name as written; units : from the sidecar file, if any."""

    file: str
    columns: dict[str, str]
    rows: tuple[Row, ...]
    read: int
    units: dict[str, str]

    def note_ignored(self, used, findings: Findings) -> None:
        """Say which columns are not read."""
        extra = [written for name, written in self.columns.items() if name and name not in used]
        if extra:
            findings.note(f"{self.file}: columns not read: {', '.join(extra)}.")


def read_table(source, default_name: str, *, required, key: str, findings: Findings) -> Table:
    """Read one CSV file (a path) or a pandas DataFrame.

    Parameters
    ----------
    source : path or DataFrame
    default_name : str    name used in messages for a DataFrame
    required : tuple      columns that must be there (lower case)
    key : str             the column that holds the study key

    Raises
    ------
    RecordError           missing or unreadable file, encoding, separator, header; names what to do
    """
    units = {}
    if hasattr(source, "to_csv"):
        file, text = f"{default_name} (DataFrame)", source.to_csv(index=False)
    else:
        path = Path(source)
        file, text = path.name, _text(path)
        units = _sidecar(path)
    lines = _lines(file, text)
    if not lines:
        raise RecordError("the file is empty", place=file, allowed="a header row and rows", next_step=SAVE_AS)
    (_, header), body = lines[0], lines[1:]
    columns = _header(file, header, required)
    rows = []
    for number, cells in body:
        if len(cells) != len(header):
            patient = dict(zip(columns, cells, strict=False)).get(key, "").strip()
            findings.refuse(
                patient,
                file,
                number,
                RowRefused(
                    f"the row has {len(cells)} cells, the header has {len(header)}",
                    allowed=f"{len(header)} cells",
                    next_step="Look for a decimal comma or a comma inside a text; "
                    "numbers take a point, texts with commas take quotes.",
                ),
            )
            continue
        rows.append(Row(file, number, {c: v.strip() for c, v in zip(columns, cells, strict=True)}))
    if not body:
        findings.note(f"{file}: a header without rows; nothing was read from it.")
    return Table(file, columns, tuple(rows), len(body), units)


def _text(path: Path) -> str:
    """The decoded text of a file; UTF-8 with or without a byte order mark."""
    try:
        raw = path.read_bytes()
    except OSError as problem:
        raise RecordError(
            "the file cannot be read",
            place=path.name,
            value=problem.strerror or type(problem).__name__,
            allowed="a readable CSV file",
            next_step="Check the path and its permissions.",
        ) from problem
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in raw:
        raise RecordError(
            "the file is not UTF-8 text (UTF-16 or binary)", place=path.name, allowed="UTF-8 CSV", next_step=SAVE_AS
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        row = raw[: problem.start].count(b"\n") + 1
        raise RecordError(
            "the file is not UTF-8",
            place=f"{path.name} row {row}",
            value=raw[problem.start : problem.start + 1],
            allowed="UTF-8 CSV",
            next_step=SAVE_AS,
        ) from problem


def _lines(file: str, text: str) -> list[tuple[int, list[str]]]:
    """Row number and cells of each row that is not blank. Strict quotes: an open one would swallow rows."""
    found, reader = [], csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if any(cell.strip() for cell in cells):
                found.append((number, cells))
    except csv.Error as problem:
        raise RecordError(
            f"the file is not well-formed CSV after row {number}",
            place=file,
            value=str(problem),
            allowed="quotes in pairs",
            next_step="Look for a quotation mark that is not closed.",
        ) from problem
    return found


def _header(file: str, header: list[str], required) -> dict[str, str]:
    """Lower-case name -> name as written, in file order; raises where the header cannot be used."""
    place = f"{file} row 1"
    names = [cell.strip() for cell in header]
    joined = ",".join(names)
    for sign, word in ((";", "semicolons"), ("\t", "tabs")):
        if sign in joined and required[0] not in [n.lower() for n in names]:
            raise RecordError(
                f"the columns are separated by {word}",
                place=place,
                value=joined[:60],
                allowed="commas",
                next_step=SAVE_AS,
            )
    lower = [n.lower() or f" {k}" for k, n in enumerate(names)]  # unnamed columns stay apart and are never read
    twice = [n for n in dict.fromkeys(lower) if lower.count(n) > 1]
    if twice:
        raise RecordError(
            "a column stands twice in the header",
            place=place,
            value=twice[0],
            allowed="each column once",
            next_step="Rename or remove one of them.",
        )
    missing = [name for name in required if name not in lower]
    if missing:
        near = get_close_matches(missing[0], lower, n=1)
        hint = f"Is {near[0]!r} meant to be {missing[0]!r}? " if near else ""
        raise RecordError(
            f"missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            place=place,
            value=joined[:80],
            allowed=", ".join(required),
            next_step=f"{hint}Name the columns as docs/files.md says.",
        )
    return dict(zip(lower, names, strict=True))


def _sidecar(path: Path) -> dict[str, str]:
    """Units by column from `<name>.units.toml` beside the file: a table [units], or plain lines."""
    beside = path.with_suffix(".units.toml")
    if not beside.is_file():
        return {}
    try:
        found = tomllib.loads(beside.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise RecordError(
            "the file of units cannot be read",
            place=beside.name,
            value=str(problem),
            allowed='lines such as weight = "kg"',
            next_step="Put the units in quotes.",
        ) from problem
    units = found.get("units", found)
    if not isinstance(units, dict) or not all(isinstance(u, str) for u in units.values()):
        raise RecordError("units must be texts", place=beside.name, value=units, allowed='lines such as weight = "kg"')
    return {column.lower(): unit for column, unit in units.items()}
