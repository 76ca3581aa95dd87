"""What tools answer: typed, with units in the names; a number that cannot be given is null with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ... import __version__
from ...imaging.volume import Grid

CUT = " inside the scan, which cuts it"  # said behind a size of a structure that goes on outside
Verdict = Literal["present", "absent", "outside_view", "unsupported", "unsure"]


class Result(BaseModel):
    """Base of every result; NaN and infinity are refused."""

    model_config = ConfigDict(allow_inf_nan=False, extra="forbid")


class ImageAnswer(Result):
    """Base of answers that rest on opened images.

    Attributes:
        image_warnings: what opening left in doubt of the images this rests on, filled in for every tool by `doubts.py`.
    """

    image_warnings: list[str] = []


class SeriesRow(Result):
    """A DICOM series to choose."""

    series: str
    modality: str
    description: str
    slices: int


class ImageResult(Result):
    """An opened image, or the series or files to choose from (`image_id` null)."""

    image_id: str | None
    alias: str | None = None
    modality: str | None = None
    shape: list[int] | None = None
    spacing_mm: list[float] | None = None
    orientation: str | None = None
    intensity_range: list[float] | None = None
    intensity_unit: str | None = None
    synthetic: bool = False
    format: str = ""
    warnings: list[str] = []
    series: list[SeriesRow] = []
    files: list[dict[str, object]] = []


class StructureRow(Result):
    """A structure of the anatomy table."""

    structure: str
    score: float
    side: str
    regions: list[str]
    parent: str
    part_of: str = ""
    synonyms: list[str]
    lay: list[str] = []
    uberon: str
    fma: str = ""
    volume_ml: list[float] | None = None
    volume_source: str = ""
    models: list[str]


class StructuresResult(Result):
    """Structures, best match first; without one, `nearest` are names of like spelling."""

    structures: list[StructureRow]
    nearest: list[str] = []


class ModelRow(Result):
    """A model's card, short."""

    model: str
    title: str
    task: str
    modalities: list[str]
    dimensions: list[int]
    structures: list[str]
    open_text: bool
    spacing_mm: list[float] | None
    memory_mb: int
    weights: str
    licence: str
    purpose: str
    fidelity: str
    dice: dict[str, float]
    notes: str


class ModelsResult(Result):
    """Models that fit the question."""

    models: list[ModelRow]


class Geometry(Result):
    """Proof that a mask lies on its image."""

    shape: list[int]
    affine: list[list[float]]
    axis_codes: str
    max_affine_difference: float
    side_checked: bool


class Provenance(Result):
    """Who made something, out of what; `choice` is why this model and no other."""

    tool: str
    version: str
    inputs: list[str]
    model: str | None = None
    weights_sha256: str | None = None
    licence: str | None = None
    purpose: str | None = None
    engine: str | None = None
    choice: str | None = None
    seed: int | None = None


class ModelAgreement(Result):
    """Of model='all': every model's own mask (null: it marks nothing), the lowest Dice of two, smallest and largest volume."""

    masks: dict[str, str | None]
    dice: float | None
    volume_ml: list[float]


class MaskRow(Result):
    """One structure: a verdict first, numbers after; `nearest` are names to try where the word is not known.

    `confidence` is calibrated on held-out patients, and null where nothing is; `mean_sigmoid` is what the network
    says of its own mask. Nine of ten true volumes lie within `volume_90_ml`, where the model's were measured.
    """

    structure: str
    asked_as: str
    verdict: Verdict
    mask_id: str | None = None
    confidence: float | None = None
    confidence_is: str = ""
    mean_sigmoid: float | None = None
    volume_ml: float | None = None
    volume_is: Literal["complete", "cut by the edge", "not given"] = "not given"
    volume_90_ml: list[float] | None = None
    truncated_at: list[str] = []
    side: str | None = None
    reason: str = ""
    nearest: list[str] = []
    warnings: list[str] = []
    agreement: ModelAgreement | None = None
    geometry: Geometry | None = None
    provenance: Provenance

    @property
    def sureness(self) -> float:
        """How sure the mask is, for ranking: calibrated where that is known, else the network's own word, else 0."""
        known = self.confidence if self.confidence is not None else self.mean_sigmoid
        return known if known is not None else 0.0


class JobResult(ImageAnswer):
    """A job as it stands; `result` is what its tool would have answered."""

    job_id: str
    tool: str
    state: str
    progress: float
    message: str = ""
    queue_place: int | None = None
    result: dict[str, object] | None = None
    error: str | None = None


class SegmentResult(ImageAnswer):
    """Masks, or the job to wait for when they take longer than `wait_s`."""

    image_id: str
    masks: list[MaskRow] = []
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0


