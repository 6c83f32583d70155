"""The NONMEM-style event table: doses, observations and covariates in one file, one row per event.

File order matters here: an observation written after a dose of the same time sees it, one written before does
not. EVID 0 is an observation, 1 a dose, 2 something else, 3 a reset, 4 a reset and a dose; 101 in old files is
a dose (event_kinds.py, event_doses.py). Censoring follows Monolix (CENS, LIMIT) or NONMEM's M3 convention (BLQ, LLOQ).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayestwin.dosing import DoseEvent
from bayestwin.labs import RecordSchema
from bayestwin.records.cells import one_of
from bayestwin.records.clocks import Moment, parse_moment
from bayestwin.records.dose_rows import compartment
from bayestwin.records.drafts import Clock, Draft, collect, patient_of
from bayestwin.records.event_doses import dose_of
from bayestwin.records.event_kinds import OBSERVATION, OTHER, kind_of, may_be_a_dose
from bayestwin.records.plausibility import measured
from bayestwin.records.record import Lab
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.table_censoring import censored, filled
from bayestwin.records.tables import Row, Table
from bayestwin.units import NUMBER

REQUIRED = ("id", "time")
COLUMNS = (
    *REQUIRED,
    "dv",
    "amt",
    "evid",
    "cmt",
    "rate",
    "addl",
    "ii",
    "ss",
    "mdv",
    "cens",
    "lloq",
    "blq",
    "limit",
    "dvid",
    "occ",
    "lagt",
    "bioav",
    "rat2",
    "dur2",
    "mode",
)


def by_content(tables: list[Table]) -> list[Table]:
    """Event tables in an order that neither their names nor the order in which they were given decide."""
    if len(tables) < 2:
        return tables
    return sorted(tables, key=lambda table: [sorted(row.cells.items()) for row in table.rows])


def table_drafts(
    table: Table, number: int, schema: RecordSchema, clock: Clock, keys, covariates, findings: Findings
) -> list[Draft]:
    """Doses and observations of every readable row; the others are refused in `findings`.

    number : from 1, among the event tables of this reading
    """
    if "dv" not in table.columns and "amt" not in table.columns:
        findings.note(f"{table.file}: neither DV nor AMT, so it holds no observation and no dose.")
    if "evid" not in table.columns:
        findings.note(f"{table.file}: no EVID; rows with AMT are read as doses, the others as observations.")
    if "occ" in table.columns and not schema.occasions:
        findings.note(f"{table.file}: occasions (OCC) are not used: the model tells none apart.")
    taken = [f"DV in {table.units.get('dv') or spec.unit or 'no unit'} ({spec.name})" for spec in schema.labs.values()]
    findings.note(
        f"{table.file}: an event table carries no units; read as time in {clock.file_unit}, {', '.join(taken)}, "
        f"AMT in {table.units.get('amt') or schema.dose_unit or 'no unit'}."
    )
    reader = _Reader(schema, clock, keys, covariates, table.units, findings, number)
    return collect(table, findings, reader.read, key="id", leaves_hole=may_be_a_dose)


@dataclass
class _Reader:
    """Reads row after row; `last` is the time of the last row of each patient that could be used."""

    schema: RecordSchema
    clock: Clock
    keys: frozenset[str] | None
    covariates: Mapping[str, Mapping]
    units: dict[str, str]
    findings: Findings
    number: int
    last: dict[str, Moment] = field(default_factory=dict)

    def read(self, row: Row) -> Draft | None:
        patient = patient_of(row, self.keys, "id")
        evid = kind_of(row, self.findings)
        moment = parse_moment(row["time"], "time", self.clock.file_unit, self.clock.time_unit)
        self._in_order(patient, moment, row)
        body: Lab | DoseEvent | None = None
        if evid == OTHER:
            self.findings.tally(f"{row.file}: EVID 2, neither dose nor observation, not used")
        elif evid == OBSERVATION:
            body = self._observation(row)
        else:
            mine = self.covariates.get(patient, {})
            body = dose_of(row, evid, self.schema, self.clock, mine, self.units, self.findings)
        self.last[patient] = moment
        if body is None:
            return None
        cells, place = row.cells, row.number
        return Draft(patient, row.file, place, body, moment, None, sequence=place, cells=cells, table=self.number)

    def _in_order(self, patient: str, moment: Moment, row: Row) -> None:
        """Refuse a row that goes back in time: file order is what decides here."""
        before = self.last.get(patient)
        if before is not None and moment.before(before):
            raise RowRefused(
                "time goes back within a patient",
                column="time",
                value=row["time"],
                allowed="rows of a patient in order of time",
                next_step="Sort the table by ID and TIME.",
            )

    def _observation(self, row: Row) -> Lab | None:
        if filled(row, "mdv"):
            self.findings.tally(f"{row.file}: observations with MDV = 1 carry no value, not used")
            return None
        if row["cmt"] not in ("", ".", "0") and self.schema.compartments:
            compartment(row["cmt"], "cmt", self.schema)  # the output decides, but a wrong number is a wrong row
        spec = self.schema.labs[self._output(row)]
        cell = censored(row)
        unit = self.units.get(spec.name.lower()) or self.units.get("dv") or spec.unit
        found = measured(
            spec, cell.raw, unit, censoring=cell.censoring, lloq=cell.lloq, upper=cell.upper, column=cell.column,
            unit_column=cell.column, upper_column=cell.upper_column, may_be_open=cell.upper_column == "limit",
        )  # fmt: skip
        if (
            not filled(row, "blq")
            and filled(row, "cens") == 1
            and 0 < filled(row, "dv") < filled(row, "lloq") * (1 - 1e-9)
        ):
            self.findings.tally(f"{row.file}: censored values whose DV is a limit below LLOQ, used as below LLOQ")
        if cell.upper is None and found["censoring"] != cell.censoring:
            self.findings.tally(f"{row.file}: values below their LLOQ, used as left-censored at the LLOQ")
        return Lab(lab_id="", output=spec.name, time=0.0, known_time=0.0, **found)

    def _output(self, row: Row) -> str:
        """DVID by name or number; not needed where the model has one output."""
        names, text = tuple(self.schema.labs), row["dvid"]
        if text in ("", ".") and len(names) == 1:
            return names[0]
        if NUMBER.fullmatch(text) and float(text) in range(1, len(names) + 1):
            return names[int(float(text)) - 1]
        lower = {name.lower(): name for name in names}
        return lower.get(text.lower()) or one_of(
            text, "dvid", names, "the output", next_step="Say the output's name in DVID."
        )
