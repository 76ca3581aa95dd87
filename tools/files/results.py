"""Answers of `import_mask`, `list_files` and `list_handles`; rows are shown to callers without their fields (DESIGN §4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import WithJsonSchema

from ..desk.results import ImageAnswer, Provenance, Result

_ROWS = WithJsonSchema({"type": "array", "items": {"type": "object"}})


class ImportedRow(Result):
    """A mask of the file; `mask_id` null where nothing of it is left, `file_ml` set where its volume changed."""

    structure: str
    mask_id: str | None
    label: str
    voxels: int
    volume_ml: float | None = None
    file_ml: float | None = None
    warnings: list[str] = []


class ImportResult(ImageAnswer):
    """Masks as somebody drew them: their verdict is "imported", whether they are right was not judged."""

    image_id: str
    masks: Annotated[list[ImportedRow], _ROWS]
    format: str
    exact: bool
    verdict: Literal["imported"] = "imported"
    warnings: list[str] = []
    provenance: Provenance
