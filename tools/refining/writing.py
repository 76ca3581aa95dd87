"""Steps written into the log: the first one, further ones beside those of others, and those of a branch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...imaging.errors import BadCall
from ...store.records import ImageRecord, StepRecord, now
from ..desk.desk import Desk
from ..desk.job import Job
from .asking import drawers
from .log import Refinement, check_seen, handle_of, next_line, refinement_of
from .results import RefineResult
from .stepping import Wanted, result_of, take

TRIES = 5  # to add a step while others add theirs


def is_repeat(desk: Desk, begun: Refinement, after_step: int | None, wanted: Wanted) -> bool:
    """Whether this very call was made before, and its answer got lost on the way."""
    if after_step is None or after_step + 1 != begun.number:
        return False
    last = desk.store.refinements.lines(begun.refinement_id)[-1]
    asked = wanted.facts
    return last.kind == "add" and all(
        last.facts[key] == asked[key] for key in asked if key != "locked" or wanted.locked is not None
    )


def begin_with(job: Job, image: ImageRecord, begin: dict[str, Any], wanted: Wanted) -> RefineResult:
    """The first step of a new refinement; the same call again answers the same, as long as nobody went on."""
    log, ordinal = job.desk.store.refinements, 0
    made_of = [image.image_id, begin, wanted.facts]
    while True:
        ordinal += 1
        handle = handle_of(made_of, ordinal)
        if log.has(handle):
            lines = log.lines(handle)
            if len(lines) == 2:
                return result_of(job.desk, image, refinement_of(lines), lines[-1].facts)
            continue
        first = StepRecord(
            handle, 0, image.image_id, "begin", {**begin, "locked": list(wanted.locked or ())}, begin["start"], now()
        )
        taken = take(job, image, refinement_of([first]), wanted, drawers(job.desk, image, begin["model"]))
        first = StepRecord(**{**vars(first), "facts": {**first.facts, "model": taken.card.name}})
        line = next_line(refinement_of([first]), "add", taken.facts, taken.record.mask_id if taken.record else None)
        if log.append([first, line]):
            return result_of(job.desk, image, refinement_of([first, line]), taken.facts)


def go_on(job: Job, image: ImageRecord, handle: str, after_step: int | None, wanted: Wanted) -> RefineResult:
    """A further step; while others add theirs, it is drawn again after those, unless the caller named the step it saw."""
    log = job.desk.store.refinements
    others: list[str] = []
    for _ in range(TRIES):
        lines = log.lines(handle)
        state = refinement_of(lines)
        if is_repeat(job.desk, state, after_step, wanted):
            return result_of(job.desk, image, state, lines[-1].facts)
        check_seen(state, after_step)
        whole = wanted if wanted.locked is not None else replace(wanted, locked=tuple(state.locked))
        taken = take(job, image, state, whole, drawers(job.desk, image, str(state.begin["model"])))
        facts = {**taken.facts, "notes": [*taken.facts["notes"], *others]}
        if log.append([next_line(state, "add", facts, taken.record.mask_id if taken.record else None)]):
            return result_of(job.desk, image, refinement_of(log.lines(handle)[: state.number + 2]), facts)
        others = [
            f"Somebody else added a step while this one was drawn; it was drawn again after step {state.number + 1}."
        ]
    raise BadCall(
        f"Others keep adding steps to {handle}, so this one found no place. Call again, or branch_refinement."
    )


def branches(desk: Desk, state: Refinement) -> int:
    """How many refinements parted from here before: the same call made on purpose begins another one."""
    ordinal = 1
    while desk.store.refinements.has(handle_of(["branch", state.refinement_id, state.number], ordinal)):
        ordinal += 1
    return ordinal


def branched(job: Job, image: ImageRecord, state: Refinement, model: str | None) -> RefineResult:
    """A new log with the steps that count, as they are or drawn anew."""
    log = job.desk.store.refinements
    begin = {**state.begin, "from": {"refinement_id": state.refinement_id, "step": state.number}}
    if model is not None:
        begin["model"] = model
    notes: list[str] = []
    while True:
        handle = handle_of(["branch", state.refinement_id, state.number], branches(job.desk, state))
        first = StepRecord(handle, 0, image.image_id, "begin", begin, begin.get("start"), now())
        lines = [first]
        for number, step in enumerate(state.steps, start=1):
            facts, mask_id = step.facts, step.mask_id
            if model is not None:
                here = refinement_of(lines)
                part = job.part((number - 1) / len(state.steps), number / len(state.steps))
                wanted = Wanted(
                    tuple(facts["marks"]), tuple(facts["slab"]) if facts["slab"] else None, tuple(facts["locked"])
                )
                taken = take(part, image, here, wanted, drawers(job.desk, image, str(lines[0].facts["model"])), job.id)
                if number == 1:
                    lines[0] = StepRecord(**{**vars(first), "facts": {**begin, "model": taken.card.name}})
                facts, mask_id = taken.facts, taken.record.mask_id if taken.record else None
                notes = [*notes, *_compared(job.desk, step, mask_id)]
            lines.append(StepRecord(handle, number, image.image_id, "add", facts, mask_id, now()))
        if log.append(lines):
            break
    if model is not None and not notes:
        notes = [f"All {len(state.steps)} steps were drawn anew, and every mask is the same bit for bit."]
    made = refinement_of(lines)
    last = {**made.steps[-1].facts, "added": 0, "removed": 0} if made.steps else {}
    return result_of(job.desk, image, made, {**last, "notes": notes})


def _compared(desk: Desk, step: StepRecord, mask_id: str | None) -> list[str]:
    """How a step drawn anew differs from the first time."""
    if mask_id == step.mask_id:
        return []
    old, new = (desk.store.mask(one).array if one else None for one in (step.mask_id, mask_id))
    if old is None or new is None:
        return [f"Step {step.number}: one of the two drew nothing."]
    return [f"Step {step.number}: {int((old != new).sum())} voxels differ."] if (old != new).any() else []
