"""Numbers about a mask, each with its unit, or None with the reason it cannot be given.

Everything takes a mask or its region; cut a mask once (`Region.of`) and the rest is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..geometry import Box, reorient_array
from ..region import Region, slices
from ..volume import Grid, Mask, Volume
from .diameters import Diameters as Diameters
from .diameters import diameters as diameters
from .mesh import enclosed

NO_SPACING = "The image has no known voxel size, so nothing can be given in mm or ml."
NO_THICKNESS = "The slice's thickness is not known, so no volume can be given."
EMPTY = "The mask is empty."
FACES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))  # low and high end of R, A, S
MIDLINE_MM = 15.0  # a centroid this near the image's middle is not called left or right by position

_BOTH = 0.2


@dataclass(frozen=True)
class Intensity:
    """Grey values inside a mask, in the image's own unit (HU for CT)."""

    mean: float
    sd: float
    minimum: float
    p5: float
    median: float
    p95: float
    maximum: float


@dataclass(frozen=True)
class Surface:
    """From a mesh half-way between inside and outside voxels, the IBSI's convention.

    Attributes:
        volume_ml: enclosed volume. The mesh cuts the corners of voxels: for balls of 6, 10 and 16 mm on
            0.7 x 0.9 x 1.6 mm voxels it is 6, 2 and 1 % below the true volume, the voxel count on average right.
        area_cm2: of the mesh; steps of the voxels make it some 8 % too large for smooth bodies.
        sphericity: 1 for a ball, less for anything else; about 0.92 for a ball made of voxels.
    """

    volume_ml: float
    area_cm2: float
    sphericity: float


@dataclass(frozen=True)
class LevelArea:
    """Area of a structure in one axial slice.

    Attributes:
        slice_index: along the grid's most axial axis.
        at_edge: the structure reaches the slice's edge, so the area is a lower bound.
    """

    area_cm2: float
    slice_index: int
    at_edge: bool


def volume_ml(mask: Mask | Region) -> float | None:
    """Volume in millilitres, exact for oblique and sheared grids; None without voxel size."""
    voxels = mask.voxels if isinstance(mask, Region) else int(np.count_nonzero(mask.array))
    return voxels * mask.grid.voxel_ml if mask.grid.volume_known else None


def surface(mask: Mask | Region) -> Surface | None:
    """Volume and area between the voxels; None when empty, in one slice, or without voxel size."""
    region = Region.of(mask)
    if region.box is None or region.grid.is_2d or not region.grid.spacing_known:
        return None
    found = enclosed(region.array, region.axes_mm)
    ball = (36 * np.pi * found.volume_mm3**2) ** (1 / 3)
    return Surface(found.volume_mm3 / 1000, found.area_mm2 / 100, ball / found.area_mm2)


FILLED = 0.1  # share of the first plane behind padding that is not the padding's value; caps of bodies fill less


def truncated_faces(mask: Mask | Region, image: Volume | None = None) -> tuple[str, ...]:
    """Sides of the scan the mask touches, as the patient sees them: "left", "superior", ...

    There the structure may go on outside the scan, so its volume is a lower bound.

    Args:
        image: if given, rows of constant padding at its ends count as outside the scan.
    """
    region = Region.of(mask)
    if region.box is None:
        return ()
    _array, turned = reorient_array(region.array, region.grid_of_box, "RAS")
    place = np.linalg.inv(region.grid.affine) @ turned.affine  # index in the turned box -> index of the scan
    touched = []
    for axis, names in enumerate(FACES):
        source = int(np.abs(place[:3, axis]).argmax())
        length = region.grid.shape[source]
        if length == 1:
            continue  # a single slice says nothing about its own thickness
        low, high = _seen(image, source, length)
        ends = (region.box.start[source] <= low, region.box.stop[source] >= high)
        forward = place[source, axis] > 0
        touched += [name for name, at in zip(names, ends if forward else ends[::-1], strict=True) if at]
    return tuple(touched)


def _seen(image: Volume | None, axis: int, length: int) -> tuple[int, int]:
    """First and one-past-last plane that is not constant padding.

    Behind padding the scan begins with a plane that is well filled; a body that stands free in a constant ground, as a brain
    without its skull does, begins with a few voxels, and then the ground belongs to the scan.
    """
    if image is None:
        return 0, length
    planes = np.moveaxis(image.array, axis, 0)  # a view; np.take would copy the whole scan first

    def varies(n: int) -> bool:
        return bool(planes[n].min() != planes[n].max())

    def is_filled(n: int, ground: int) -> bool:
        return float((planes[n] != planes[ground].flat[0]).mean()) >= FILLED

    low = next((n for n in range(length) if varies(n)), None)
    if low is None:
        return 0, length
    high = next(n for n in range(length, 0, -1) if varies(n - 1))
    return (
        low if low and is_filled(low, low - 1) else 0,
        high if high < length and is_filled(high - 1, high) else length,
    )


def centroid_mm(mask: Mask | Region) -> tuple[float, float, float] | None:
    """Centre of mass in patient space, RAS+ mm; None when empty or without voxel size."""
    region = Region.of(mask)
    if not region.grid.spacing_known or region.box is None:
        return None
    x, y, z = (region.grid.affine @ [*region.centre_index, 1])[:3]
    return float(x), float(y), float(z)


