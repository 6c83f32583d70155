"""A table of the rows that were not used, so that those of unknown patients are kept too."""

import sqlalchemy as sa
from alembic import op

from bayestwin.store.schema import UtcTime

revision = "0002"
down_revision = "0001"


def upgrade():
    """Make the table; its rows can be added and, with their patient, erased."""
    op.create_table(
        "refused",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("subject", sa.Text, nullable=False, index=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("stored_at", UtcTime, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        does = "EXECUTE FUNCTION bayestwin_append_only()"
        op.execute(f"CREATE TRIGGER refused_no_update BEFORE UPDATE ON refused FOR EACH ROW {does}")
    else:
        does = "SELECT RAISE(ABORT, 'append-only: refused')"
        op.execute(f"CREATE TRIGGER refused_no_update BEFORE UPDATE ON refused BEGIN {does}; END")
