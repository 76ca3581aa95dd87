"""Answers of `import_mask`, `list_files` and `list_handles`; rows are shown to callers without their fields (DESIGN §4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..desk.results import ImageAnswer, Provenance, Result


class ImportedRow(Result):
    """A mask of the file; `mask_id` null where nothing of it is left, `file_ml` set where its volume changed."""

    structure: str
    mask_id: str | None
    label: str
    voxels: int
    volume_ml: float | None = None
    file_ml: float | None = None
    warnings: list[str] = Field(default_factory=list)


class ImportResult(ImageAnswer):
    """Masks as somebody drew them: their verdict is "imported", whether they are right was not judged."""

    image_id: str
    masks: list[ImportedRow]
    format: str
    exact: bool
    verdict: Literal["imported"] = "imported"
    warnings: list[str] = Field(default_factory=list)
    provenance: Provenance


class FilesResult(Result):
    """Rows: path, kind, and what is known of series, modality, files, shape, spacing_mm; use "import_mask" for masks; `folders` counts them where not all are shown."""

    roots: list[str]
    files: list[dict[str, object]]
    more: int
    folders: dict[str, int]
    complete: bool


class HandlesResult(Result):
    """Rows: handle, kind, alias, created (UTC), and what its kind has."""

    handles: list[dict[str, object]]
    more: int
