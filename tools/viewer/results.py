"""What the viewer's page is told."""

from __future__ import annotations

from ..desk.results import ImageAnswer, Result


class ViewerPlane(Result):
    """A plane: pixels of its pictures, mm of a pixel, which axis of the RAS index it cuts, runs across and down."""

    view: str
    axis: int
    across: int
    down: int
    slices: int
    width: int
    height: int
    step: int
    pixel_mm: list[float]
    letters: list[str]
    start: int


class ViewerMask(Result):
    """A mask to show."""

    mask_id: str
    name: str
    colour: str
    volume_ml: float | None
    verdict: str


class ViewerResult(ImageAnswer):
    """A scan as the viewer opens it; `colours` are those of masks, in order."""

    image_id: str
    alias: str
    modality: str
    unit: str
    synthetic: bool
    shape: list[int]
    spacing_known: bool
    window: list[float]
    presets: dict[str, list[float]]
    planes: list[ViewerPlane]
    masks: list[ViewerMask]
    colours: list[str]
    left_out: int


class ViewerSlice(Result):
    """One slice: deflated little-endian int16 (value = slope * number + intercept), and deflated bits of each mask."""

    index: int
    slope: float
    intercept: float
    grey: str
    masks: list[str]


class SlicesResult(Result):
    """Slices from the first one asked for; as many as fit into one small answer."""

    view: str
    slices: list[ViewerSlice]


class PointResult(Result):
    """What lies at a clicked point."""

    index: list[int]
    point_mm: list[float] | None
    value: float
    masks: list[str]
    positive: bool
