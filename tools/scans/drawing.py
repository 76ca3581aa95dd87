"""`render`: a picture a person can check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...imaging.errors import BadCall
from ...imaging.pictures.render import MOST_SLICES
from ...imaging.pictures.render import render as draw
from ..desk.desk import Answer, Call, Desk
from ..desk.results import RenderResult
from .seen_pictures import keep_picture

WIDE, NARROW = 900, 640  # pixels


def render(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="From open_image.")],
    mask_ids: Annotated[list[str] | None, Field(description="Masks of this image, at most 20.", max_length=20)] = None,
    view: Annotated[
        Literal["axial", "coronal", "sagittal", "montage"], Field(description="montage shows all three planes.")
    ] = "axial",
    kind: Annotated[
        Literal["slice", "mip", "surface"],
        Field(description="mip: brightest along each line of sight. surface: masks as solids."),
    ] = "slice",
    window: Annotated[
        Literal["auto", "soft_tissue", "lung", "bone", "brain", "liver"] | list[float],
        Field(description="Presets are for CT; [centre, width] for any image."),
    ] = "auto",
    slice_index: Annotated[
        int | None,
        Field(description="From the patient's feet, back or left; default: where masks are largest.", ge=0),
    ] = None,
    count: Annotated[int, Field(description="So many slices through the masks.", ge=1, le=MOST_SLICES)] = 1,
    zoom: Annotated[bool, Field(description="Only the masks and 15 mm around.")] = False,
    style: Annotated[Literal["both", "contour", "fill"], Field(description="How masks are drawn.")] = "both",
) -> Answer:
    """Draw slices, a projection or a 3-D surface with masks, side letters, mm ticks, legend: a PNG.

    To show findings or check a mask by eye; numbers: measure. Axial and coronal pictures have the patient's right on the left. Example: render(image_id="img_...", view="montage")
    """
    del call
    volume = desk.store.volume(image_id)
    masks = {}
    for mask_id in mask_ids or []:
        record = desk.store.mask_record(mask_id)
        if record.image_id != image_id:
            raise BadCall(
                f"The mask '{mask_id}' belongs to {record.image_id}, not to {image_id}. Draw masks on their own image."
            )
        name = record.structure or mask_id
        masks[name if name not in masks else f"{name} {mask_id}"] = desk.store.mask(mask_id)
    found = draw(
        volume,
        masks,
        view=view,
        kind=kind,
        slice_index=slice_index,
        count=count,
        window=window,
        style=style,
        zoom=zoom,
        width=WIDE if view == "montage" or count > 1 else NARROW,
    )
    picture_id = keep_picture(desk, image_id, found.spots)
    result = RenderResult(
        picture_id=picture_id,
        image_id=image_id,
        mask_ids=list(mask_ids or []),
        view=view,
        kind=kind,
        shown=list(found.shown),
        slices=found.slices,
        window=[round(v, 2) for v in found.window],
        size=list(found.size),
    )
    where = f", slice {', '.join(map(str, found.shown))} of {found.slices}" if found.shown else ""
    what = {"slice": "view", "mip": "projection (MIP)", "surface": "surface view"}[kind]
    text = f"{view.capitalize()} {what} of {image_id}{where}, showing {', '.join(masks) or 'no masks'}."
    if picture_id is not None:
        text += f" Its pixels can be pointed at as {picture_id}."
    return Answer(text, result, (found.png,))
