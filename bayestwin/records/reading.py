"""What came of reading a cohort's files: patients, refused rows, notes; and the cohort as it was believed before."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayestwin.errors import RecordError
from bayestwin.records.clocks import Moment, parse_as_of, parse_zero
from bayestwin.records.record import AT_FIRST, IN_ROW, Cohort
from bayestwin.records.refusal import Refusal, refusal_lines, shown_key


@dataclass(frozen=True)
class FileCount:
    """Rows of one file: read, refused (in whole or in a cell)."""

    file: str
    read: int
    refused: int


@dataclass(frozen=True)
class RecordReading:
    """What was read: patients, what was refused, what should be known.

    cohort : the records as known at as-of, corrections and withdrawals applied
    incomplete_doses : patients whose dose history has a hole, since a dose, reset or steady state was refused;
        a forecast for them rests on a wrong history
    unchanged : rows that the earlier record (`base`) already held
    older : patient -> in words, that a snapshot lacks what became known after every row of it
    """

    cohort: Cohort
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[FileCount, ...] = ()
    incomplete_doses: tuple[str, ...] = ()
    unchanged: int = 0
    time_unit: str = "day"
    older: Mapping[str, str] = field(default_factory=dict)

    def at(self, known_time: float | str) -> Cohort:
        """What was believed at a known_time: later rows left out, later corrections and withdrawals undone.

        known_time : time from each patient's own zero in the model's unit, or an ISO date for dated records
            (a bare date is the end of that day)
        """
        if isinstance(known_time, int | float):
            return Cohort(tuple(p.known_at(float(known_time)) for p in self.cohort), self.cohort.name)
        moment, patients = Moment(date=parse_as_of(known_time)), []
        for p in self.cohort:
            if not p.time_zero:
                raise RecordError(
                    "a date says nothing about a record in relative time",
                    subject=f"patient {shown_key(p.key)}",
                    value=str(known_time),
                    allowed="a number, or a patient with time_zero",
                    next_step="Add time_zero to patients.csv.",
                )
            patients.append(p.known_at(moment.after(parse_zero(p.time_zero).date, self.time_unit)))
        return Cohort(tuple(patients), self.cohort.name)

    def summary(self) -> str:
        """Counts, refusals and notes as `bayestwin check` prints them."""
        patients = tuple(self.cohort)
        labs, doses, events = (
            sum(len(rows) for rows in kind)
            for kind in ([p.labs for p in patients], [p.doses for p in patients], [_happened(p) for p in patients])
        )
        corrected = sum(len(p.past) for p in patients)
        lines = [
            f"{len(patients)} patient{'s' * (len(patients) != 1)}: {labs} labs, {doses} doses, {events} events"
            + (f"; {corrected} corrected or withdrawn" if corrected else "")
            + (f"; {self.unchanged} rows known before" if self.unchanged else "")
            + "."
        ]
        lines += [f"{c.file}: {c.read} rows read, {c.read - c.refused} used, {c.refused} refused." for c in self.files]
        if self.incomplete_doses:
            lines.append(
                "Incomplete dose history (a dose row was refused): "
                + ", ".join(shown_key(k) for k in self.incomplete_doses)
                + "."
            )
        for title, items in (("Refused:", refusal_lines(self.refusals)), ("Notes:", self.notes)):
            lines += [title, *(f"  {item}" for item in items)] if items else []
        return "\n".join(lines)


def _happened(patient) -> list:
    """Events without what rows of event tables say of covariates."""
    return [e for e in patient.events if e.event not in (IN_ROW, AT_FIRST)]
