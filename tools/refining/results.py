"""What the tools of refinement answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..desk.results import Geometry, ImageAnswer, Provenance


class DrawnProvenance(Provenance):
    """Who drew: a person, by so many marks, with a model's help; every mark stands in the log `refinement_id`."""

    drawn_by: Literal["a person"] = "a person"
    marks: int = 0
    refinement_id: str = ""


class RefineResult(ImageAnswer):
    """A mask as somebody drew it, after `step` of its log; null where nothing is left.

    Its verdict is "drawn by a person" and its confidence null: nobody judged it. `added_ml` and `removed_ml` are what
    this step changed; null without a voxel size. `notes` say what the marks did not do.
    """

    image_id: str
    refinement_id: str = ""
    step: int = 0
    steps: int = 0
    mask_id: str | None = None
    structure: str | None = None
    verdict: Literal["drawn by a person"] = "drawn by a person"
    confidence: None = None
    voxels: int = 0
    volume_ml: float | None = None
    added_ml: float | None = None
    removed_ml: float | None = None
    changed_voxels: int = 0
    notes: list[str] = Field(default_factory=list)
    geometry: Geometry | None = None
    provenance: DrawnProvenance | None = None
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0
