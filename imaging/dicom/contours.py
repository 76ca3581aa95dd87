"""Outlines of masks, slice by slice, and back: the geometry of RTSTRUCT.

Outlines run half-way between inside and outside voxel centres, so that filling them gives the
same voxels again. A hole is joined to its outline by a keyhole: one closed line that walks into
the hole and back over the same bridge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from ..volume import BoolArray

Polygon = npt.NDArray[np.float64]
"""Corners (n 2) in voxels, x then y; the last joins the first."""
_CHOICES = 8  # corners of the outline tried per corner of the hole
_CLEAR = 0.05  # voxels; far above rounding in the file, far below the half voxel of a corner
_SMALLEST_AREA = 1e-3  # voxels; a single voxel's outline has 0.5


@dataclass(frozen=True)
class SliceOutlines:
    """Closed outlines of one slice, holes joined by keyholes.

    Attributes:
        dropped: outlines left out because they enclose nothing.
        holes: how many were joined.
    """

    polygons: tuple[Polygon, ...]
    dropped: int
    holes: int


def outline(inside: BoolArray) -> SliceOutlines:
    """Outlines of a slice (x y); outer ones run against the clock (x right, y up), holes with it."""
    from skimage.measure import find_contours

    padded = np.pad(inside, 1).astype(np.float32)
    # "high": outer outlines run against the clock around what is inside.
    found = [_simplified(line[:-1] - 1) for line in find_contours(padded, 0.5, positive_orientation="high")]
    return joined(found)


def joined(lines: Sequence[Polygon]) -> SliceOutlines:
    """Sound outlines with their holes joined; lines that enclose nothing are dropped and counted."""
    sound = [line for line in lines if not is_degenerate(line)]
    solid = [line for line in sound if signed_area(line) > 0]
    holes = [line for line in sound if signed_area(line) < 0]
    whole = [_with_keyholes(outer, own) for outer, own in _holes_of(solid, holes)]
    return SliceOutlines(tuple(whole), len(lines) - len(sound), len(holes))


def is_degenerate(polygon: Polygon) -> bool:
    """True for a line that encloses nothing: fewer than three different corners, or no area."""
    return len(np.unique(polygon, axis=0)) < 3 or abs(signed_area(polygon)) < _SMALLEST_AREA


def signed_area(polygon: Polygon) -> float:
    """Area in voxels, positive when the corners run against the clock (x right, y up)."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def fill(polygons: Sequence[Polygon], shape: tuple[int, int]) -> BoolArray:
    """Voxels (x y) whose centre lies inside, by the even-odd rule over all polygons together.

    Keyhole bridges are walked twice and cancel out; outlines within outlines become holes.
    """
    toggles = np.zeros((shape[0] + 1, shape[1]), dtype=np.uint8)
    for polygon in polygons:
        start, stop = polygon, np.roll(polygon, -1, axis=0)
        # Rows low .. high - 1 are crossed; those outside are not counted out, for a corner may lie anywhere.
        low = np.clip(np.ceil(np.minimum(start[:, 1], stop[:, 1])), 0, shape[1]).astype(np.int64)
        high = np.clip(np.ceil(np.maximum(start[:, 1], stop[:, 1])), 0, shape[1]).astype(np.int64)
        counts = np.maximum(high - low, 0)
        edge = np.repeat(np.arange(len(polygon)), counts)
        rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + low[edge]
        slope = (stop[edge, 0] - start[edge, 0]) / (stop[edge, 1] - start[edge, 1])
        crossing = start[edge, 0] + (rows - start[edge, 1]) * slope
        columns = np.clip(np.ceil(crossing), 0, shape[0]).astype(np.int64)
        np.add.at(toggles, (columns, rows), 1)
    inside: BoolArray = (np.cumsum(toggles[:-1], axis=0, dtype=np.uint32) % 2).astype(np.bool_)
    return inside


def _simplified(polygon: Polygon) -> Polygon:
    """Without corners on a straight line between their neighbours."""
    before, after = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    bends = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    return polygon[bends]


def _holes_of(solid: list[Polygon], holes: list[Polygon]) -> list[tuple[Polygon, list[Polygon]]]:
    """Each outer outline with the holes whose smallest surrounding outline it is."""
    owned: list[list[Polygon]] = [[] for _ in solid]
    areas = [abs(signed_area(outer)) for outer in solid]
    for hole in holes:
        around = [n for n, outer in enumerate(solid) if areas[n] > abs(signed_area(hole)) and holds(outer, hole[0])]
        owned[min(around, key=lambda n: areas[n])].append(hole)
    return list(zip(solid, owned, strict=True))


def holds(polygon: Polygon, point: npt.NDArray[np.float64]) -> bool:
    """Whether a point (x y) lies inside, by counting crossings."""
    start, stop = polygon, np.roll(polygon, -1, axis=0)
    y = point[1] + 1e-4  # no corner lies on this line
    crossed = (start[:, 1] > y) != (stop[:, 1] > y)
    a, b = start[crossed], stop[crossed]
    x = a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    return bool((x > point[0]).sum() % 2)


def _with_keyholes(outer: Polygon, holes: list[Polygon]) -> Polygon:
    """One closed line: each hole is joined over a short bridge, nearest hole first, so bridges cross no hole."""
    line, left = outer, list(holes)
    while left:
        bridges = [(*_bridge(line, hole), number) for number, hole in enumerate(left)]
        _, start, corner, number = min(bridges)
        around = np.roll(left.pop(number), -corner, axis=0)
        line = np.concatenate([line[: start + 1], around, around[:1], line[start:]])
    return line


def _bridge(line: Polygon, hole: Polygon) -> tuple[float, int, int]:
    """The shortest bridge that keeps away from voxel centres: its length, and its corners on line and hole.

    A bridge is walked twice; a centre right on it might count as crossed once by a reader that rounds.
    """
    distances, nearest = scipy.spatial.cKDTree(line).query(hole, k=min(_CHOICES, len(line)))
    distances, nearest = distances.reshape(len(hole), -1), nearest.reshape(len(hole), -1)
    order = np.argsort(distances, axis=None, kind="stable")
    for place in order:
        corner, rank = divmod(int(place), distances.shape[1])
        start = int(nearest[corner, rank])
        if _clearance(line[start], hole[corner]) > _CLEAR:
            return float(distances[corner, rank]), start, corner
    corner, rank = divmod(int(order[0]), distances.shape[1])
    return float(distances[corner, rank]), int(nearest[corner, rank]), corner


def _clearance(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Distance of the nearest voxel centre to a straight line between two corners, in voxels."""
    low, high = np.floor(np.minimum(a, b)).astype(int), np.ceil(np.maximum(a, b)).astype(int)
    x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1), indexing="ij")
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    along = b - a
    share = np.clip((centres - a) @ along / max(float(along @ along), 1e-12), 0, 1)
    return float(np.linalg.norm(centres - (a + share[:, None] * along), axis=1).min())
