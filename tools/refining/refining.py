"""`refine_mask`, `undo_refinement`, `branch_refinement`: masks drawn and corrected by pointing, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ...imaging.errors import BadCall
from ...store.records import ImageRecord
from ..desk.desk import Answer, Call, Desk
from ..desk.job import Job, answer_job, run_job
from ..scans.seen_pictures import spots_of
from .frames import PICTURE, Frame, axis_cut
from .log import Refinement, check_seen, next_line, refinement_of, up_to
from .marking import Kept, Pointed, kept_marks, mark_of
from .results import RefineResult
from .stepping import Wanted, result_of
from .writing import begin_with, branched, branches, go_on, is_repeat


def refine_mask(
    desk: Desk,
    call: Call,
    handle: Annotated[str, Field(description="img_: draw anew. msk_: correct any mask. ref_: go on.")],
    prompts: Annotated[
        list[Pointed],
        Field(description="positive=false: not part of it. Box: two corners. Lasso: outline in a slice."),
    ],
    frame: Annotated[
        str,
        Field(
            description="Of `at`: mm (RAS+), mm_lps, index (file's voxels), ras_index, or render's picture_id: pixel [x, y]."
        ),
    ],
    after_step: Annotated[
        int | None, Field(description="Step you saw, from 0; refused if others went on. Default: latest.", ge=0)
    ] = None,
    scope: Annotated[Literal["volume", "slice"], Field(description="slice: change no other.")] = "volume",
    locked: Annotated[list[str] | None, Field(description="Masks to stay out of.")] = None,
    structure: Annotated[str | None, Field(description="What it is.", max_length=100)] = None,
    model: Annotated[str, Field(description="Of task 'refine', or grow-from-seeds.")] = "auto",
    wait_s: Annotated[float, Field(description="As in segment, seconds.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Draw or correct a mask by pointing; each step gives a new mask, drawn by a person. Read `notes`.

    Example: refine_mask(handle="msk_...", frame="mm", prompts=[{"kind": "point", "at": [[-31, 4, 87]], "positive": false}])
    """
    begun, image, mask_id = _meant(desk, handle)
    spots = spots_of(desk, image.image_id, frame) if frame.startswith(PICTURE) else ()
    seen = Frame(frame, image.grid, spots)
    marks = tuple(kept_marks(prompts, seen))
    slab = _slab(marks, seen, prompts) if scope == "slice" else None
    chosen = None if locked is None else tuple(_on_image(desk, image, one) for one in locked)
    wanted = Wanted(marks, slab, chosen)
    begin = {"start": mask_id, "structure": _name(desk, structure, mask_id), "model": model}
    if begun is not None:
        _refuse_new_beginning(begun, structure, model)
        if not is_repeat(desk, begun, after_step, wanted):
            check_seen(begun, after_step)
    elif after_step not in (None, 0):
        raise BadCall(f"after_step={after_step} is a step of a refinement: pass its ref_ handle.")
    arguments = {
        "image_id": image.image_id,
        "handle": handle,
        "after_step": after_step,
        "marks": list(marks),
        "slab": slab,
        "locked": chosen,
        **(begin if begun is None else {}),
    }

    def work(job: Job) -> RefineResult:
        if begun is None:
            return begin_with(job, image, begin, wanted)
        return go_on(job, image, begun.refinement_id, after_step, wanted)

    record = run_job(desk, call, "refine_mask", arguments, work, wait_s=wait_s)
    return answer_job(record, RefineResult, say_result, {"image_id": image.image_id})


def undo_refinement(
    desk: Desk,
    call: Call,
    refinement_id: Annotated[str, Field(description="ref_ handle.")],
    steps: Annotated[int, Field(description="How many to take back.", ge=1)] = 1,
    after_step: Annotated[int | None, Field(description="As in refine_mask, from 0.", ge=0)] = None,
) -> Answer:
    """Take back the last steps; the log keeps them. Example: undo_refinement(refinement_id="ref_...", steps=2)"""
    del call
    lines = desk.store.refinements.lines(refinement_id)
    state = refinement_of(lines)
    repeated = after_step is not None and after_step + 1 == state.number and lines[-1].kind == "undo"
    if not (repeated and lines[-1].facts == {"steps": steps}):
        check_seen(state, after_step)
        if steps > len(state.steps):
            raise BadCall(f"{refinement_id} has {len(state.steps)} steps that count; {steps} cannot be taken back.")
        left = state.steps[: len(state.steps) - steps]
        mask_id = left[-1].mask_id if left else lines[0].mask_id
        if not desk.store.refinements.append([next_line(state, "undo", {"steps": steps}, mask_id)]):
            check_seen(refinement_of(desk.store.refinements.lines(refinement_id)), state.number)
        state = refinement_of(desk.store.refinements.lines(refinement_id))
    result = result_of(desk, desk.store.image(state.image_id), state)
    return Answer(f"Took back {steps}: {say_result(result)}", result)


