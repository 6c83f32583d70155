"""An event table without measurements: doses, and rows at which a simulation is to say what it finds.

The columns are those of the event table (docs/files.md), DV apart. File order decides everything that happens at
one time: a row sees what stands above it, and what doses above it send to that time. An ID with a row that cannot
be used is set aside as a whole, since a course without one of its doses is the course of somebody else.
"""

from dataclasses import dataclass, field, replace

from bayestwin.dosing import DoseEvent
from bayestwin.errors import RecordError
from bayestwin.labs import OCCASION, RecordSchema
from bayestwin.records.cells import parse_number
from bayestwin.records.covariates import MISSING, Column, column_of, covariate_columns
from bayestwin.records.dose_rows import compartment
from bayestwin.records.drafts import Clock
from bayestwin.records.event_doses import dose_of, dosed_compartment, overlapping_resets
from bayestwin.records.event_kinds import GIVES, OBSERVATION, kind_of
from bayestwin.records.event_table import COLUMNS, REQUIRED
from bayestwin.records.refusal import Findings, Refusal, RowRefused, shown_key
from bayestwin.records.tables import Row, Table, read_table
from bayestwin.units import convert


@dataclass(frozen=True)
class Asked:
    """One observation row: its row in the file, ID and TIME as written, model time, place among rows of that time."""

    row: int
    id: str
    written: str
    time: float


@dataclass(frozen=True)
class Schedule:
    """Doses of every ID, in the model's units, and the observation rows in file order.

    doses : ID -> doses; `order` is the row in the file; asked : rows of the IDs in `doses`
    occasions : ID -> (time, OCC) of every row that says one, where the model tells occasions apart
    refusals : rows that could not be used; set_aside : their IDs
    """

    doses: dict[str, tuple[DoseEvent, ...]]
    asked: tuple[Asked, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]
    set_aside: tuple[str, ...]
    occasions: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


def read_schedule(
    source, schema: RecordSchema, *, time_unit: str | None = None, lag_and_bioavailability_of=()
) -> Schedule:
    """Read an event table for a simulation.

    Parameters
    ----------
    source : path or DataFrame
    schema : RecordSchema      compartments, dose unit, time unit of the model
    time_unit : str            unit of TIME, II, LAGT, DUR2 in the file; default the model's
    lag_and_bioavailability_of : compartments whose doses LAGT and BIOAV speak of, as a NONMEM control stream says
        with ALAG2 = LAGT, F2 = BIOAV; default all

    Raises
    ------
    RecordError                the file as a whole cannot be used
    """
    findings = Findings()
    table = read_table(source, "events", required=REQUIRED, known=COLUMNS, key="id", doses=True, findings=findings)
    if "evid" not in table.columns:
        findings.note(f"{table.file}: no EVID; rows with AMT are read as doses, the others as observations.")
    acting = [
        c for c in covariate_columns(table, schema, COLUMNS, Findings(), by_custom=True) if c.name in schema.effects
    ]
    table.note_ignored({*COLUMNS, *(c.column for c in acting)}, findings)
    for column in acting:
        _check_covariate(table, column, findings)
    if "occ" in table.columns and not schema.occasions:
        findings.note(f"{table.file}: occasions (OCC) are not used: the model tells none apart.")
    reader = _ScheduleReader(schema, Clock(time_unit or schema.time_unit, schema.time_unit), table, findings)
    for row in table.rows:
        reader.read(row)
    if lag_and_bioavailability_of:
        spoken_of = {compartment(name, "cmt", schema) for name in lag_and_bioavailability_of}
        reader.doses = {key: [_neutral(d, spoken_of) for d in doses] for key, doses in reader.doses.items()}
    lost = dict.fromkeys(findings.keys)
    return Schedule(
        {key: tuple(doses) for key, doses in reader.doses.items() if key not in lost},
        tuple(one for one in reader.asked if one.id not in lost),
        tuple(sorted(findings.refusals, key=lambda r: r.row)),
        findings.all_notes(),
        tuple(lost),
        {key: tuple(said.items()) for key, said in reader.occasions.items() if key not in lost},
    )


