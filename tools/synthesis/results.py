"""What the synthesis tools answer."""

from __future__ import annotations

from pydantic import Field

from ..desk.results import ImageAnswer, Provenance, Result


class MadeMask(Result):
    """A mask that came along onto the new image.

    Attributes:
        painted_by: "network", "source" where it was kept, or "prior" where no network knows the structure.
        tissue: whose prior it has, and what told it: its name, its kind, or nothing ("none").
        median: of the new image inside it, in the image's unit.
    """

    structure: str
    mask_id: str
    painted_by: str
    tissue: str
    tissue_by: str
    median: float


class SynthesisResult(ImageAnswer):
    """A synthetic image, or the job that makes it (`image_id` null).

    Attributes:
        seam_ratio: step across the border of what was kept over the usual step; above 2 a seam shows.
        memory_mb: estimate of what the job needs.
        files: written, each with its mark.
    """

    image_id: str | None = None
    synthetic: bool = True
    modality: str = ""
    unit: str = ""
    engine: str = ""
    seed: int = 0
    steps: int = 0
    memory_mb: int = 0
    masks: list[MadeMask] = Field(default_factory=list)
    seam_ratio: float | None = None
    files: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    summary: str = ""
    provenance: Provenance | None = None
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0
