"""The first schema; and the triggers that keep the record, the outcomes and the audit log append-only."""

import sqlalchemy as sa
from alembic import op

from bayestwin.store.schema import UtcTime

revision = "0001"
down_revision = None

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
HASH, KEY = sa.String(64), sa.Text

# Table -> what nobody may do to its rows. A patient's erasure deletes rows; nothing ever deletes an audit line.
APPEND_ONLY = {
    "record_items": ("UPDATE",),
    "objects": ("UPDATE",),
    "outcomes": ("UPDATE",),
    "audit": ("UPDATE", "DELETE"),
}


def upgrade():
    """Make everything."""
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("salt", HASH, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("basis", HASH),
    )
    op.create_table(
        "subjects",
        sa.Column("subject", KEY, primary_key=True),
        sa.Column("state_hash", HASH, nullable=False),
        sa.Column("latest", Number),
        sa.Column("published", Number),
        sa.Column("tried_at", UtcTime),
        sa.Column("holder", sa.String(100)),
        sa.Column("held_until", UtcTime),
    )
    op.create_table(
        "record_items",
        sa.Column("id", Number, primary_key=True),
        sa.Column("subject", KEY, nullable=False, index=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("sign", sa.Integer, nullable=False),
        sa.Column("happened", sa.Float),
        sa.Column("known", sa.Float),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("stored_at", UtcTime, nullable=False),
    )
    op.create_table(
        "objects",
        sa.Column("id", HASH, primary_key=True),
        sa.Column("subject", KEY, index=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("suffix", sa.String(10), nullable=False),
        sa.Column("size", Number, nullable=False),
        sa.Column("provenance", sa.Text, nullable=False),
        sa.Column("stored_at", UtcTime, nullable=False),
    )
    op.create_table(
        "outcomes",
        sa.Column("id", Number, primary_key=True),
        sa.Column("subject", KEY, nullable=False, index=True),
        sa.Column("state_hash", HASH, nullable=False),
        sa.Column("basis", HASH, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("objects", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", Number, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("mark", sa.String(16), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("previous", HASH, nullable=False),
        sa.Column("hash", HASH, nullable=False),
    )
    op.create_table("doomed_files", sa.Column("name", sa.String(200), primary_key=True))
    _forbid_changes(op.get_bind().dialect.name)


def _forbid_changes(dialect: str) -> None:
    if dialect == "postgresql":
        op.execute(
            "CREATE FUNCTION bayestwin_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'append-only: %', TG_TABLE_NAME; END $$"
        )
    for table, forbidden in APPEND_ONLY.items():
        for change in forbidden:
            name = f"{table}_no_{change.lower()}"
            if dialect == "postgresql":
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {change} ON {table} FOR EACH ROW "
                    "EXECUTE FUNCTION bayestwin_append_only()"
                )
            else:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {change} ON {table} BEGIN "
                    f"SELECT RAISE(ABORT, 'append-only: {table}'); END"
                )