def branch_refinement(
    desk: Desk,
    call: Call,
    refinement_id: Annotated[str, Field(description="ref_ handle.")],
    step: Annotated[int | None, Field(description="Any, from 0; default: the latest.", ge=0)] = None,
    model: Annotated[str | None, Field(description="Draw all steps anew with it; compare.")] = None,
    wait_s: Annotated[float, Field(description="As in segment, seconds.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Go another way from any step, undone or not. Example: branch_refinement(refinement_id="ref_...", step=3)"""
    lines = desk.store.refinements.lines(refinement_id)
    state = refinement_of(up_to(lines, step))
    image = desk.store.image(state.image_id)

    def work(job: Job) -> RefineResult:
        return branched(job, image, state, model)

    arguments = {
        "refinement_id": refinement_id,
        "step": state.number,
        "model": model,
        "branches": branches(desk, state),
    }
    record = run_job(desk, call, "branch_refinement", arguments, work, wait_s=wait_s)
    return answer_job(record, RefineResult, say_result, {"image_id": state.image_id})


def say_result(result: RefineResult) -> str:
    """The step in a sentence or two."""
    name = result.structure or "the structure"
    if result.mask_id is None:
        text = f"Nothing of {name} is drawn yet."
    else:
        size = f"{result.volume_ml:g} ml" if result.volume_ml is not None else f"{result.voxels} voxels"
        text = f"{result.mask_id}: {name} as drawn by a person, {size}"
        if result.added_ml is not None:
            text += f" (+{result.added_ml:g}, -{result.removed_ml:g} ml)"
        text += "."
    text += f" Step {result.step} of {result.refinement_id}."
    return " ".join([text, *result.notes])[:1500]


def _meant(desk: Desk, handle: str) -> tuple[Refinement | None, ImageRecord, str | None]:
    """What a handle means: the refinement to go on with, the image, and the mask to begin with."""
    if handle.startswith("ref_"):
        begun = refinement_of(desk.store.refinements.lines(handle))
        return begun, desk.store.image(begun.image_id), None
    if handle.startswith("msk_"):
        return None, desk.store.image(desk.store.mask_record(handle).image_id), handle
    if handle.startswith("img_"):
        return None, desk.store.image(handle), None
    raise BadCall(
        f"'{handle[:40]}' is no handle to draw on. Pass img_ to draw anew, msk_ to correct a mask, ref_ to go on."
    )


def _on_image(desk: Desk, image: ImageRecord, mask_id: str) -> str:
    record = desk.store.mask_record(mask_id)
    if record.image_id != image.image_id:
        raise BadCall(f"The locked mask {mask_id} belongs to {record.image_id}, not to {image.image_id}.")
    return mask_id


def _name(desk: Desk, structure: str | None, mask_id: str | None) -> str | None:
    if structure is not None or mask_id is None:
        return structure
    return desk.store.mask_record(mask_id).structure


def _refuse_new_beginning(begun: Refinement, structure: str | None, model: str) -> None:
    if structure is not None and structure != begun.begin.get("structure"):
        raise BadCall(
            f"{begun.refinement_id} draws the {begun.begin.get('structure')}. Begin another for '{structure}'."
        )
    if model not in ("auto", begun.begin.get("model")):
        raise BadCall(
            f"{begun.refinement_id} is drawn with {begun.begin.get('model')}. To draw its steps with '{model}', call "
            f"branch_refinement(refinement_id='{begun.refinement_id}', model='{model}')."
        )


def _slab(marks: Sequence[Kept], frame: Frame, prompts: Sequence[Pointed]) -> tuple[int, int, int]:
    """The slice that alone may change: of the picture pointed at, of a lasso, else the axial one."""
    cut = frame.axis_of(prompts[0]["at"][0])
    flat = next((int(one["axis"]) for one in marks if "axis" in one), None)
    axis = cut if cut is not None else flat if flat is not None else axis_cut(frame.grid, "axial")
    extents = [mark_of(one, frame.grid).extent[axis] for one in marks]
    low, high = min(one[0] for one in extents), max(one[1] for one in extents)
    if high - low != 1:
        raise BadCall(
            f"scope='slice' means one slice, but the marks lie in slices {low} to {high - 1}. Call once for each."
        )
    return axis, low, high