def _check_covariate(table: Table, column: Column, findings: Findings) -> None:
    """Refuse an ID whose first row does not say a covariate that acts on a parameter; say where one changes."""
    said: dict[str, str] = {}
    changes: dict[str, None] = {}
    for row in table.rows:
        text, first = row[column.column], row["id"] not in said
        missing = text.lower() in ("", *MISSING)
        if first and missing:
            problem = RowRefused(
                f"the covariate {column.name} is missing at the ID's first record",
                column=column.column,
                allowed="a value in the first row of every ID; later cells may be empty",
                next_step="Fill in the cell, or leave the column out: the parameters are the ID's own.",
            )
            findings.refuse(row["id"], row.file, row.number, problem, row.cells)
        elif not first and not missing and said[row["id"]] not in ("", text):
            changes[row["id"]] = None
        said.setdefault(row["id"], "" if missing else text)
    if changes:
        ids = ", ".join(map(shown_key, changes))
        findings.note(
            f"{table.file}: {column.name} changes within ID {ids}; a simulation keeps the parameters it is given."
        )


def _neutral(dose: DoseEvent, spoken_of: set[str]) -> DoseEvent:
    """The dose as given, without the lag and bioavailability of other compartments."""
    return dose if dose.target in spoken_of else replace(dose, lag=0.0, bioavailability=1.0)


class _ScheduleReader:
    """Row after row; remembers the time each ID has reached."""

    def __init__(self, schema: RecordSchema, clock: Clock, table: Table, findings: Findings):
        self.schema, self.clock, self.units, self.findings = schema, clock, table.units, findings
        self.doses: dict[str, list[DoseEvent]] = {}
        self.asked: list[Asked] = []
        self.reached: dict[str, float] = {}
        self.occasions: dict[str, dict[float, float]] = {}

    def read(self, row: Row) -> None:
        """One row; what cannot be used is refused in `findings`."""
        try:
            self._read(row)
        except RowRefused as problem:
            self.findings.refuse(row["id"], row.file, row.number, problem, row.cells)
        except RecordError as problem:
            said = RowRefused(problem.problem, allowed=problem.allowed, next_step=problem.next_step)
            self.findings.refuse(row["id"], row.file, row.number, said, row.cells)

    def _read(self, row: Row) -> None:
        if not row["id"]:
            raise RowRefused("the row has no ID", column="id", allowed="an ID", next_step="Fill in the ID.")
        time = convert(parse_number(row["time"], "time"), self.clock.file_unit, self.clock.time_unit)
        if time < self.reached.get(row["id"], float("-inf")):
            raise RowRefused(
                "time goes back within an ID",
                column="time",
                value=row["time"],
                allowed="rows of an ID in order of time, after a reset too",
                next_step="Sort the table by ID and TIME; give what starts again at 0 as an ID of its own.",
            )
        self.reached[row["id"]] = time
        if self.schema.occasions and row["occ"] not in ("", "."):  # of several rows of one time the last one counts
            number = column_of("occ", OCCASION, self.schema).read(row["occ"])
            self.occasions.setdefault(row["id"], {})[time] = float(number)
        kind, doses = kind_of(row, self.findings), self.doses.setdefault(row["id"], [])
        if kind in GIVES:
            dose = dose_of(row, kind, self.schema, self.clock, {}, self.units, self.findings)
            if dose.reset and any(other.reset and other.time == time for other in doses):
                raise overlapping_resets(row)
            doses.append(replace(dose, time=time, known_time=time, order=row.number))
        elif kind == OBSERVATION:
            if row["cmt"] not in ("", ".", "0"):
                dosed_compartment(row, self.schema, self.findings)  # a compartment that does not exist is a wrong row
            self.asked.append(Asked(row.number, row["id"], row["time"], time))
