"""Files in, patients out: `read_records` and what it returns.

    files -> rows of text -> drafts (one row by itself) -> placed on the patient's clock -> what is believed

Each step refuses what it cannot use, with place and reason, and passes the rest on.
"""

from copy import deepcopy

from bayestwin.errors import RecordError, refuse_no_path, refuse_other
from bayestwin.labs import RecordSchema
from bayestwin.records import dose_rows, event_rows, event_table, lab_rows
from bayestwin.records.clocks import parse_as_of
from bayestwin.records.covariates import BY_CUSTOM, covariate_columns
from bayestwin.records.dose_plausibility import note_missing_sizes, note_unusual_doses
from bayestwin.records.drafts import Clock, Draft, note_mixed_times
from bayestwin.records.one_record import one_record, whole_record_of
from bayestwin.records.patients import TIME_ZERO, Person, read_patients
from bayestwin.records.reading import FileCount, RecordReading
from bayestwin.records.record import Cohort, PatientRecord
from bayestwin.records.record_notes import (
    note_cells_twice,
    note_lines_begun_again,
    note_lines_of_cells,
    note_never_said,
    note_products,
    note_starts_together,
)
from bayestwin.records.refusal import Findings
from bayestwin.records.row_statements import row_statements, values_for_doses
from bayestwin.records.tables import Table, distinct_names, read_table
from bayestwin.units import time_word


def read_records(
    schema: RecordSchema,
    *,
    patients=None,
    labs=None,
    doses=None,
    events=None,
    event_table=None,
    as_of=None,
    time_unit: str | None = None,
    snapshot: bool = False,
    base: Cohort | PatientRecord | None = None,
) -> RecordReading:
    """Read the tables of one cohort and check every row against the model's schema.

    Parameters
    ----------
    schema : RecordSchema            labs with unit and plausible range, compartments, treatments, covariates
    patients, labs, doses, events, event_table : path or DataFrame, or a list of them that is read as one table,
                                     whose order and names do not matter; any of them; see docs/files.md
    as_of : str, date or datetime    what lies after it is the future (dated rows only); default now, UTC
    time_unit : str                  unit of plain numbers of time in the files; default the model's
    snapshot : bool                  the files are the whole record of the patients they name: rows of `base` that
                                     are absent are withdrawn. Otherwise absence means nothing
    base : Cohort or PatientRecord   the record these files are put onto (upserts, corrections, withdrawals)

    Returns
    -------
    RecordReading                    cohort in file order, refusals, notes

    Raises
    ------
    RecordError                      a file as a whole cannot be used: missing, encoding, separator, columns

    Source: formats.md conventions, explained in docs/files.md.
    """
    refuse_other(schema, "read_records, schema", "a RecordSchema: model.record_schema()", "labs", "compartments")
    if base is not None:
        refuse_other(base, "read_records, base", "a Cohort, a PatientRecord or None", "data_hash")
    given = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    sources = [(name, one) for name, source in given.items() for one in each_file(source)]
    for name, one in sources:
        if not hasattr(one, "to_csv"):
            refuse_no_path(one, f"read_records, {name}", "a path, a DataFrame or a list of them")
    if not sources:
        raise RecordError(
            "no file was given",
            allowed="patients, labs, doses, events or an event table",
            next_step="Name at least one file.",
        )
    if time_word(time_unit or schema.time_unit) is None:
        raise RecordError(
            "this is not a unit of time",
            value=time_unit,
            allowed="h, day, week, month",
            next_step="Correct --time-unit.",
        )
    clock, findings, now = Clock(time_unit or schema.time_unit, schema.time_unit), Findings(), parse_as_of(as_of)
    called = distinct_names(sources)
    tables = [(name, _read(name, one, schema, findings, call)) for (name, one), call in zip(sources, called)]
    lists = [table for name, table in tables if name == "patients"]
    earlier = {p.key: p for p in ((base,) if isinstance(base, PatientRecord) else base or ())}
    people = read_patients(lists, schema, now, findings)
    keys = frozenset((*people, *earlier)) if lists else None
    statements, asked = _statements(tables, schema, clock, findings)
    drafts: dict[str, list[Draft]] = {key: [] for key in people}
    for draft in _all_rows(tables, statements, people, earlier, schema, clock, keys, findings):
        drafts.setdefault(draft.patient, []).append(draft)
    records, unchanged = dict(earlier), 0
    whole = whole_record_of({table.file: name for name, table in tables}, asked) if snapshot else {}
    for key, mine in drafts.items():
        person = people.get(key, Person())
        records[key], known = one_record(key, mine, person, earlier.get(key), whole, now, schema, findings)
        unchanged += known
    return _reading(records, [table for _, table in tables], findings, unchanged, schema)


def each_file(source) -> tuple:
    """The files of one table, as `read_records` takes them: none, one or a list."""
    if source is None:
        return ()
    return tuple(source) if isinstance(source, list | tuple) else (source,)


def refuse_unreadable(name: str, source, schema: RecordSchema) -> None:
    """RecordError where a file of this table cannot be used as a whole; its rows are not looked at."""
    _read(name, source, schema, Findings())


