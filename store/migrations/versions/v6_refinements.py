"""What people pointed at to correct masks, step by step."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "refinements",
        sa.Column("refinement_id", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("image_id", sa.String(16), sa.ForeignKey("images.image_id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("mask_id", sa.String(16)),
        sa.Column("created", sa.String(32), nullable=False),
    )
    op.create_index("refinements_of_image", "refinements", ["image_id"])
