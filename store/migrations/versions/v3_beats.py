"""Processes say that they are at work."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "beats",
        sa.Column("owner", sa.String(128), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        if_not_exists=True,
    )
