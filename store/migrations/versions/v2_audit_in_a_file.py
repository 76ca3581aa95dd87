"""The audit moved to a file of lines; its old rows stay where they are until revision 5 takes them."""

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Nothing changes in the database."""
