"""`edit_mask`: a new mask out of old ones; nothing is overwritten."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall
from ...imaging.masks import measures
from ...imaging.masks.edit import edit
from ..desk.desk import Answer, Call, Desk
from ..desk.results import EditResult, Provenance, receipt


def edit_mask(
    desk: Desk,
    call: Call,
    operation: Annotated[
        Literal["union", "intersect", "subtract", "largest_part", "fill_holes", "grow", "shrink", "snap_to_edges"],
        Field(
            description="subtract takes all later masks from the first; snap_to_edges moves the border to the strongest edge."
        ),
    ],
    mask_ids: Annotated[
        list[str],
        Field(
            description="Two or more for union, intersect, subtract; one for the others.", min_length=1, max_length=50
        ),
    ],
    amount_mm: Annotated[
        float | None, Field(description="For grow, shrink, snap_to_edges: millimetres.", gt=0, le=100)
    ] = None,
) -> Answer:
    """Make a new mask from masks of one image; the old ones stay.

    Use it to join parts, cut overlaps, drop specks (largest_part), or add a margin. To find a
    structure in the first place use segment. Example: edit_mask(operation="grow", mask_ids=["msk_0123456789ab"], amount_mm=5)
    """
    del call
    records = [desk.store.mask_record(mask_id) for mask_id in mask_ids]
    image_id = records[0].image_id
    if any(record.image_id != image_id for record in records):
        raise BadCall("The masks belong to different images. Only masks of one image can be combined.")
    image = desk.store.volume(image_id)
    made = edit(operation, [desk.store.mask(mask_id) for mask_id in mask_ids], amount_mm=amount_mm, image=image)
    provenance = Provenance(tool="edit_mask", version=__version__, inputs=[*mask_ids, image_id])
    licences = sorted({str(r.facts.get("provenance", {}).get("licence") or "") for r in records} - {""})
    purposes = {str(r.facts.get("provenance", {}).get("purpose") or "") for r in records}
    provenance = provenance.model_copy(
        update={
            "licence": "; ".join(licences) or None,
            "purpose": "research-only" if "research-only" in purposes else "any" if "any" in purposes else None,
        }
    )
    names = {record.structure for record in records}
    structure = names.pop() if len(names) == 1 else None
    record = desk.store.add_mask(
        made,
        image_id=image_id,
        structure=structure,
        made_by=f"edit {operation} {' '.join(mask_ids)} {amount_mm}",
        facts={"provenance": provenance.model_dump(mode="json"), "operation": operation, "amount_mm": amount_mm},
    )
    volume = None if image.synthetic else measures.volume_ml(made)
    result = EditResult(
        mask_id=record.mask_id,
        image_id=image_id,
        structure=structure,
        voxels=record.voxels,
        volume_ml=None if volume is None else round(volume, 3),
        geometry=receipt(made.grid, image.grid, side_checked=False),
        provenance=provenance,
    )
    size = f"{volume:.2f} ml" if volume is not None else f"{record.voxels} voxels"
    return Answer(f"{operation} gave {record.mask_id}: {size}.", result)