class Lengths(Result):
    """Lengths between the outlines of one connected part, mm; along the body null where no direction is known."""

    longest_axial_mm: float
    perpendicular_mm: float
    longest_3d_mm: float
    slice_index: int
    craniocaudal_mm: float | None = None
    transverse_mm: float | None = None
    anteroposterior_mm: float | None = None


class Across(Result):
    """Diameters of a tube at right angles to its centre line (circles of equal area), mm, and where (RAS+ mm).

    The widest section's own longest line and the one at right angles to it come beside; narrowest is null where the tube is
    somewhere thinner than two voxels.
    """

    narrowest_mm: float | None
    median_mm: float
    widest_mm: float
    widest_longest_mm: float
    widest_perpendicular_mm: float
    narrowest_at_mm: list[float] | None
    widest_at_mm: list[float]
    length_mm: float
    branches: int


class PartRow(Result):
    """One connected part of a mask that has several; lengths is null where it seems to hold both of a pair."""

    voxels: int
    volume_ml: float | None
    side: str | None
    lengths: Lengths | None
    across: Across | None


class Greys(Result):
    """Intensities inside the mask; the unit is HU for CT, else the image's own."""

    unit: str
    mean: float
    sd: float
    minimum: float
    p5: float
    median: float
    p95: float
    maximum: float


class Shape(Result):
    """Parts, place, extent; surface from a mesh."""

    parts: int
    centroid_mm: list[float] | None
    bounding_box_index: list[list[int]]
    side: str | None
    mesh_volume_ml: float | None = None
    surface_cm2: float | None = None
    sphericity: float | None = None


class Level(Result):
    """Area in the axial slice through the level's middle."""

    area_cm2: float
    slice_index: int
    cut_by_edge: bool


class Measurement(Result):
    """Numbers about one mask."""

    mask_id: str
    structure: str | None
    voxels: int
    volume_ml: float | None
    volume_is: Literal["complete", "cut by the edge", "not given"]
    truncated_at: list[str]
    diameters: Lengths | None = None
    across: Across | None = None
    parts: list[PartRow] = []
    intensity: Greys | None = None
    shape: Shape | None = None
    level: Level | None = None
    radiomics: dict[str, float] | None = None
    reasons: list[str] = []
    provenance: Provenance


class MeasureResult(ImageAnswer):
    """Measurements in the order of the masks."""

    measurements: list[Measurement]


class CompareResult(ImageAnswer):
    """Agreement of two masks; null values have a reason."""

    dice: float
    iou: float
    nsd: float | None
    hd95_mm: float | None
    assd_mm: float | None
    hd_mm: float | None
    volume_difference_ml: float | None
    volume_error: float | None
    lesions_a: int
    lesions_b: int
    lesion_f1: float
    tolerance_mm: float
    convention: str
    reasons: list[str]


class EditResult(ImageAnswer):
    """The new mask; `warnings` say where it is the old one."""

    mask_id: str
    image_id: str
    structure: str | None
    voxels: int
    volume_ml: float | None
    warnings: list[str] = []
    geometry: Geometry
    provenance: Provenance


class RenderResult(ImageAnswer):
    """What the picture shows; the picture itself is image content. Pixels of `picture_id` can be pointed at in refine_mask."""

    image_id: str
    picture_id: str | None = None
    mask_ids: list[str]
    view: str
    kind: str
    shown: list[int]
    slices: int
    window: list[float]
    size: list[int]


class FileRow(Result):
    """A mask in a written file, read back and compared."""

    mask_id: str
    path: str
    format: str
    readback_dice: float
    centroid_offset_mm: float | None = None
    warnings: list[str] = []


class ExportResult(ImageAnswer):
    """Files, with paths relative to their root, and the worst of all read back."""

    files: list[FileRow]
    smallest_dice: float
    largest_offset_mm: float | None


def receipt(grid: Grid, image: Grid, *, side_checked: bool) -> Geometry:
    """Proof that a mask lies on its image."""
    return Geometry(
        shape=list(grid.shape),
        affine=np.round(grid.affine, 6).tolist(),
        axis_codes=grid.axis_codes,
        max_affine_difference=float(np.abs(grid.affine - image.affine).max()),
        side_checked=side_checked,
    )


def combined_provenance(tool: str, made: Mapping[str, Mapping[str, Any]], image_id: str) -> Provenance:
    """Who made a mask out of others, and what their licences and purposes leave it.

    Args:
        made: handle of each mask -> its own provenance, plain.
    """
    licences = sorted({str(one.get("licence") or "") for one in made.values()} - {""})
    purposes = {str(one.get("purpose") or "") for one in made.values()}
    return Provenance(
        tool=tool,
        version=__version__,
        inputs=[*made, image_id],
        licence="; ".join(licences) or None,
        purpose="research-only" if "research-only" in purposes else "any" if "any" in purposes else None,
    )
