"""The NONMEM-style event table: doses, observations and covariates in one file, one row per event.

File order matters here: an observation written after a dose of the same time sees it, one written before does
not. EVID 0 is an observation, 1 a dose, 2 something else, 3 a reset, 4 a reset and a dose; 101 in old files is
a dose. Censoring follows Monolix (CENS, LIMIT) or NONMEM's M3 convention (BLQ, LLOQ). Resets, steady state,
lag and bioavailability belong to the format but not yet to the dose engine: such rows are refused, and so are
the rows of a patient after a reset, since they mean nothing without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayestwin.dosing import DoseEvent
from bayestwin.labs import RecordSchema
from bayestwin.records.cells import needed_number, one_of, parse_number, whole
from bayestwin.records.clocks import Moment, parse_moment
from bayestwin.records.covariates import MISSING, Column
from bayestwin.records.dose_rows import amount_in, compartment, not_too_long, refuse_steady_state, repeats
from bayestwin.records.drafts import Clock, Draft, collect, patient_of
from bayestwin.records.plausibility import measured
from bayestwin.records.record import Lab
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.table_censoring import censored, filled
from bayestwin.records.tables import Row, Table
from bayestwin.units import NUMBER, convert

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
OBSERVATION, DOSE, OTHER, RESET, RESET_AND_DOSE, OLD_DOSE = 0, 1, 2, 3, 4, 101


def table_covariates(table: Table, columns: list[Column], findings: Findings) -> dict[str, dict[str, float | str]]:
    """Covariates by patient: the first value that is not missing; a later change is noted, not used."""
    found: dict[str, dict[str, float | str]] = {}
    refused: set[tuple[str, str, str]] = set()
    for row in table.rows:
        mine = found.setdefault(row["id"], {})
        for column in columns:
            text = row[column.column]
            if not text or text.lower() in MISSING:
                continue
            if (row["id"], column.column, text) in refused:
                continue
            try:
                value = column.read(text)
            except RowRefused as problem:
                findings.refuse(row["id"], table.file, row.number, problem, row.cells)
                refused.add((row["id"], column.column, text))  # said once, not on every row of the patient
                continue
            if column.name not in mine:
                column.note_reference(value, table.file, findings)
            if mine.setdefault(column.name, value) != value:
                findings.tally(
                    f"{table.file}: covariate {column.name} changes in time; the patient's first value is used"
                )
    return found


def table_drafts(table: Table, schema: RecordSchema, clock: Clock, keys, covariates, findings: Findings) -> list[Draft]:
    """Doses and observations of every readable row; the others are refused in `findings`."""
    if "dv" not in table.columns and "amt" not in table.columns:
        findings.note(f"{table.file}: neither DV nor AMT, so it holds no observation and no dose.")
    if "evid" not in table.columns:
        findings.note(f"{table.file}: no EVID; rows with AMT are read as doses, the others as observations.")
    if "occ" in table.columns:
        findings.note(f"{table.file}: occasions (OCC) are not used.")
    taken = [f"DV in {table.units.get('dv') or spec.unit or 'no unit'} ({spec.name})" for spec in schema.labs.values()]
    findings.note(
        f"{table.file}: an event table carries no units; read as time in {clock.file_unit}, {', '.join(taken)}, "
        f"AMT in {table.units.get('amt') or schema.dose_unit or 'no unit'}."
    )
    reader = _Reader(schema, clock, keys, covariates, table.units, findings)
    return collect(table, findings, reader.read, key="id", leaves_hole=_may_be_a_dose)


def _evid(row: Row) -> int | None:
    """The kind of row; from AMT where EVID is empty, None where it cannot be read."""
    try:
        if row["evid"] not in ("", "."):
            return whole(row, "evid")
        return DOSE if filled(row, "amt") else OBSERVATION
    except RowRefused:
        return None


def _may_be_a_dose(row: Row) -> bool:
    return _evid(row) not in (OBSERVATION, OTHER) or row["amt"].strip("0.") != ""


def _agrees(row: Row, evid: int) -> None:
    """Refuse a row whose EVID, AMT and MDV contradict each other: which one is right is not guessed."""
    if evid in (OBSERVATION, OTHER) and filled(row, "amt"):
        raise RowRefused(
            f"EVID {evid} says that nothing was given, and AMT says how much",
            column="amt",
            value=row["amt"],
            allowed=f"0 or empty where EVID is {evid}",
            next_step="Write EVID 1 if the dose was given, else AMT 0.",
        )
    if filled(row, "mdv") not in (0.0, 1.0):
        raise RowRefused(
            "this MDV is not known",
            column="mdv",
            value=row["mdv"],
            allowed="0 or 1",
            next_step="Write 1 where DV is to be ignored, else 0.",
        )


@dataclass
class _Reader:
    """Reads row after row and remembers what file order decides, per patient."""

    schema: RecordSchema
    clock: Clock
    keys: frozenset[str] | None
    covariates: Mapping[str, Mapping]
    units: dict[str, str]
    findings: Findings
    reset: dict[str, int] = field(default_factory=dict)
    last: dict[str, Moment] = field(default_factory=dict)
    seen: dict[tuple, list] = field(default_factory=dict)
    given: dict[tuple, int] = field(default_factory=dict)

    def read(self, row: Row) -> Draft | None:
        patient = patient_of(row, self.keys, "id")
        if patient in self.reset:
            raise RowRefused(
                f"the row follows the reset in row {self.reset[patient]}, which could not be used",
                column="evid",
                value=row["evid"],
                allowed="rows before a reset",
                next_step="Give what follows the reset as a patient of its own.",
            )
        evid = whole(row, "evid") if row["evid"] not in ("", ".") else _evid(row)
        if evid in (RESET, RESET_AND_DOSE):
            self.reset[patient] = row.number
            raise RowRefused(
                "resets (EVID 3 and 4) are not supported by the dose engine yet",
                column="evid",
                value=row["evid"],
                allowed="0, 1 or 2",
                next_step="Give what follows the reset as a patient of its own.",
            )
        if evid not in (OBSERVATION, DOSE, OTHER, OLD_DOSE):
            raise RowRefused(
                "this kind of row is not known",
                column="evid",
                value=row["evid"],
                allowed="0, 1, 2, 3, 4 or 101",
                next_step="Correct EVID.",
            )
        _agrees(row, evid)
        moment = parse_moment(row["time"], "time", self.clock.file_unit, self.clock.time_unit)
        self._in_order(patient, moment, row)
        if evid == OTHER:
            self.findings.tally(f"{row.file}: EVID 2, neither dose nor observation, not used")
            return None
        if evid == OBSERVATION:
            return self._observation(patient, moment, row)
        if evid == OLD_DOSE:
            self.findings.tally(f"{row.file}: EVID 101, as old files write it, is read as a dose (EVID 1)")
        return self._dose(patient, moment, row)

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
        self.last[patient] = moment

    def _dose(self, patient: str, moment: Moment, row: Row) -> Draft:
        refuse_steady_state(row)
        for column, neutral, what in (("lagt", 0.0, "lag times"), ("bioav", 1.0, "bioavailabilities")):
            if row[column] not in ("", ".") and parse_number(row[column], column) != neutral:
                raise RowRefused(
                    f"{what} per row are not supported by the dose engine yet",
                    column=column,
                    value=row[column],
                    allowed=f"{neutral:g} or empty",
                    next_step="Give them as parameters of the model.",
                )
        raw = needed_number(row, "amt")
        amount = amount_in(
            self.schema,
            raw,
            self.units.get("amt") or self.schema.dose_unit,
            self.covariates.get(patient, {}),
            column="amt",
        )
        addl, ii = repeats(row, self.clock)
        duration = self._duration(row, raw)
        target = self._compartment(row)
        body = DoseEvent(time=0.0, amount=amount, target=target, duration=duration, addl=addl, ii=ii)
        self.given[patient, moment] = self.given.get((patient, moment), 0) + 1
        copy = self._copy((patient, moment, "dose", target), (amount, duration, addl, ii))
        return Draft(patient, row.file, row.number, body, moment, None, copy=copy, sequence=row.number, cells=row.cells)

    def _compartment(self, row: Row) -> str:
        """CMT by number or name; the first compartment where it is not said, as in NONMEM."""
        if row["cmt"] in ("", ".", "0") and self.schema.compartments:
            self.findings.tally(
                f"{row.file}: doses without CMT go into the first compartment, {self.schema.compartments[0]}"
            )
            return self.schema.compartments[0]
        return compartment(row["cmt"], "cmt", self.schema)

    def _duration(self, row: Row, raw: float) -> float:
        """Infusion time from RATE, or from RAT2 or DUR2 where RATE is -1 or -2."""
        rate = filled(row, "rate")
        if rate == 0:
            return 0.0
        if rate not in (-1, -2) and rate < 0:
            raise RowRefused(
                "this rate is not known",
                column="rate",
                value=row["rate"],
                allowed="0, more than 0, -1 or -2",
                next_step="Correct RATE.",
            )
        column = {-1: "rat2", -2: "dur2"}.get(int(rate), "rate") if rate < 0 else "rate"
        given = filled(row, column)
        if given <= 0:
            raise RowRefused(
                f"RATE {rate:g} needs {column.upper()}",
                column=column,
                value=row[column],
                allowed="more than 0",
                next_step=f"Add {column.upper()}, or give the rate of the infusion in RATE.",
            )
        length = convert(given if column == "dur2" else raw / given, self.clock.file_unit, self.clock.time_unit)
        return not_too_long(length, column, row[column], self.clock)

    def _observation(self, patient: str, moment: Moment, row: Row) -> Draft | None:
        if filled(row, "mdv"):
            self.findings.tally(f"{row.file}: observations with MDV = 1 carry no value, not used")
            return None
        if row["cmt"] not in ("", ".", "0") and self.schema.compartments:
            compartment(row["cmt"], "cmt", self.schema)  # the output decides, but a wrong number is a wrong row
        spec = self.schema.labs[self._output(row)]
        raw, censoring, lloq = censored(row, spec)
        unit = self.units.get(spec.name.lower()) or self.units.get("dv") or spec.unit
        column = "lloq" if filled(row, "blq") or row["dv"] in ("", ".") else "dv"
        found = measured(spec, raw, unit, censoring=censoring, lloq=lloq, column=column, unit_column=column)
        if found["censoring"] != censoring:
            self.findings.tally(f"{row.file}: values below their LLOQ, used as left-censored at the LLOQ")
        body = Lab(lab_id="", output=spec.name, time=0.0, known_time=0.0, **found)
        payload = (found["value"], found["censoring"], self.given.get((patient, moment), 0))
        copy = self._copy((patient, moment, "lab", spec.name), payload)
        return Draft(patient, row.file, row.number, body, moment, None, copy=copy, sequence=row.number, cells=row.cells)

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

    def _copy(self, key: tuple, payload: tuple) -> int:
        """1 for the first row of its kind and time, 2, 3... for others; an equal row gets the number of its twin."""
        before = self.seen.setdefault(key, [])
        if payload not in before:
            before.append(payload)
        return before.index(payload) + 1
