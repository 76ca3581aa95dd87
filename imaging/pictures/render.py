"""Pictures of a scan with masks over it: sides marked, a ruler in mm, a legend, no guessing.

Views follow radiology: axial as seen from the feet (patient's right on the left of the
picture), coronal from the front, sagittal from the left side with the front on the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import BadCall
from ..geometry import Box, reorient_array
from ..volume import BoolArray, Grid, Mask, Volume
from .legend import corners, encoded, put_together
from .panels import MARGIN, Style, panel
from .planes import PLANES, Plane, cut
from .spots import Spot
from .surfaces import solid_bodies, surface
from .windows import window_of

View = Literal["axial", "coronal", "sagittal", "montage"]
Kind = Literal["slice", "mip", "surface"]
VIEWS, KINDS = get_args(View), get_args(Kind)
MOST_SLICES = 12
WHOLE = -1  # instead of a slice's index: all of them, projected
ZOOM_MM = 15.0  # around the masks; in pixels where no voxel size is known


@dataclass(frozen=True)
class Rendering:
    """A PNG and what it shows.

    Attributes:
        shown: slices along the scan's RAS axis of the view, of a montage its axial one; () for projections.
        slices: how many the scan has.
        window: centre and width used, in the image's unit.
        spots: where slices lie in the picture; () for projections and bodies, whose pixels are no places.
    """

    png: bytes
    view: View
    shown: tuple[int, ...]
    slices: int
    window: tuple[float, float]
    size: tuple[int, int]
    spots: tuple[Spot, ...] = ()


def render(
    volume: Volume,
    masks: Mapping[str, Mask],
    *,
    view: View = "axial",
    kind: Kind = "slice",
    slice_index: int | None = None,
    count: int = 1,
    window: str | Sequence[float] = "auto",
    style: Style = "both",
    zoom: bool = False,
    width: int = 512,
) -> Rendering:
    """Draw slices, three planes ("montage"), the brightest along every line of sight ("mip"), or masks as bodies ("surface").

    Args:
        masks: label for the legend -> mask on the scan's grid.
        slice_index: counted from the patient's left, back or feet; None shows most of the masks,
            each counted by the share of its own largest area.
        count: so many slices, evenly spread through the masks, or through the scan without any.
        window: "auto", a name of `WINDOWS_HU` (CT only), or (centre, width).
        zoom: show the masks and a margin around them only.
        width: pixels of the picture.

    Raises:
        BadCall: unknown view or window, a slice outside the scan, a mask of another image, or a zoom or surface of nothing.
    """
    _check(volume, masks, view, kind, slice_index, count, width)
    scan, grid = reorient_array(volume.array, volume.grid, "RAS")
    overlays = [reorient_array(mask.array, mask.grid, "RAS")[0] for mask in masks.values()]
    chosen = window_of(volume, window)
    box = _shown_box(overlays, grid) if zoom else Box((0, 0, 0), scan.shape)
    planes = tuple(PLANES) if min(scan.shape) > 1 else ("axial",)
    names = planes if view == "montage" else (view,)
    axis = PLANES[names[0]].axis
    shown: tuple[int, ...] = ()
    cuts: list[tuple[str, int]] = []
    if kind == "surface":
        views = (*names, "oblique") if view == "montage" else names
        columns = 2 if len(views) == 4 else 1
        bodies = solid_bodies(overlays, grid.spacing_mm)
        drawn = [surface(bodies, name, width // columns) for name in views]
    else:
        asked = slice_index if len(names) == 1 else None
        places = {
            name: _places(overlays, PLANES[name], box, asked, count) if kind == "slice" else (WHOLE,) for name in names
        }
        shown = places[names[0]] if kind == "slice" else ()
        cuts = [(name, index) for name, indices in places.items() for index in indices if index != WHOLE]
        total = sum(len(one) for one in places.values())
        columns = min(total, 3 if len(names) > 1 or total in (5, 6, 9) else 4)
        drawn = [
            _picture(
                scan,
                overlays,
                PLANES[name],
                index,
                box,
                grid,
                chosen,
                style,
                width // columns,
                note=total > len(names),
            )
            for name, indices in places.items()
            for index in indices
        ]
    notes = ["synthetic image"] if volume.synthetic else []
    picture = put_together(drawn, list(masks), columns=columns, notes=notes)
    png = encoded(picture, synthetic=volume.synthetic)
    spots = _spots(drawn, cuts, columns, box, png_width(png) / picture.width) if cuts else ()
    return Rendering(png, view, shown, scan.shape[axis], chosen, picture.size, spots)


def png_width(png: bytes) -> int:
    """Pixels across a PNG, which may have been made smaller to fit."""
    return int.from_bytes(png[16:20], "big")


def _spots(
    panels: Sequence[Image.Image], cuts: Sequence[tuple[str, int]], columns: int, box: Box, scale: float
) -> tuple[Spot, ...]:
    return tuple(
        Spot(
            name,
            index,
            (left + MARGIN) * scale,
            (top + MARGIN) * scale,
            (panel.width - 2 * MARGIN) * scale,
            (panel.height - 2 * MARGIN) * scale,
            (box.start[PLANES[name].across], box.stop[PLANES[name].across]),
            (box.start[PLANES[name].down], box.stop[PLANES[name].down]),
        )
        for panel, (left, top), (name, index) in zip(panels, corners(panels, columns=columns), cuts, strict=True)
    )


def _check(
    volume: Volume, masks: Mapping[str, Mask], view: str, kind: str, slice_index: int | None, count: int, width: int
) -> None:
    if view not in VIEWS:
        raise BadCall(f"Unknown view '{view}'. Allowed: {', '.join(VIEWS)}.")
    if kind not in KINDS:
        raise BadCall(f"Unknown kind of picture '{kind}'. Allowed: {', '.join(KINDS)}.")
    if not 64 <= width <= 2048:
        raise BadCall(f"A width of {width} pixels is not possible. Use 64 to 2048.")
    if not 1 <= count <= MOST_SLICES:
        raise BadCall(f"{count} slices are not possible. Use 1 to {MOST_SLICES}.")
    if count > 1 and (view == "montage" or kind != "slice" or slice_index is not None):
        raise BadCall("Several slices are shown of one view: axial, coronal or sagittal, without slice_index.")
    if kind != "slice" and volume.grid.is_2d:
        raise BadCall("This is a single slice, which has no projection or surface. Draw it with kind='slice'.")
    if kind == "surface" and not volume.grid.spacing_known:
        raise BadCall("A surface needs the voxel size, which this image does not tell. Open it with spacing_mm.")
    for name, mask in masks.items():
        if not mask.grid.same_as(volume.grid):
            raise BadCall(f"The mask '{name}' belongs to another image. Draw masks on their own image.")


def _shown_box(overlays: Sequence[BoolArray], grid: Grid) -> Box:
    found = [box for box in (Box.of(mask) for mask in overlays) if box is not None]
    if not found:
        raise BadCall("There is no mask to zoom to. Name masks that mark something, or draw without zoom.")
    spacing = grid.spacing_mm if grid.spacing_known else (1.0, 1.0, 1.0)
    around = [int(np.ceil(ZOOM_MM / mm)) for mm in spacing]
    start = [max(0, min(box.start[n] for box in found) - around[n]) for n in range(3)]
    stop = [min(grid.shape[n], max(box.stop[n] for box in found) + around[n]) for n in range(3)]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _places(overlays: Sequence[BoolArray], plane: Plane, box: Box, asked: int | None, count: int) -> tuple[int, ...]:
    """Slices to draw: the one asked for, the one that shows most of the masks, or several through them."""
    axis, low, high = plane.axis, box.start[plane.axis], box.stop[plane.axis]
    if asked is not None:
        if not low <= asked < high:
            name = next(name for name, one in PLANES.items() if one is plane)
            raise BadCall(f"Slice {asked} is outside the picture. The {name} view has slices {low} to {high - 1}.")
        return (asked,)
    areas = [mask.sum(axis=tuple(a for a in range(3) if a != axis)) for mask in overlays]
    shown = sum((area / max(1, area.max()) for area in areas), np.zeros(high) if not areas else 0 * areas[0])
    if count == 1:
        return (int(shown.argmax()) if shown.any() else (low + high) // 2,)
    held = np.flatnonzero(shown) if shown.any() else np.arange(low, high)
    picks = np.linspace(held[0], held[-1], count + 2)[1:-1]
    return tuple(int(n) for n in dict.fromkeys(np.round(picks).astype(int)))


def _picture(
    scan: npt.NDArray[np.generic],
    overlays: Sequence[BoolArray],
    plane: Plane,
    index: int,
    box: Box,
    grid: Grid,
    window: tuple[float, float],
    style: Style,
    width: int,
    *,
    note: bool,
) -> Image.Image:
    """One panel; for `WHOLE` the projection along the whole box. `grid` is the RAS array's, as the scan's own axes may be others."""
    inside = box.slices

    def seen(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        part = array[inside]
        if index != WHOLE:
            return cut(part, plane, index - box.start[plane.axis])
        return cut(part.max(axis=plane.axis, keepdims=True), plane, 0)

    spacing = grid.spacing_mm
    return panel(
        seen(scan),
        [seen(mask).astype(bool) for mask in overlays],
        plane,
        window=window,
        pixel_mm=(spacing[plane.across], spacing[plane.down]),
        width=width,
        style=style if index != WHOLE else "contour",
        ruler=grid.spacing_known,
        note=f"slice {index}" if note else "",
    )
