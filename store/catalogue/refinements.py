"""The log of refinements: what people pointed at, in lines that are added and never changed.

A line's number is part of its key, so of two editors who add the same next line the database takes one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa

from ...imaging.errors import BadCall
from ..records import StepRecord, refinements

Writing = Callable[[], AbstractContextManager[sa.Connection]]


class RefinementLog:
    """The lines of every refinement of one store.

    Args:
        writing: opens a transaction that changes something.
    """

    def __init__(self, engine: sa.Engine, writing: Writing) -> None:
        self.engine, self._writing = engine, writing

    def lines(self, refinement_id: str) -> tuple[StepRecord, ...]:
        """Every line, oldest first.

        Raises:
            BadCall: nothing has this handle.
        """
        query = (
            sa.select(refinements).where(refinements.c.refinement_id == refinement_id).order_by(refinements.c.number)
        )
        with self.engine.connect() as connection:
            found = tuple(StepRecord(**row) for row in connection.execute(query).mappings())
        if not found:
            raise BadCall(
                f"Unknown refinement '{refinement_id[:40]}'. Handles come from refine_mask; call it without one to begin."
            )
        return found

    def append(self, lines: Sequence[StepRecord]) -> bool:
        """Add lines, all or none; False when one of their numbers is taken: somebody else was first."""
        try:
            with self._writing() as connection:
                connection.execute(refinements.insert(), [vars(line) for line in lines])
        except sa.exc.IntegrityError:
            taken = {one.number for one in self._existing(lines[0].refinement_id)}
            if not taken & {line.number for line in lines}:  # the image was forgotten meanwhile, not the number taken
                raise
            return False
        return True

    def has(self, refinement_id: str) -> bool:
        """Whether this handle is taken."""
        return bool(self._existing(refinement_id))

    def _existing(self, refinement_id: str) -> tuple[StepRecord, ...]:
        try:
            return self.lines(refinement_id)
        except BadCall:
            return ()
