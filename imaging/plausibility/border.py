"""Does a mask end where its tissue ends? Looks at shells around its border and at flat ends.

An eroded mask has more of the same tissue outside; one cut in half ends in a plane where the tissue
goes on; a misplaced one has other tissue inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy

from ..geometry import Box
from ..region import Region, slices
from ..volume import BoolArray, Volume

MARGIN = 5  # voxels looked at around the mask
DEPTH = 4  # shells on either side of the border
LEAST_SHELL = 30  # voxels a shell needs to be judged
LEAST_PLANES = 4
LIKE_SD = 2.0  # grey values within this many robust sd of the inside count as the same tissue


@dataclass(frozen=True)
class Surroundings:
    """A mask with some room around it.

    Attributes:
        inside: (x y z) the mask.
        taken: voxels of other structures.
        grey: the scan there; None without an image.
        faces: per axis, whether the box's low and high end are the scan's own end.
    """

    inside: BoolArray
    taken: BoolArray
    grey: npt.NDArray[np.float32] | None
    faces: tuple[tuple[bool, bool], ...]

    @classmethod
    def of(cls, region: Region, image: Volume | None, others: Mapping[str, Region]) -> Surroundings:
        """Cut out of the scan; the region must not be empty."""
        assert region.box is not None
        shape = region.grid.shape
        start = tuple(max(0, a - MARGIN) for a in region.box.start)
        stop = tuple(min(n, b + MARGIN) for n, b in zip(shape, region.box.stop, strict=True))
        box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        taken = np.zeros(box.shape, dtype=np.bool_)
        for other in others.values():
            _add(taken, other, box)
        inside = np.zeros(box.shape, dtype=np.bool_)
        _add(inside, region, box)
        grey = None if image is None else np.asarray(image.array[slices(box)], dtype=np.float32)
        ends = tuple((a == 0, b == n) for a, b, n in zip(start, stop, shape, strict=True))
        return cls(inside, taken & ~inside, grey, ends)


def _add(into: BoolArray, region: Region, box: Box) -> None:
    if region.box is None:
        return
    low = [max(a, b) for a, b in zip(region.box.start, box.start, strict=True)]
    high = [min(a, b) for a, b in zip(region.box.stop, box.stop, strict=True)]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return
    target = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, box.start, strict=True))
    source = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, region.box.start, strict=True))
    into[target] |= region.array[source]


@dataclass(frozen=True)
class Alike:
    """Voxels whose grey value could belong to the mask's tissue.

    Attributes:
        voxels: (x y z).
        spread: robust sd of the tissue, in the image's unit.
    """

    voxels: BoolArray
    spread: float


def like_inside(around: Surroundings) -> Alike | None:
    """Voxels that look like the mask's inside; None without an image.

    The tissue's own values come from the deeper half of the mask, where borders do not blur them.
    """
    if around.grey is None:
        return None
    depth = scipy.ndimage.distance_transform_cdt(np.pad(around.inside, 1), metric="taxicab")[1:-1, 1:-1, 1:-1]
    deep = depth >= max(1.0, float(np.median(depth[around.inside])))
    values = around.grey[deep]
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))  # a normal's sd from its median deviation
    low, high = np.percentile(around.grey, (1, 99))
    spread = max(spread, 0.01 * float(high - low))  # a flat tissue still has some noise
    return Alike(np.abs(around.grey - middle) <= LIKE_SD * spread, spread)


@dataclass(frozen=True)
class BorderShift:
    """Where the tissue ends, seen from the mask's border.

    Attributes:
        steps: voxels from the border to the steepest change; above 0 is outside.
        drop: how much the share of like voxels falls there, 0 to 1.
        spill: share of the first shell outside that is like inside and free of other structures.
    """

    steps: int
    drop: float
    spill: float


def border_shift(around: Surroundings, like: Alike) -> BorderShift | None:
    """The place of the steepest change; None when the shells are too small to judge."""
    free, alike = ~around.taken, like.voxels
    inner = scipy.ndimage.distance_transform_cdt(np.pad(around.inside, 1), metric="taxicab")[1:-1, 1:-1, 1:-1]
    outer = scipy.ndimage.distance_transform_cdt(~around.inside, metric="taxicab")
    first = outer == 1
    outer[~free] = 0
    shares: list[float | None] = []
    for n in range(-DEPTH, DEPTH + 1):
        if n == 0:
            continue
        shell = inner == -n if n < 0 else outer == n
        count = int(np.count_nonzero(shell))
        shares.append(float(np.count_nonzero(alike & shell)) / count if count >= LEAST_SHELL else None)
    drops = [
        (one - other, place)
        for place, (one, other) in zip(range(1 - DEPTH, DEPTH), pairwise(shares), strict=True)
        if one is not None and other is not None
    ]
    if not drops:
        return None
    drop, place = max(drops)
    spill = int(np.count_nonzero(alike & first & free)) / max(1, int(np.count_nonzero(first)))
    return BorderShift(place, drop, float(spill))


@dataclass(frozen=True)
class FlatEnd:
    """The flattest end of a mask.

    Attributes:
        ratio: area of its last plane over its largest plane.
        beyond: share of the plane's continuation that is free of other structures and, with an image, alike.
        axis: of the grid; `high` tells which end.
    """

    ratio: float
    beyond: float
    axis: int
    high: bool


def flat_end(around: Surroundings, like: Alike | None) -> FlatEnd | None:
    """The end, along a grid axis, that looks most like a cut; None for masks of few planes in every direction."""
    free = ~around.taken if like is None else ~around.taken & like.voxels
    found: list[FlatEnd] = []
    for axis in range(3):
        planes, goes_on = np.moveaxis(around.inside, axis, 0), np.moveaxis(free, axis, 0)
        areas = planes.sum(axis=(1, 2))
        used = np.flatnonzero(areas)
        if len(used) < LEAST_PLANES or areas.max() < LEAST_SHELL:
            continue
        for high in (False, True):
            last, step = (int(used[-1]), 1) if high else (int(used[0]), -1)
            beyond = [last + step * n for n in (1, 2)]
            if around.faces[axis][high] and not 0 <= beyond[0] < len(planes):
                continue  # the scan ends here, too
            seen = [goes_on[n][planes[last]].mean() for n in beyond if 0 <= n < len(planes)]
            if seen:
                found.append(FlatEnd(float(areas[last] / areas.max()), float(np.mean(seen)), axis, high))
    return max(found, key=lambda end: end.ratio * end.beyond, default=None)
