"""`list_handles`: the images, masks and jobs of this store, newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from ...store.records import ImageRecord, JobRecord, MaskRecord
from ..desk.desk import Answer, Call, Desk
from .aliases import alias_of_image, alias_of_job, alias_of_mask
from .results import HandlesResult
from .wording import first_of, fits

Kind = Literal["images", "masks", "jobs"]
Row = dict[str, object]


def list_handles(
    desk: Desk,
    call: Call,
    kind: Annotated[Kind | None, Field(description="Only these; default: all.")] = None,
    image_id: Annotated[str | None, Field(description="Only of this image.")] = None,
    structure: Annotated[str | None, Field(description="Only masks of this structure.")] = None,
    pattern: Annotated[str | None, Field(description="Part of an alias or handle, or a pattern: 'ct*'.")] = None,
    limit: Annotated[int, Field(description="At most so many rows.", ge=1, le=500)] = 30,
) -> Answer:
    """List images, masks and jobs here, newest first, with aliases, to go on with earlier work.

    Example: list_handles(structure="liver")
    """
    del call
    if image_id is not None:
        desk.store.image(image_id)
    name = None
    if structure is not None:
        row = desk.table.get(structure)
        name = row.name if row is not None else structure
    records = [record for record in _records(desk, kind, name) if _belongs(record, image_id, name)]
    records.sort(key=lambda record: record.created, reverse=True)
    fitting = [row for row in map(_row, records) if fits(pattern, str(row["alias"]), str(row["handle"]))]
    shown = fitting[:limit]
    masks = Counter(record.image_id for record in desk.store.every_mask())
    for one in shown:
        if one["kind"] == "image":
            one["masks"] = masks.get(str(one["handle"]), 0)
    listed = first_of([f"{one['handle']} {one['alias']}" for one in shown], len(fitting))
    text = f"{len(fitting)} handles: {listed}." if fitting else "Nothing here fits. Call open_image or segment first."
    return Answer(text, HandlesResult(handles=shown, more=len(fitting) - len(shown)))


def _records(desk: Desk, kind: Kind | None, structure: str | None) -> Iterator[ImageRecord | MaskRecord | JobRecord]:
    if kind in (None, "images") and structure is None:
        yield from desk.store.images()
    if kind in (None, "masks"):
        yield from desk.store.every_mask()
    if kind in (None, "jobs") and structure is None:
        yield from desk.store.jobs()


def _belongs(record: ImageRecord | MaskRecord | JobRecord, image_id: str | None, structure: str | None) -> bool:
    if image_id is not None:
        owner = record.arguments.get("image_id") if isinstance(record, JobRecord) else record.image_id
        if owner != image_id:
            return False
    return structure is None or (isinstance(record, MaskRecord) and record.structure == structure)


def _row(record: ImageRecord | MaskRecord | JobRecord) -> Row:
    row: dict[str, Any]
    if isinstance(record, ImageRecord):
        row = {"handle": record.image_id, "kind": "image", "alias": alias_of_image(record), "modality": record.modality}
        row["shape"] = list(record.grid.shape)
        if record.grid.spacing_known:
            row["spacing_mm"] = [round(float(mm), 4) for mm in record.grid.spacing_mm]
    elif isinstance(record, MaskRecord):
        row = {"handle": record.mask_id, "kind": "mask", "alias": alias_of_mask(record), "image_id": record.image_id}
        if record.facts.get("verdict"):
            row["verdict"] = record.facts["verdict"]
    else:
        row = {"handle": record.job_id, "kind": "job", "alias": alias_of_job(record), "state": record.state}
    return {**row, "created": record.created[:19]}