def _read(name: str, source, schema: RecordSchema, findings: Findings, called: str = "") -> Table:
    required, known = {
        "patients": (("patient",), (*TIME_ZERO, *schema.covariates)),
        "labs": (lab_rows.REQUIRED, lab_rows.COLUMNS),
        "doses": (dose_rows.REQUIRED, dose_rows.COLUMNS),
        "events": (event_rows.REQUIRED, event_rows.COLUMNS),
        "event_table": (event_table.REQUIRED, (*event_table.COLUMNS, *BY_CUSTOM, *schema.covariates)),
    }[name]
    doses = name in ("doses", "event_table")
    key = required[0]
    table = read_table(
        source, name, required=required, known=known, key=key, doses=doses, findings=findings, called=called
    )
    table.note_unused_units(_may_have_units(name, table, schema), findings)
    return table


def _may_have_units(name: str, table: Table, schema: RecordSchema) -> set[str]:
    """Lower-case names that the file of units of a table may hold: columns of covariates, of an event table DV, AMT
    and the outputs as well; rows of the other tables say their units themselves."""
    own = {column for column in table.columns if column.strip()}
    if name == "patients":
        return own - {"patient", *TIME_ZERO}
    if name == "event_table":
        outputs = {lab.lower() for lab in schema.labs}
        return own - set(event_table.COLUMNS) | {"dv", "amt"} | outputs
    return set()


def _numbered(tables: list[tuple[str, Table]]) -> list[tuple[str, Table, int]]:
    """The tables with 0, event tables last and numbered from 1 in an order that only their content decides."""
    others = [(name, table, 0) for name, table in tables if name != "event_table"]
    mine = event_table.by_content([table for name, table in tables if name == "event_table"])
    return [*others, *(("event_table", table, k) for k, table in enumerate(mine, 1))]


def _statements(tables, schema: RecordSchema, clock: Clock, findings: Findings) -> tuple[list[Draft], set[str]]:
    """What the rows of all event tables say of covariates, and for which of those that act they have a column."""
    found: list[Draft] = []
    skip = [name for name in event_table.COLUMNS if name != "occ" or not schema.occasions]
    columns = {
        table.file: covariate_columns(table, schema, skip, findings, by_custom=True)
        for name, table in tables
        if name == "event_table"
    }
    asked = {column.name for mine in columns.values() for column in mine if column.name in schema.effects}
    for _, table, number in _numbered(tables):
        if number:
            found += row_statements(table, number, columns[table.file], asked, schema, clock, findings)
    return found, asked


def _all_rows(
    tables, statements: list[Draft], people, earlier, schema: RecordSchema, clock: Clock, keys, findings: Findings
) -> list[Draft]:
    """Every row that could be read by itself, and what rows that could be read say of covariates.

    Amounts per kg need the covariates, and a refused row says none: where that changes them the rows are read again.
    """
    covariates = values_for_doses(statements, people, earlier, schema, set())
    for _ in range(2):
        these, found = deepcopy(findings), []
        for name, table, number in _numbered(tables):
            mine = _drafts(name, table, number, schema, clock, keys, covariates, these)
            note_mixed_times(table.file, mine, clock, these)
            found += mine
        before, covariates = covariates, values_for_doses(statements, people, earlier, schema, these.set_aside)
        if before == covariates:
            break
    vars(findings).update(vars(these))
    return [*found, *(one for one in statements if (one.file, one.row) not in findings.set_aside)]


def _drafts(
    name: str, table: Table, number: int, schema: RecordSchema, clock: Clock, keys, covariates, findings: Findings
) -> list[Draft]:
    if name == "labs":
        return lab_rows.lab_drafts(table, schema, clock, keys, findings)
    if name == "doses":
        return dose_rows.dose_drafts(table, schema, clock, keys, covariates, findings)
    if name == "events":
        return event_rows.event_drafts(table, schema, clock, keys, findings)
    if name == "event_table":
        return event_table.table_drafts(table, number, schema, clock, keys, covariates, findings)
    return []


def _reading(
    records: dict[str, PatientRecord], tables: list[Table], findings: Findings, unchanged: int, schema: RecordSchema
) -> RecordReading:
    """Put the parts together, refusals in order of file and row."""
    order = {table.file: k for k, table in enumerate(tables)}
    refusals = tuple(sorted(findings.refusals, key=lambda r: (order.get(r.file, 0), r.row)))
    lost = findings.keys.keys() - records.keys()
    if lost:
        findings.note(
            f"{len(lost)} patient{'s' * (len(lost) > 1)} had no row that could be used and no row in patients.csv."
        )
    note_products(records, findings)
    note_lines_begun_again(records, findings)
    note_lines_of_cells(records, schema, findings)
    note_cells_twice(records, schema.time_unit, findings)
    note_starts_together(records, schema, findings)
    note_never_said(records, schema, findings)
    note_unusual_doses(records, schema, findings)
    note_missing_sizes(records, schema, findings)
    counts = tuple(
        FileCount(t.file, t.read, len({r.row for r in refusals if r.file == t.file and r.row > 1})) for t in tables
    )
    return RecordReading(
        Cohort(tuple(records.values())),
        refusals,
        findings.all_notes(),
        counts,
        tuple(k for k in findings.holes if k in records),
        unchanged,
        schema.time_unit,
        dict(findings.older),
    )
