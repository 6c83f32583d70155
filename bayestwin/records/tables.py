"""From a file to rows of text: the only place that knows about encodings, separators and headers.

A file that cannot be trusted as a whole (wrong encoding, semicolons, a column twice) raises `RecordError`;
a row with too many or too few cells is refused by itself. No cell is converted here.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bayestwin.errors import RecordError
from bayestwin.records.lines import broken, read_lines, uneven
from bayestwin.records.refusal import Findings, shown_cell

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

    def note_unused_units(self, used, findings: Findings) -> None:
        """Say which lines of the file of units speak of nothing that is read with a unit from there."""
        extra = [name for name in self.units if name not in used]
        if extra:
            findings.note(
                f"{self.file}: its file of units also names {', '.join(map(shown_cell, extra))}, which is not used; "
                f"it may name {', '.join(sorted(used)) or 'nothing here: each row says its unit'}."
            )

    def note_ignored(self, used, findings: Findings) -> None:
        """Say which columns are not read."""
        extra = [written for name, written in self.columns.items() if name and name not in used]
        if extra:
            findings.note(f"{self.file}: columns not read: {', '.join(extra)}.")


def distinct_names(sources: Sequence[tuple[str, Any]]) -> list[str]:
    """What messages call each of several (table name, path or DataFrame): the file's name, with as many folders before
    it as tell it from the others, so that a name stands for one file."""
    frames = [hasattr(one, "to_csv") for _, one in sources]
    parts = [
        (f"{name} (DataFrame)",) if is_frame else Path(one).absolute().parts
        for (name, one), is_frame in zip(sources, frames)
    ]
    found: list[str] = []
    for mine in parts:
        others = [one for one in parts if one is not mine and one != mine]
        length = 1
        while length < len(mine) and any(one[-length:] == mine[-length:] for one in others):
            length += 1
        name = "/".join(mine[-length:])
        again = sum(one == name or one.startswith(f"{name} (again") for one in found)
        found.append(f"{name} (again{f' {again}' if again > 1 else ''})" if again else name)
    return found


def read_table(
    source,
    default_name: str,
    *,
    required,
    known=(),
    key: str,
    doses: bool = False,
    findings: Findings,
    called: str = "",
) -> Table:
    """Read one CSV file (a path) or a pandas DataFrame.

    Parameters
    ----------
    source : path or DataFrame
    default_name : str    name used in messages for a DataFrame
    required : tuple      columns that must be there (lower case)
    known : names         further columns that messages about the header may name
    key : str             the column that holds the study key
    doses : bool          a lost row may have been a dose, so it leaves a hole in the patient's dose history
    called : str          what messages call it, where its name alone would not tell it from another file

    Raises
    ------
    RecordError           missing or unreadable file, encoding, separator, header; names what to do
    """
    units = {}
    if hasattr(source, "to_csv"):
        file, text = called or f"{default_name} (DataFrame)", source.to_csv(index=False)
    else:
        path = Path(source)
        file, text = called or path.name, _text(path)
        units = _sidecar(path)
    lines = read_lines(file, text)
    if not lines:
        raise RecordError("the file is empty", place=file, allowed="a header row and rows", next_step=SAVE_AS)
    header, body = lines[0].cells, lines[1:]
    columns = _header(file, header, required, {*required, *(name.lower() for name in known)})
    rows = []
    for line in body:
        cells = {c: v.strip() for c, v in zip(columns, line.cells, strict=False)}
        problems = broken(line, len(header), list(columns).index(key)) or uneven(line, len(header))
        for patient, problem in problems:
            patient = "".join(cells.get(key, "").splitlines()[:1]) if patient is None else patient
            findings.refuse(patient, file, line.number, problem)
            if doses and patient:
                findings.holes[patient] = None
        if not problems:
            rows.append(Row(file, line.number, cells))
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


def _header(file: str, header: list[str], required, known: set[str]) -> dict[str, str]:
    """Lower-case name -> name as written, in file order; raises where the header cannot be used.

    Messages repeat known names only: a first row that is no header may hold a patient.
    """
    place = f"{file} row 1"
    names = [cell.strip() for cell in header]
    joined = ",".join(names)
    for sign, word in ((";", "semicolons"), ("\t", "tabs")):
        if sign in joined and required[0] not in [n.lower() for n in names]:
            raise RecordError(
                f"the columns are separated by {word}",
                place=place,
                value=_recognised([cell.strip() for cell in joined.split(sign)], known),
                allowed="commas",
                next_step=SAVE_AS,
            )
    if any("\n" in name or "\r" in name for name in names):
        raise RecordError(
            "a column name holds a line break",
            place=place,
            value=_recognised(names, known),
            allowed="a header of one line",
            next_step="Look for a quotation mark too many in the header.",
        )
    lower = [n.lower() or f" {k}" for k, n in enumerate(names)]  # unnamed columns stay apart and are never read
    missing = [name for name in required if name not in lower]
    if missing:
        near = get_close_matches(missing[0], [name for name in lower if name not in known], n=1)
        hint = f"Is {near[0]!r} meant to be {missing[0]!r}? " if near else ""
        if not set(lower) & known:
            hint = "If the file has no header row, add one. "
        raise RecordError(
            f"missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            place=place,
            value=_recognised(names, known),
            allowed=", ".join(required),
            next_step=f"{hint}Name the columns as docs/files.md says.",
        )
    twice = [n for n in dict.fromkeys(lower) if lower.count(n) > 1]
    if twice:
        raise RecordError(
            "a column stands twice in the header",
            place=place,
            value=shown_cell(twice[0]),
            allowed="each column once",
            next_step="Rename or remove one of them.",
        )
    return dict(zip(lower, names, strict=True))


def _recognised(names: list[str], known: set[str]) -> str:
    """The known column names among `names`, and how many others there are."""
    mine = [n for n in names if n.lower() in known]
    others = len(names) - len(mine)
    return f"{', '.join(mine) or 'no known column'} and {others} unknown" if others or not mine else ", ".join(mine)


def _sidecar(path: Path) -> dict[str, str]:
    """Units by column from `<name>.units.toml` beside the file: a table [units], or plain lines."""
    beside = path.with_suffix(".units.toml")
    if not beside.is_file():
        return {}
    try:
        found = tomllib.loads(beside.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as problem:  # not UTF-8, no TOML, thousands of digits or brackets
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
    names = [name.lower() for name in units]
    if twice := next((name for name in units if names.count(name.lower()) > 1), ""):
        raise RecordError(
            "two lines give the unit of one column, since capitals do not count",
            place=beside.name,
            value=shown_cell(twice),
            allowed="one line per column",
            next_step="Remove one of them.",
        )
    return {column.lower(): unit for column, unit in units.items()}
