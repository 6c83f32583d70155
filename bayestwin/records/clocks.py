"""When it happened and when it became known: cells become times from the patient's own time zero.

A cell holds a number (in the file's time unit) or an ISO date. Dates need a time zero: `time_zero` of
patients.csv, else the patient's earliest dated row. A date without an hour means its first moment; as
`known_time` it means the same day as the specimen, never before it. Dates without a zone are read as UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from bayestwin.errors import RecordError
from bayestwin.records.cells import parse_number
from bayestwin.records.refusal import RowRefused
from bayestwin.units import SECONDS, convert, time_word

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_LOOKS_DATED = re.compile(r"\d{1,4}[-./]\d{1,2}([-./]\d{1,4})?([T ].*)?|(19|20)\d{6}", re.ASCII)
_ALLOWED = "a number, or an ISO date such as 2026-03-09 or 2026-03-09T08:30"
LONGEST_YEARS = 100


@dataclass(frozen=True)
class Moment:
    """A cell of time: a number in the model's time unit, or a date (UTC). day : as written, in the zone of the cell"""

    number: float | None = None
    date: datetime | None = None
    whole_day: bool = False
    zoned: bool = False
    day: str = ""

    def covers(self, other: "Moment") -> bool:
        """True for a whole day on which, or before which, another moment lies, in UTC or by the days as written."""
        if not self.whole_day or self.date is None or other.date is None:
            return False
        return self.date.date() >= other.date.date() or self.day >= other.day

    def before(self, other: "Moment") -> bool:
        """True if both are numbers or both dates, and this one is earlier."""
        if self.number is not None and other.number is not None:
            return self.number < other.number
        return self.date is not None and other.date is not None and self.date < other.date

    def after(self, zero: datetime | None, time_unit: str) -> float:
        """Time from time zero in the model's unit."""
        if self.number is not None:
            return self.number
        if self.date is None or zero is None:
            raise ValueError("a date counts from a time zero")  # the readers refuse such rows before they come here
        return (self.date - zero).total_seconds() / SECONDS[time_word(time_unit) or time_unit]


def parse_moment(text: str, column: str, file_unit: str, time_unit: str) -> Moment:
    """A cell of time; raises RowRefused where it is neither a number nor an ISO date."""
    if not text:
        raise RowRefused(f"{column} is missing", column=column, allowed=_ALLOWED, next_step=f"Fill in {column}.")
    if _ISO.fullmatch(text):
        return _dated(text, column)
    if _LOOKS_DATED.fullmatch(text) and not re.fullmatch(r"\d+\.\d*", text):
        raise RowRefused(
            "this date is not written as an ISO date",
            column=column,
            value=text,
            allowed=_ALLOWED,
            next_step="Write year-month-day with two-digit month and day, as in 2026-03-09.",
        )
    value = convert(parse_number(text, column), file_unit, time_unit)
    if abs(value) > convert(LONGEST_YEARS, "year", time_unit):
        raise RowRefused(
            "this time is implausible",
            column=column,
            value=text,
            allowed=f"at most {LONGEST_YEARS} years from time zero",
            next_step="Check the unit of time.",
        )
    return Moment(number=value)


def parse_as_of(as_of) -> datetime:
    """The moment that divides past from future; None is now, a bare date is the end of that day (UTC)."""
    if as_of is None:
        return datetime.now(UTC)
    if isinstance(as_of, datetime):
        return as_of.astimezone(UTC) if as_of.tzinfo else as_of.replace(tzinfo=UTC)
    text = as_of.isoformat() if isinstance(as_of, date) else str(as_of).strip()
    try:
        if not _ISO.fullmatch(text):
            raise ValueError
        moment = _dated(text, "as_of")
        found = moment.date or datetime.now(UTC)
    except (ValueError, RowRefused) as problem:
        raise RecordError(
            "this is not a date",
            value=as_of,
            allowed="an ISO date such as 2026-03-09, or a moment such as 2026-03-09T08:30+01:00",
            next_step="For a record in relative time no date divides past from future.",
        ) from problem
    return found + timedelta(days=1, microseconds=-1) if moment.whole_day else found


def parse_zero(text: str, column: str = "time_zero") -> Moment:
    """A time zero: an ISO date; raises RowRefused otherwise."""
    if not _ISO.fullmatch(text):
        raise RowRefused(
            "time zero is not an ISO date",
            column=column,
            value=text,
            allowed="a date such as 2026-03-09",
            next_step="Write year-month-day; leave the cell empty where all times are numbers.",
        )
    return _dated(text, column)


def zero_text(zero: datetime) -> str:
    """A time zero as PatientRecord keeps it: a bare date at midnight UTC."""
    return zero.date().isoformat() if zero.time().isoformat() == "00:00:00" else zero.isoformat()


def _dated(text: str, column: str) -> Moment:
    try:
        found = datetime.fromisoformat(text)
        zoned = found.tzinfo is not None
        found = found.astimezone(UTC) if zoned else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as problem:
        raise RowRefused(
            "there is no such date", column=column, value=text, allowed=_ALLOWED, next_step="Correct the date."
        ) from problem
    if not 1900 <= found.year <= 2200:
        raise RowRefused(
            "this date is implausible",
            column=column,
            value=text,
            allowed="years 1900 to 2200",
            next_step="Correct the year.",
        )
    return Moment(date=found, whole_day=len(text) == 10, zoned=zoned, day=text[:10])
