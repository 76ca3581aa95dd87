"""Lengths of a mask: RECIST 1.1 diameters in an axial slice, and the greatest length in space.

The outline runs half-way between the centres of inside and outside voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import skimage

from ..region import Region
from ..volume import BoolArray, Mask
from .mesh import greatest_distance, hull

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Diameters:
    """Lengths in mm, between the outlines (not voxel centres).

    Attributes:
        longest_axial_mm: greatest length within one axial slice.
        perpendicular_mm: longest line at right angles to it with both ends on that slice's outline.
        longest_3d_mm: greatest length in space.
        slice_index: which slice along the grid's most axial axis holds the first two.
    """

    longest_axial_mm: float
    perpendicular_mm: float
    longest_3d_mm: float
    slice_index: int


def diameters(mask: Mask | Region) -> Diameters | None:
    """RECIST and 3-D diameters; None when empty or without voxel size.

    Source: Eisenhauer et al. 2009 (RECIST 1.1): the longest diameter in the plane of measurement, and
    for nodes the short axis at right angles to it.
    """
    region = Region.of(mask)
    if region.box is None or not region.grid.spacing_known:
        return None
    axial = region.axial_axis
    planes = np.moveaxis(region.array, axial, 0)
    axes_mm = region.axes_mm[:, [a for a in range(3) if a != axial]]
    flat = _flattened(axes_mm)
    longest, place = 0.0, 0
    edges = _outer_edges(planes)
    reach = [float(np.linalg.norm(np.ptp(edge @ flat.T, axis=0))) if len(edge) else 0.0 for edge in edges]
    for n in np.argsort(reach)[::-1]:
        if reach[n] <= longest:
            break
        length = greatest_distance(edges[n] @ flat.T)
        if length > longest:
            longest, place = length, int(n)
    return Diameters(
        longest_axial_mm=longest,
        perpendicular_mm=perpendicular(planes[place], flat),
        longest_3d_mm=greatest_distance(outer_points(region.array) @ region.axes_mm.T),
        slice_index=place + region.start[axial],
    )


def _flattened(axes_mm: Points) -> Points:
    """(2 2): the plane's axes (3 2) seen in the plane, lengths and angle kept."""
    _q, r = np.linalg.qr(axes_mm)
    return np.asarray(r, dtype=np.float64)


def _outer_edges(planes: BoolArray) -> list[Points]:
    """For each plane the outline points that can be farthest apart: first and last along rows and columns."""
    found: list[list[Points]] = [[] for _ in planes]
    for axis in (1, 2):
        for place, line, end in _ends(planes, axis):
            points = np.stack([end, line] if axis == 1 else [line, end], axis=1)
            cuts = np.flatnonzero(np.diff(place)) + 1
            for n, part in zip(place[np.r_[0, cuts]], np.split(points, cuts), strict=True):
                found[int(n)].append(part)
    return [np.concatenate(parts) if parts else np.zeros((0, 2)) for parts in found]


def _ends(array: BoolArray, axis: int) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Points]]:
    """First and last outline point along an axis, for every line that has any; the other two indices with it."""
    lines = array.any(axis=axis)
    one, two = np.nonzero(lines)
    first = array.argmax(axis=axis)[one, two]
    last = array.shape[axis] - 1 - np.flip(array, axis).argmax(axis=axis)[one, two]
    return [(one, two, first - 0.5), (one, two, last + 0.5)]


def outer_points(array: BoolArray, axes: Sequence[int] = (0, 1, 2)) -> Points:
    """Outline points that can be farthest apart in space, as indices (n 3), on faces across these axes."""
    found = []
    for axis in axes:
        for one, two, end in _ends(array, axis):
            columns: list[npt.NDArray[np.generic]] = [one, two]
            columns.insert(axis, end)
            found.append(np.stack(columns, axis=1))
    points: Points = np.concatenate(found).astype(np.float64)
    return points


def perpendicular(plane: BoolArray, axes_mm: Points) -> float:
    """Longest line across a plane's longest diameter, both ends on the outline, in mm.

    Args:
        plane: (rows columns), not empty.
        axes_mm: (2 2), columns are one voxel step.
    """
    lines = [line @ axes_mm.T for line in skimage.measure.find_contours(np.pad(plane, 1).astype(np.float32), 0.5)]
    corners = hull(np.concatenate(lines))
    gaps = corners[:, None] - corners[None]
    lengths = np.linalg.norm(gaps, axis=-1)
    i, j = np.unravel_index(int(lengths.argmax()), lengths.shape)
    along = gaps[i, j] / lengths[i, j]
    turn = np.stack([along, (-along[1], along[0])])
    starts = np.concatenate([line[:-1] for line in lines]) @ turn.T
    stops = np.concatenate([line[1:] for line in lines]) @ turn.T
    return _longest_chord(starts, stops)


def _longest_chord(starts: Points, stops: Points) -> float:
    """Greatest second coordinate minus least, over all lines of one first coordinate through the outline.

    The outline is made of straight pieces, so the greatest chord begins or ends at a corner.
    """
    best = 0.0
    run = stops[:, 0] - starts[:, 0]
    low, high = np.minimum(starts[:, 0], stops[:, 0]), np.maximum(starts[:, 0], stops[:, 0])
    for place in np.unique(np.round(starts[:, 0], 9)):
        hit = (low <= place + 1e-9) & (high >= place - 1e-9)
        steep = np.abs(run[hit]) > 1e-12
        share = np.divide(place - starts[hit, 0], run[hit], out=np.zeros(len(steep)), where=steep)
        across = starts[hit, 1] + np.clip(share, 0, 1) * (stops[hit, 1] - starts[hit, 1])
        ends = np.concatenate([across, stops[hit, 1][~steep]])
        best = max(best, float(np.ptp(ends)))
    return best
