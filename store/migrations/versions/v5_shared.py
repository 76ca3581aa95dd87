"""What servers that share a catalogue count, log and know together; an audit of the first version moves into the log."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"

_FOUND = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'audit'",
    "postgresql": "SELECT to_regclass('audit')",
}


def upgrade() -> None:
    """Make the tables, then move the rows."""
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("tool", sa.String(64), nullable=False),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("server", sa.String(128), nullable=False),
    )
    op.create_table(
        "buckets",
        sa.Column("caller", sa.String(128), primary_key=True),
        sa.Column("tokens", sa.Double, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    connection = op.get_bind()
    if connection.scalar(sa.text(_FOUND[connection.dialect.name])) is not None:
        connection.execute(
            sa.text(
                "INSERT INTO events (at, tool, arguments, outcome, server) "
                "SELECT at, tool, arguments, outcome, '' FROM audit ORDER BY number"
            )
        )
        op.drop_table("audit")
