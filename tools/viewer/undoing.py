"""Undo for the viewer's page, which has it wherever the viewer is on; models have `undo_refinement`. Not for models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..desk.desk import Answer, Call, Desk
from ..refining.refining import undo_refinement


def viewer_undo(
    desk: Desk,
    call: Call,
    refinement_id: Annotated[str, Field(description="ref_ handle.")],
    after_step: Annotated[int, Field(description="Step it saw, from 0.", ge=0)],
) -> Answer:
    """For the viewer page. Example: viewer_undo(refinement_id="ref_...", after_step=2)"""
    return undo_refinement(desk, call, refinement_id, 1, after_step)
