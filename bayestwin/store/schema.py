"""The tables of a store. The migrations make them; here is what the program reads and writes.

    meta           one row: settings, the population now in use
    subjects       one row per patient: what its record now is, its newest outcomes, who is working on it
    record_items   append-only: every row of the record as it came (+1) or went (-1), with three clocks:
                   when it happened, when it became known, when it was stored
    objects        one row per immutable file: twins, populations, prognoses, reports, named by their content
    outcomes       append-only: what each update came to (published, held, failed), with the objects it made
    audit          append-only: who did what to whom, as a hash chain
    doomed_files   files of an erased patient that are still to be removed
    intended_files files that are being written for a patient, and are no objects yet
    refused        append-only: every row of a file that was not used, once, with its place and the reason

The store knows no medicine: a record item is a kind, two times and a JSON body; what they mean is known upstairs.
"""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator


class DamagedCell(ValueError):
    """A cell of the database that holds something else than its column is made for."""


class UtcTime(TypeDecorator):
    """A moment in UTC, whatever the database makes of time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        """Only moments with a zone go in."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def result_processor(self, dialect, coltype):
        """As the database's own, and a cell that is no moment is told from other faults."""
        read = super().result_processor(dialect, coltype)

        def moment(value):
            try:
                return value if read is None else read(value)
            except (TypeError, ValueError) as error:
                raise DamagedCell("a cell is no moment") from error

        return moment

    def process_result_value(self, value, dialect):
        """Moments come out in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """This moment, UTC: the store's own clock."""
    return datetime.now(UTC)


Number = BigInteger().with_variant(Integer, "sqlite")
HASH, KEY = String(64), Text

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("salt", HASH, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("settings", Text, nullable=False),
    Column("basis", HASH),
)
subjects = Table(
    "subjects",
    metadata,
    Column("subject", KEY, primary_key=True),
    Column("state_hash", HASH, nullable=False),
    Column("latest", Number),
    Column("published", Number),
    Column("tried_at", UtcTime),
    Column("holder", String(100)),
    Column("held_until", UtcTime),
)
record_items = Table(
    "record_items",
    metadata,
    Column("id", Number, primary_key=True),
    Column("subject", KEY, nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    Column("sign", Integer, nullable=False),
    Column("happened", Float),
    Column("known", Float),
    Column("body", Text, nullable=False),
    Column("stored_at", UtcTime, nullable=False),
)
objects = Table(
    "objects",
    metadata,
    Column("id", HASH, primary_key=True),
    Column("subject", KEY, index=True),
    Column("kind", String(20), nullable=False),
    Column("suffix", String(10), nullable=False),
    Column("size", Number, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("stored_at", UtcTime, nullable=False),
)
outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Number, primary_key=True),
    Column("subject", KEY, nullable=False, index=True),
    Column("state_hash", HASH, nullable=False),
    Column("basis", HASH, nullable=False),
    Column("status", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("objects", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("action", String(40), nullable=False),
    Column("mark", String(16), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", HASH, nullable=False),
    Column("hash", HASH, nullable=False),
)
doomed_files = Table("doomed_files", metadata, Column("name", String(200), primary_key=True))
intended_files = Table(
    "intended_files",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("subject", KEY, nullable=False, index=True),
)
refused = Table(
    "refused",
    metadata,
    Column("id", HASH, primary_key=True),
    Column("subject", KEY, nullable=False, index=True),
    Column("body", Text, nullable=False),
    Column("stored_at", UtcTime, nullable=False),
)
