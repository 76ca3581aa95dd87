"""Numbers about a mask, each with its unit, or None with the reason it cannot be given."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError
from skimage.measure import find_contours, marching_cubes

from .errors import BadCall
from .geometry import Box, reorient_array, reorient_mask
from .volume import BoolArray, Grid, Mask, Volume

NO_SPACING = "The image has no known voxel size, so nothing can be given in mm or ml."
EMPTY = "The mask is empty."
FACES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))  # low and high end of R, A, S
MIDLINE_MM = 15.0  # a centroid this near the image's middle is not called left or right by position


@dataclass(frozen=True)
class Diameters:
    """Lengths in mm, between the outlines (not voxel centres).

    Attributes:
        longest_axial_mm: greatest length within one axial slice.
        perpendicular_mm: greatest length at right angles to it, in that slice.
        longest_3d_mm: greatest length in space.
        slice_index: which slice along the grid's most axial axis holds the first two.
    """

    longest_axial_mm: float
    perpendicular_mm: float
    longest_3d_mm: float
    slice_index: int


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


def volume_ml(mask: Mask) -> float | None:
    """Volume in millilitres, exact for oblique and sheared grids; None without voxel size."""
    return int(mask.array.sum()) * mask.grid.voxel_ml if mask.grid.spacing_known else None


def truncated_faces(mask: Mask, image: Volume | None = None) -> tuple[str, ...]:
    """Sides of the scan the mask touches, as the patient sees them: "left", "superior", ...

    There the structure may go on outside the scan, so its volume is a lower bound.

    Args:
        image: if given, rows of constant padding at its ends count as outside the scan.
    """
    array, _grid = reorient_array(mask.array, mask.grid, "RAS")
    scan = None if image is None else reorient_array(image.array, image.grid, "RAS")[0]
    touched = []
    for axis, names in enumerate(FACES):
        if array.shape[axis] == 1:
            continue  # a single slice says nothing about its own thickness
        low, high = _seen(scan, axis, array.shape[axis])
        lines = np.asarray(array.any(axis=tuple(a for a in range(3) if a != axis)))
        if lines[: low + 1].any():
            touched.append(names[0])
        if lines[high - 1 :].any():
            touched.append(names[1])
    return tuple(touched)


def _seen(scan: npt.NDArray[np.generic] | None, axis: int, length: int) -> tuple[int, int]:
    """First and one-past-last plane that is not constant padding."""
    if scan is None:
        return 0, length
    planes = np.moveaxis(scan, axis, 0)
    varied = (n for n in range(length) if planes[n].min() != planes[n].max())
    low = next(varied, None)
    if low is None:
        return 0, length
    return low, next(n for n in range(length - 1, -1, -1) if planes[n].min() != planes[n].max()) + 1


def centroid_mm(mask: Mask) -> tuple[float, float, float] | None:
    """Centre of mass in patient space, RAS+ mm; None when empty or without voxel size."""
    if not mask.grid.spacing_known or not mask.array.any():
        return None
    index = np.argwhere(mask.array).mean(axis=0)
    x, y, z = (mask.grid.affine @ [*index, 1])[:3]
    return float(x), float(y), float(z)


def bounding_box(mask: Mask) -> Box | None:
    """Voxel indices around the mask; None when empty."""
    return Box.of(mask.array)


def side(mask: Mask) -> str | None:
    """ "left", "right" or "midline", from where the centroid lies between the scan's left and right face.

    The scan's middle stands for the patient's; a scan of one half of the body misleads it.
    None when empty.
    """
    found = reorient_mask(mask, "RAS")
    if not found.array.any():
        return None
    centre = float(np.argwhere(found.array.any(axis=(1, 2))).mean())
    middle = (found.array.shape[0] - 1) / 2
    away = (centre - middle) * found.grid.spacing_mm[0]
    margin = MIDLINE_MM if found.grid.spacing_known else 0.03 * found.array.shape[0]
    return "midline" if abs(away) <= margin else "right" if away > 0 else "left"


def part_count(mask: Mask) -> int:
    """Connected parts (26 neighbours)."""
    _parts, count = cc3d.connected_components(np.ascontiguousarray(mask.array), return_N=True)
    return int(count)


def intensity(mask: Mask, volume: Volume) -> Intensity | None:
    """Grey values inside the mask; None when it is empty.

    Raises:
        BadCall: mask and image lie on different grids.
    """
    if not mask.grid.same_as(volume.grid):
        raise BadCall("The mask and the image lie on different grids. Measure a mask on its own image.")
    values = np.asarray(volume.array[mask.array], dtype=np.float64)
    if not values.size:
        return None
    low, p5, median, p95, high = np.percentile(values, (0, 5, 50, 95, 100))
    return Intensity(float(values.mean()), float(values.std()), *(float(v) for v in (low, p5, median, p95, high)))


def diameters(mask: Mask) -> Diameters | None:
    """RECIST-like and 3-D diameters; None when empty or without voxel size."""
    box = Box.of(mask.array, margin=0)
    if box is None or not mask.grid.spacing_known:
        return None
    cut = mask.array[tuple(slice(a, b) for a, b in zip(box.start, box.stop, strict=True))]
    padded = np.pad(cut, 1)
    linear = mask.grid.affine[:3, :3]
    axial = int(np.abs(linear[2] / np.linalg.norm(linear, axis=0)).argmax())
    best = (0.0, 0.0, 0)
    for n in range(1, padded.shape[axial] - 1):
        outline = _outline_mm(np.take(padded, n, axis=axial), linear[:, [a for a in range(3) if a != axial]])
        longest, across = _longest_and_across(outline)
        if longest > best[0]:
            best = (longest, across, n - 1 + box.start[axial])
    corners, _faces, _normals, _values = marching_cubes(padded.astype(np.float32), 0.5)
    return Diameters(best[0], best[1], _greatest_distance(corners @ linear.T), best[2])


def _outline_mm(plane: BoolArray, axes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points half-way between inside and outside voxel centres, (n 3) in mm."""
    lines = find_contours(plane.astype(np.float32), 0.5)
    if not lines:
        return np.zeros((0, 3))
    points: npt.NDArray[np.float64] = np.concatenate(lines) @ axes.T
    return points


def _longest_and_across(points: npt.NDArray[np.float64]) -> tuple[float, float]:
    if len(points) < 3:
        return 0.0, 0.0
    flat = points - points.mean(axis=0)
    _u, _s, vt = np.linalg.svd(flat, full_matrices=False)
    plane = _hull(flat @ vt[:2].T)
    gaps = plane[:, None] - plane[None]
    lengths = np.linalg.norm(gaps, axis=-1)
    i, j = np.unravel_index(int(lengths.argmax()), lengths.shape)
    direction = gaps[i, j] / lengths[i, j]
    across = plane @ np.array([-direction[1], direction[0]])
    return float(lengths[i, j]), float(np.ptp(across))


def _greatest_distance(points: npt.NDArray[np.float64]) -> float:
    hull = _hull(points)
    return max(float(np.linalg.norm(hull - point, axis=1).max()) for point in hull)


def _hull(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    try:
        corners: npt.NDArray[np.float64] = points[ConvexHull(points).vertices]
    except QhullError:  # all in one line or plane
        return points
    return corners


def no_number(mask: Mask) -> str | None:
    """Why lengths and volumes of this mask cannot be given, or None when they can."""
    if not mask.array.any():
        return EMPTY
    return None if mask.grid.spacing_known else NO_SPACING


def covered_mm(grid: Grid) -> tuple[float, float, float]:
    """Field of view along the grid's x, y, z in mm."""
    x, y, z = (n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    return x, y, z
