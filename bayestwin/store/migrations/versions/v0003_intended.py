"""A table of files that are about to be written, so that an erasure reaches what a killed run left behind."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    """Make the table; its rows come and go."""
    op.create_table(
        "intended_files",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("subject", sa.Text, nullable=False, index=True),
    )
