"""Texture matrices of a region whose grey levels are whole numbers from 1, 0 outside.

Levels are arrays (x y z); a slice for the 2-D kinds is an array of one plane. Neighbours are at
Chebyshev distance 1.

Source: Zwanenburg et al., IBSI reference manual (arXiv 1612.07003), sections 3.6 to 3.11.
"""

from __future__ import annotations

from itertools import product
from typing import TypeVar

import cc3d
import numpy as np
import numpy.typing as npt
import scipy

from ..volume import BoolArray
from .zones import GroupMatrix

Levels = npt.NDArray[np.int32]
Direction = tuple[int, int, int]
N = TypeVar("N", bound=np.generic)

# One of each pair of opposite neighbours, in the plane and in space.
IN_PLANE: tuple[Direction, ...] = ((1, 0, 0), (0, 1, 0), (1, 1, 0), (1, -1, 0))
IN_SPACE: tuple[Direction, ...] = tuple((x, y, z) for x, y, z in product((-1, 0, 1), repeat=3) if (x, y, z) > (0, 0, 0))


def _pair(levels: npt.NDArray[N], step: Direction) -> tuple[npt.NDArray[N], npt.NDArray[N]]:
    """Two views: every voxel, and its neighbour one step on, where both lie in the array."""
    here, there = [], []
    for size, move in zip(levels.shape, step, strict=True):
        here.append(slice(max(0, -move), size - max(0, move)))
        there.append(slice(max(0, move), size - max(0, -move)))
    return levels[tuple(here)], levels[tuple(there)]


def cooccurrence(levels: Levels, step: Direction, count: int) -> npt.NDArray[np.float64]:
    """How often two levels lie side by side along a direction, both ways: (count count), symmetric."""
    one, other = _pair(levels, step)
    both = (one > 0) & (other > 0)
    codes = (one[both] - 1) * count + (other[both] - 1)
    pairs = np.bincount(codes, minlength=count * count).reshape(count, count).astype(np.float64)
    symmetric: npt.NDArray[np.float64] = pairs + pairs.T
    return symmetric


def runs(levels: Levels, step: Direction) -> GroupMatrix:
    """Runs of equal level along a direction.

    Plane after plane, a run either goes on from its neighbour one step back or that one has ended.
    """
    axis = next(a for a in range(3) if step[a])
    planes = np.moveaxis(levels, axis, 0)
    sideways = tuple(m for a, m in enumerate(step) if a != axis)
    if step[axis] < 0:
        sideways = (-sideways[0], -sideways[1])
    before = np.zeros(planes.shape[1:], dtype=np.int32)
    length = np.zeros_like(before)
    ended_levels, ended_lengths = [], []
    for plane in [*planes, np.zeros_like(before)]:
        moved, moved_length = _moved(before, sideways), _moved(length, sideways)
        goes_on = (plane > 0) & (moved == plane)
        ended = (before > 0) & ~_moved(goes_on, (-sideways[0], -sideways[1]))
        ended_levels.append(before[ended])
        ended_lengths.append(length[ended])
        length = np.where(plane > 0, np.where(goes_on, moved_length + 1, 1), 0).astype(np.int32)
        before = plane
    voxels = int(np.count_nonzero(levels))
    return GroupMatrix.of(np.concatenate(ended_levels), np.concatenate(ended_lengths), voxels)


def _moved(plane: npt.NDArray[N], by: tuple[int, ...]) -> npt.NDArray[N]:
    """The plane shifted by whole steps, 0 where nothing comes from inside."""
    made = np.zeros_like(plane)
    source, target = [], []
    for size, move in zip(plane.shape, by, strict=True):
        source.append(slice(max(0, -move), size - max(0, move)))
        target.append(slice(max(0, move), size - max(0, -move)))
    made[tuple(target)] = plane[tuple(source)]
    return made


def size_and_distance_zones(levels: Levels, region: BoolArray, *, flat: bool) -> tuple[GroupMatrix, GroupMatrix]:
    """Zones of touching equal voxels: by their size, and by their distance to the region's border.

    Args:
        region: the shape whose border distances are counted to; levels may be 0 in parts of it.
        flat: the array is one slice; voxels touch and distances run within it.

    The distance counts steps over faces until the outside, so a border voxel has 1.
    """
    if flat:
        zones = cc3d.connected_components(np.ascontiguousarray(levels[:, :, 0]), connectivity=8)[:, :, None]
    else:
        zones = cc3d.connected_components(np.ascontiguousarray(levels), connectivity=26)
    inside = np.pad(region, ((1, 1), (1, 1), (0, 0) if flat else (1, 1)))
    steps = scipy.ndimage.distance_transform_cdt(inside[:, :, 0] if flat else inside, metric="taxicab")
    steps = steps[1:-1, 1:-1, None] if flat else steps[1:-1, 1:-1, 1:-1]
    found = levels > 0
    labels = zones[found].astype(np.int64)
    sizes = np.bincount(labels)[1:]
    level = np.zeros(len(sizes) + 1, dtype=np.int64)
    level[labels] = levels[found]
    nearest = np.full(len(sizes) + 1, np.iinfo(np.int64).max)
    np.minimum.at(nearest, labels, steps[found])
    voxels = int(found.sum())
    return GroupMatrix.of(level[1:], sizes, voxels), GroupMatrix.of(level[1:], nearest[1:], voxels)


def dependence(levels: Levels, *, flat: bool) -> GroupMatrix:
    """For each voxel how many neighbours have its level, itself counted."""
    equal = np.ones(levels.shape, dtype=np.int32)
    for step in IN_PLANE if flat else IN_SPACE:
        one, other = _pair(levels, step)
        same = (one == other) & (one > 0)
        first, second = _pair(equal, step)
        first += same
        second += same
    found = levels > 0
    return GroupMatrix.of(levels[found], equal[found], int(found.sum()))


def tone_differences(levels: Levels, count: int, *, flat: bool) -> npt.NDArray[np.float64]:
    """Per level: voxels with a neighbour, and the sum of their distances to the neighbours' mean; (count 2)."""
    total = np.zeros(levels.shape, dtype=np.int64)
    near = np.zeros(levels.shape, dtype=np.int32)
    for step in IN_PLANE if flat else IN_SPACE:
        one, other = _pair(levels, step)
        (first, second), (near_first, near_second) = _pair(total, step), _pair(near, step)
        first += other
        second += one
        near_first += other > 0
        near_second += one > 0
    used = (levels > 0) & (near > 0)
    level = levels[used]
    away = np.abs(level - total[used] / near[used])
    voxels = np.bincount(level - 1, minlength=count).astype(np.float64)
    sums = np.bincount(level - 1, weights=away, minlength=count)
    return np.stack([voxels, sums], axis=1)
