"""From the files named on the command line to records; what was refused is said on the standard error."""

import re
from pathlib import Path

import typer

from bayestwin.cli.options import NOTHING_USABLE, say, usage_error

TABLES = ("patients", "labs", "doses", "events", "event_table")
# A table is known by columns that no other one has; the first match counts.
SIGNS = {
    "event_table": {"id", "dv"},
    "labs": {"output", "value"},
    "doses": {"amount"},
    "events": {"event"},
    "patients": {"patient"},
}


def read_files(schema, files, *, base=None, time_unit=None, as_of=None, snapshot=False):
    """Read the tables in `files` (table name -> path or None), onto the record `base` if there is one."""
    if not any(files.values()):
        raise usage_error("No data given: name at least one of --patients, --labs, --doses, --events, --event-table.")
    from bayestwin.records import read_records

    return read_records(schema, **files, as_of=as_of, time_unit=time_unit, snapshot=snapshot, base=base)


def tell(reading) -> None:
    """Say what was refused and what should be known, on the standard error."""
    from bayestwin.records.refusal import shown_key

    for key in reading.incomplete_doses:
        say(f"patient {shown_key(key)}: a dose was refused, so every forecast rests on a wrong dose history")
    say_refused(reading.refusals, "`bayestwin check FILES --out refused.csv` lists every row")
    for note in reading.notes:
        say(f"note: {note}")


def say_refused(refusals, every: str) -> None:
    """Say which rows were refused, like ones together; every : where all of them can be seen."""
    from bayestwin.records.refusal import refusal_lines

    lines = refusal_lines(refusals)
    for line in lines:
        say(f"refused: {line}")
    if len(lines) < len(refusals):
        say(f"{len(refusals)} rows or cells were refused; {every}")


def add_recognised(files: dict, path: Path) -> None:
    """Put a file into the table that its header speaks of, else its name; of a folder, the tables that it holds.

    A header that nobody can read (semicolons, UTF-16, an empty file) is for the readers to explain.
    """
    if path.is_dir():
        for inside in _tables_in(path):
            add_recognised(files, inside)
        return
    table = _table_of(path) or _named_after(path)
    if table is None:
        raise usage_error(f"{path.name}: the header fits none of {', '.join(TABLES)} (see docs/files.md).")
    if files.get(table) is not None:
        raise usage_error(f"{path.name}: a second file for {table}; {files[table].name} was given before.")
    files[table] = path


def _named_after(path: Path) -> str | None:
    """The table whose name stands in that of a file (labs_monday.csv, x_labs.csv), where it is one."""
    words = re.split(r"[^a-z]+", path.stem.lower().replace("event_table", "eventtable"))
    found = [name for name in TABLES if name.replace("_", "") in words]
    return found[0] if len(found) == 1 else None


def _table_of(path: Path) -> str | None:
    """The table that the header of a CSV file speaks of."""
    header = path.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0]
    columns = {name.strip().strip('"').lower() for name in header.split(",")}
    return next((name for name, needed in SIGNS.items() if needed <= columns), None)


def _tables_in(folder: Path) -> list[Path]:
    """Files of a folder that bear a table's name; without such files those whose header speaks of one, one of each.

    A key of patients in the header is not enough: results hold one too, so patients.csv keeps its name.
    """
    named = [folder / f"{name}.csv" for name in TABLES if (folder / f"{name}.csv").is_file()]
    found: dict[str, list[Path]] = {}
    for file in sorted(one for one in folder.iterdir() if not one.name.startswith(".") and one not in named):
        if file.is_dir():
            say(f"not read: {file.name} (a folder inside the folder)")
        elif file.name.endswith(".units.toml"):
            continue  # read with its table, if that is there
        elif file.suffix.lower() != ".csv":
            say(f"not read: {file.name} (its name does not end in .csv)")
        elif (table := _table_of(file)) is None or table == "patients" and not file.stem.lower().startswith(table):
            say(f"not read: {file.name} (its header fits none of {', '.join(TABLES)})")
        elif named:
            there = file.with_name(f"{table}.csv") in named
            what = "the table is the file of that name" if there else f"to have it read, name it {table}.csv"
            say(f"not read: {file.name} (it looks like {table}.csv; {what})")
        else:
            found.setdefault(table, []).append(file)
    if named:
        return named
    for table, several in found.items():
        if len(several) > 1:
            names = ", ".join(file.name for file in several)
            raise usage_error(
                f"{folder.name}: several files could be the table {table}: {names}. "
                f"Name the one that is meant {table}.csv, or give that file instead of the folder."
            )
    if not found:
        raise usage_error(
            f"{folder.name}: the folder holds none of {', '.join(f'{name}.csv' for name in TABLES)}, and no CSV file "
            "whose header speaks of one (see docs/files.md)."
        )
    return [several[0] for several in found.values()]


def input_files(path: Path, *, tell=lambda reason: say(f"not read: {reason}")) -> dict[str, list[Path]]:
    """The tables of a file or folder: table name -> its files, which are read as one table.

    A single file is known by its header; in a folder a file belongs to the table that its name begins with
    (labs_monday.csv, labs_tuesday.csv). tell : called with what is not read, and why
    """
    if not path.is_dir():
        files: dict = {}
        add_recognised(files, path)
        return {table: [file] for table, file in files.items()}
    found: dict[str, list[Path]] = {}
    for file in sorted(one for one in path.iterdir() if not one.name.startswith(".")):
        table = next((name for name in TABLES if file.stem.lower().startswith(name)), None)
        if file.is_dir():
            tell(f"{file.name} (a folder inside the folder)")
        elif file.suffix.lower() != ".csv":
            tell(f"{file.name} (its name does not end in .csv)")
        elif table is None:
            tell(f"{file.name} (its name begins with none of {', '.join(TABLES)})")
        else:
            found.setdefault(table, []).append(file)
    if not found:
        raise usage_error(f"{path.name}: no CSV file here begins with {', '.join(TABLES)}.")
    return found


def one_patient(cohort, key: str | None):
    """The record of `key`, or of the only patient there is."""
    if key is not None and not key.strip():
        raise usage_error("--patient is empty: name a study key.")
    if key is None and len(cohort) == 1:
        return next(iter(cohort))
    if len(cohort) == 0:
        say("Nothing usable: the files hold no patient.")
        raise typer.Exit(NOTHING_USABLE)
    if key is None:
        raise usage_error(f"The files hold {len(cohort)} patients: choose one with --patient.")
    return cohort[key]