def bounding_box(mask: Mask | Region) -> Box | None:
    """Voxel indices around the mask; None when empty."""
    return Region.of(mask).box


def side(mask: Mask | Region) -> str | None:
    """ "left", "right" or "midline", from where the centroid lies between the scan's left and right face.

    The scan's middle stands for the patient's; a scan of one half of the body misleads it.
    None when empty.
    """
    region = Region.of(mask)
    if region.box is None:
        return None
    axis = next(a for a, code in enumerate(region.grid.axis_codes) if code in "RL")
    length = region.grid.shape[axis]
    off = float(region.centre_index[axis]) - (length - 1) / 2
    away = off if region.grid.axis_codes[axis] == "R" else -off
    if region.grid.spacing_known:
        away, margin = away * region.grid.spacing_mm[axis], MIDLINE_MM
    else:
        margin = 0.03 * length
    return "midline" if abs(away) <= margin else "right" if away > 0 else "left"


def holds_both_sides(mask: Mask | Region) -> bool:
    """Whether at least a fifth of the mask lies on either side of the scan's middle between left and right.

    One organ of a pair does not; a part that does may be both, grown together. The share is our choice.
    """
    region = Region.of(mask)
    if region.box is None:
        return False
    axis = next(a for a, code in enumerate(region.grid.axis_codes) if code in "RL")
    place = np.arange(region.array.shape[axis]) + region.start[axis]
    low = int(region.lines[axis][place < (region.grid.shape[axis] - 1) / 2].sum())
    return min(low, region.voxels - low) >= _BOTH * region.voxels


def part_count(mask: Mask | Region) -> int:
    """Connected parts (26 neighbours)."""
    region = Region.of(mask)
    if region.box is None:
        return 0
    _parts, count = cc3d.connected_components(region.array, return_N=True)
    return int(count)


def intensity(mask: Mask | Region, volume: Volume) -> Intensity | None:
    """Grey values inside the mask; None when it is empty.

    Raises:
        BadCall: mask and image lie on different grids.
    """
    region = Region.of(mask)
    if not region.grid.same_as(volume.grid):
        raise BadCall("The mask and the image lie on different grids. Measure a mask on its own image.")
    if region.box is None:
        return None
    values = volume.array[slices(region.box)][region.array]
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        return _counted(values)
    exact = np.asarray(values, dtype=np.float64)
    low, p5, median, p95, high = np.percentile(exact, (0, 5, 50, 95, 100))
    return Intensity(float(exact.mean()), float(exact.std()), *(float(v) for v in (low, p5, median, p95, high)))


def _counted(values: npt.NDArray[np.generic]) -> Intensity:
    """The same numbers from a histogram: exact for whole numbers, and much faster for many."""
    least = int(values.min())
    counts = np.bincount(values.astype(np.int32) - least)
    grey = np.arange(least, least + len(counts), dtype=np.float64)
    total = len(values)
    mean = float(counts @ grey) / total
    reached = np.cumsum(counts)

    def percentile(share: float) -> float:
        place = share * (total - 1)
        lower, upper = (grey[np.searchsorted(reached, rank, side="right")] for rank in (int(place), -int(-place // 1)))
        return float(lower + (upper - lower) * (place - int(place)))

    sd = float(np.sqrt(counts @ (grey - mean) ** 2 / total))
    return Intensity(mean, sd, float(least), percentile(0.05), percentile(0.5), percentile(0.95), float(grey[-1]))


def area_at_level(mask: Mask | Region, level: Mask | Region) -> LevelArea | None:
    """Area of a tissue, say muscle, in the axial slice through the middle of another structure, say a vertebra.

    None without voxel size or when `level` is empty.

    Raises:
        BadCall: different grids.
    """
    region, across = Region.of(mask), Region.of(level)
    if not region.grid.same_as(across.grid):
        raise BadCall("The mask and the level's mask lie on different grids. Use masks of one image.")
    if across.box is None or not region.grid.spacing_known:
        return None
    axial = region.axial_axis
    place = round(float(across.centre_index[axial]))
    one, two = (region.axes_mm[:, a] for a in range(3) if a != axial)
    if region.box is None or not region.box.start[axial] <= place < region.box.stop[axial]:
        return LevelArea(0.0, place, False)
    plane = np.moveaxis(region.array, axial, 0)[place - region.start[axial]]
    area = int(np.count_nonzero(plane)) * float(np.linalg.norm(np.cross(one, two))) / 100
    rows, columns = np.nonzero(plane)
    inside = [a for a in range(3) if a != axial]
    at_edge = any(
        index.size and (index.min() + region.start[a] == 0 or index.max() + region.start[a] == region.grid.shape[a] - 1)
        for a, index in zip(inside, (rows, columns), strict=True)
    )
    return LevelArea(area, place, bool(at_edge))


def no_number(mask: Mask | Region) -> str | None:
    """Why lengths and volumes of this mask cannot be given, or None when they can."""
    if not (mask.voxels if isinstance(mask, Region) else mask.array.any()):
        return EMPTY
    return NO_SPACING if not mask.grid.spacing_known else None if mask.grid.thickness_known else NO_THICKNESS


def covered_mm(grid: Grid) -> tuple[float, float, float]:
    """Field of view along the grid's x, y, z in mm."""
    x, y, z = (n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    return x, y, z
