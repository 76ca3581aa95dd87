"""Looking a row of a table up by its name. Torch-free."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Protocol, TypeVar

from ..imaging.errors import BadCall


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str:
        """As configurations say it."""


Row = TypeVar("Row", bound=Named)


def row_of(rows: Sequence[Row], name: str, kind: str) -> Row:
    """The row of this name.

    Args:
        kind: what the rows are, in the singular, for the refusal.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    known = {row.name: row for row in rows}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise BadCall(f"Unknown {kind} '{name}'. Closest: '{near}'. Known: {', '.join(known)}.")
    return known[name]
