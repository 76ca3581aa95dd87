"""A refinement as its log tells it: lines are added, never changed, and what counts is worked out from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...imaging.errors import BadCall
from ...store.records import Facts, StepRecord, now


@dataclass(frozen=True)
class Refinement:
    """Where a refinement stands.

    Attributes:
        number: of its last line, which is the step callers saw.
        begin: what it began with: start, structure, model.
        steps: lines whose marks count, oldest first.
        mask_id: the mask now; None before anything is drawn.
    """

    refinement_id: str
    image_id: str
    number: int
    begin: Facts
    steps: tuple[StepRecord, ...]
    mask_id: str | None

    @property
    def locked(self) -> list[str]:
        """Masks that are not drawn over."""
        last = self.steps[-1].facts if self.steps else self.begin
        return list(last.get("locked", ()))


def refinement_of(lines: Sequence[StepRecord]) -> Refinement:
    """What the lines of a log add up to."""
    first = lines[0]
    state = Refinement(first.refinement_id, first.image_id, first.number, first.facts, (), first.mask_id)
    for line in lines[1:]:
        if line.kind == "add":
            steps = (*state.steps, line)
        else:
            steps = state.steps[: len(state.steps) - int(line.facts["steps"])]
        state = replace(state, number=line.number, steps=steps, mask_id=line.mask_id)
    return state


def up_to(lines: Sequence[StepRecord], step: int | None) -> Sequence[StepRecord]:
    """The lines up to a step; None for all.

    Raises:
        BadCall: there is no such step.
    """
    if step is not None and not 0 <= step <= lines[-1].number:
        raise BadCall(f"{lines[0].refinement_id} has no step {step}. It has 0 (where it began) to {lines[-1].number}.")
    return lines if step is None else [line for line in lines if line.number <= step]


def check_seen(state: Refinement, after_step: int | None) -> None:
    """Refuse to go on from a step that is no longer the last.

    Raises:
        BadCall: somebody added another meanwhile; nothing of this call was kept.
    """
    if after_step is None or after_step == state.number:
        return
    if after_step > state.number:
        raise BadCall(f"{state.refinement_id} has no step {after_step} yet; its last is {state.number}. Pass that.")
    raise BadCall(
        f"Conflict: {state.refinement_id} is at step {state.number}, not {after_step} any more: somebody else went on. "
        f"Nothing of this call was kept. Its mask is now {state.mask_id}. Look at it, then call again with "
        f"after_step={state.number}, or go your own way: branch_refinement(refinement_id='{state.refinement_id}', "
        f"step={after_step})."
    )


def next_line(state: Refinement, kind: str, facts: Mapping[str, Any], mask_id: str | None) -> StepRecord:
    """The line after the last."""
    return StepRecord(state.refinement_id, state.number + 1, state.image_id, kind, dict(facts), mask_id, now())


def handle_of(made_of: object, ordinal: int) -> str:
    """The handle of the `ordinal`th refinement that began so: same beginning in an empty store, same handle."""
    text = json.dumps([made_of, ordinal], sort_keys=True)
    return f"ref_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
