"""Fat and muscle in one axial slice, told apart by their Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from ..region import Region
from ..volume import BoolArray, Volume
from .estimates import SHARE, Estimate, NoNumberError, outer_faces

# Source: Mitsiopoulos et al. 1998, J Appl Physiol 85:115 (muscle, adipose tissue); Prado et al. 2008, Lancet Oncol 9:629.
FAT_HU = (-190.0, -30.0)
MUSCLE_HU = (-29.0, 150.0)
_BODY_HU = -300.0  # our choice: between lung or air and fat
_TABLE_MM = 4.0  # our choice: sheets and straps thinner than twice this are no body


@dataclass(frozen=True)
class Tissue:
    """Areas in one slice, cm2.

    Attributes:
        at_edge: what was looked at reaches the slice's edge, so the areas are lower bounds.
    """

    fat: Estimate
    muscle: Estimate
    looked_at: Estimate
    slice_index: int
    at_edge: bool


def tissue_areas(image: Volume, slice_index: int, within: tuple[Region, ...] = ()) -> Tissue:
    """Areas of fat (-190 to -30 HU) and of muscle's range (-29 to 150 HU) in an axial slice of a CT in HU.

    The second holds organs, blood and marrow of that range, too, unless `within` are masks of muscle.

    Args:
        slice_index: along the grid's most axial axis.
        within: masks to look into; without any, the body: the largest piece denser than -300 HU, its holes closed.

    Raises:
        NoNumberError: no voxel size, no such slice, or nothing of the body or of the masks in it.
    """
    grid = image.grid
    if not grid.spacing_known:
        raise NoNumberError("The image has no known voxel size, so nothing can be given in cm2.")
    whole = Region(np.zeros((1, 1, 1), dtype=np.bool_), None, grid)
    axial = whole.axial_axis
    if not 0 <= slice_index < grid.shape[axial]:
        raise NoNumberError(f"Slice {slice_index} is outside the scan, which has 0 to {grid.shape[axial] - 1}.")
    one, two = (whole.axes_mm[:, a] for a in range(3) if a != axial)
    pixel_cm2 = float(np.linalg.norm(np.cross(one, two))) / 100
    greys = np.asarray(np.take(image.array, slice_index, axis=axial), dtype=np.float64)
    steps = [grid.spacing_mm[a] for a in range(3) if a != axial]
    inside = _in_slice(within, axial, slice_index, greys.shape) if within else _body(greys, steps)
    if not inside.any():
        raise NoNumberError(f"Slice {slice_index} holds nothing of {'the masks' if within else 'a body'}.")
    fat, muscle = (inside & (greys >= low) & (greys <= high) for low, high in (FAT_HU, MUSCLE_HU))
    edge = inside[[0, -1]].any() or inside[:, [0, -1]].any()
    areas = [_area(part, pixel_cm2) for part in (fat, muscle, inside)]
    return Tissue(areas[0], areas[1], areas[2], slice_index, bool(edge))


def _area(part: BoolArray, pixel_cm2: float) -> Estimate:
    """An area whose border may lie half a pixel further in or out; see `volume_by_border`."""
    area = int(np.count_nonzero(part)) * pixel_cm2
    shift = SHARE * outer_faces(part) / 2 * pixel_cm2
    return Estimate(area, max(0.0, area - shift), area + shift)


def _in_slice(within: tuple[Region, ...], axial: int, index: int, shape: tuple[int, ...]) -> BoolArray:
    inside = np.zeros(shape, dtype=np.bool_)
    for region in within:
        at = index - region.start[axial]
        if region.box is None or not 0 <= at < region.array.shape[axial]:
            continue
        place = tuple(slice(region.box.start[a], region.box.stop[a]) for a in range(3) if a != axial)
        inside[place] |= np.take(region.array, at, axis=axial)
    return inside


def _body(greys: np.ndarray[tuple[int, ...], np.dtype[np.float64]], steps_mm: list[float]) -> BoolArray:
    """The largest piece of a slice that is no air, without what is thin (table, sheets), holes closed."""
    dense = np.pad(greys > _BODY_HU, 1, mode="edge")  # a body that the edge cuts is not eaten there
    solid = scipy.ndimage.distance_transform_edt(dense, sampling=steps_mm) > _TABLE_MM
    away = (
        scipy.ndimage.distance_transform_edt(~solid, sampling=steps_mm) if solid.any() else np.full(dense.shape, np.inf)
    )
    opened = (dense & (away <= _TABLE_MM + max(steps_mm)))[1:-1, 1:-1]
    labels, count = scipy.ndimage.label(opened)
    if count == 0:
        return np.zeros(greys.shape, dtype=np.bool_)
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    filled: BoolArray = scipy.ndimage.binary_fill_holes(labels == largest)
    return filled
