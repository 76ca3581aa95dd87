"""`edit_mask`: a new mask out of old ones; nothing is overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ...imaging.errors import BadCall
from ...imaging.masks import measures
from ...imaging.masks.edit import edit
from ...imaging.volume import Mask
from ...store.records import MaskRecord
from ..desk.desk import Answer, Call, Desk
from ..desk.doubts import grey_unit
from ..desk.results import EditResult, combined_provenance, receipt
from .greys import BY_GREY, Cut, by_grey


def edit_mask(
    desk: Desk,
    call: Call,
    operation: Annotated[
        Literal[
            "union",
            "intersect",
            "subtract",
            "largest_part",
            "fill_holes",
            "grow",
            "shrink",
            "snap_to_edges",
            "threshold",
            "iso_contour",
        ],
        Field(
            description="subtract: later masks from the first; snap_to_edges: border to the strongest edge; "
            "threshold, iso_contour (around the brightest voxel): in one mask, or a box of image_id."
        ),
    ],
    mask_ids: Annotated[
        list[str] | None,
        Field(description="Two or more for union, intersect, subtract; else one.", max_length=50),
    ] = None,
    amount_mm: Annotated[
        float | None, Field(description="For grow, shrink, snap_to_edges: millimetres.", gt=0, le=100)
    ] = None,
    at_least: Annotated[float | None, Field(description="threshold: voxel's value, image's unit.", ge=-1e6)] = None,
    at_most: Annotated[float | None, Field(description="Voxel's value, too.", ge=-1e6)] = None,
    percent_of_max: Annotated[
        float | None, Field(description="iso_contour: of the brightest voxel, e.g. 41.", gt=0, lt=100)
    ] = None,
    image_id: Annotated[str | None, Field(description="With box_index.")] = None,
    box_index: Annotated[list[list[int]] | None, Field(description="[[from x, y, z], [to]], ends left out.")] = None,
) -> Answer:
    """Make a new mask from masks of one image; the old ones stay.

    largest_part drops specks, grow adds a margin. Example: edit_mask(operation="grow", mask_ids=["msk_..."], amount_mm=5)
    """
    del call
    records = [desk.store.mask_record(mask_id) for mask_id in mask_ids or ()]
    image_id = _image(records, image_id)
    image = desk.store.volume(image_id)
    masks = [desk.store.mask(record.mask_id) for record in records]
    if operation in BY_GREY:
        cut = Cut(at_least, at_most, percent_of_max, grey_unit(desk.store.image(image_id), image))
        made = by_grey(operation, image, masks, box_index, cut)
        how: dict[str, object] = {"at_least": at_least, "at_most": at_most, "percent_of_max": percent_of_max}
        how["box_index"] = box_index
    else:
        if at_least is not None or at_most is not None or percent_of_max is not None or box_index is not None:
            raise BadCall(f"'{operation}' takes no grey value and no box. Those are for threshold and iso_contour.")
        made = edit(operation, masks, amount_mm=amount_mm, image=image)
        how = {"amount_mm": amount_mm}
    made_of = {record.mask_id: record.facts.get("provenance", {}) for record in records}
    provenance = combined_provenance("edit_mask", made_of, image_id)
    names = {record.structure for record in records}
    structure = names.pop() if len(names) == 1 else None
    record = desk.store.add_mask(
        made,
        image_id=image_id,
        structure=structure,
        made_by=f"edit {operation} {' '.join(mask_ids or ())} {' '.join(str(value) for value in how.values())}",
        facts={"provenance": provenance.model_dump(mode="json"), "operation": operation, **how},
    )
    warnings = _unchanged(masks, made, amount_mm)
    volume = None if image.synthetic else measures.volume_ml(made)
    result = EditResult(
        mask_id=record.mask_id,
        image_id=image_id,
        structure=structure,
        voxels=record.voxels,
        volume_ml=None if volume is None else round(volume, 3),
        warnings=warnings,
        geometry=receipt(made.grid, image.grid, side_checked=False),
        provenance=provenance,
    )
    size = f"{volume:.2f} ml" if volume is not None else f"{record.voxels} voxels"
    return Answer(" ".join([f"{operation} gave {record.mask_id}: {size}.", *warnings]), result)


def _unchanged(masks: Sequence[Mask], made: Mask, amount_mm: float | None) -> list[str]:
    """What to say where one mask comes out as it went in: a margin below the voxels' size does nothing."""
    if len(masks) != 1 or not np.array_equal(masks[0].array, made.array):
        return []
    sizes = made.grid.spacing_mm
    is_too_small = amount_mm is not None and amount_mm < min(sizes)
    why = (
        f" {amount_mm:g} mm reaches no next voxel ({' x '.join(f'{size:g}' for size in sizes)} mm)."
        if is_too_small
        else ""
    )
    return [f"Nothing changed: the mask is as it was.{why}"]


def _image(records: Sequence[MaskRecord], image_id: str | None) -> str:
    """The one image that the masks lie on, or that is named without any."""
    images = {record.image_id for record in records} | ({image_id} if image_id else set())
    if len(images) > 1:
        raise BadCall("The masks belong to different images. Only masks of one image can be combined.")
    if not images:
        raise BadCall("No mask is given. Pass mask_ids; threshold and iso_contour also take image_id with box_index.")
    return images.pop()
