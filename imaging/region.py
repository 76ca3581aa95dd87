"""The part of a mask that is not empty, and where in the scan it lies: what measuring needs, and no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cc3d
import numpy as np
import numpy.typing as npt
import scipy

from .geometry import Box
from .volume import BoolArray, Grid, Mask


@dataclass(frozen=True, eq=False)
class Region:
    """A mask cut to its voxels.

    Attributes:
        array: (x y z) of `box` only; one false voxel when the mask is empty.
        box: where `array` lies on `grid`; None when the mask is empty.
        grid: of the whole scan.
    """

    array: BoolArray
    box: Box | None
    grid: Grid

    @classmethod
    def of(cls, mask: Mask | Region) -> Region:
        """The region of a mask; a region is returned as it is."""
        if isinstance(mask, Region):
            return mask
        box = Box.of(mask.array)
        if box is None:
            return cls(np.zeros((1, 1, 1), dtype=np.bool_), None, mask.grid)
        return cls(np.ascontiguousarray(mask.array[slices(box)]), box, mask.grid)

    @property
    def grid_of_box(self) -> Grid:
        """The grid `array` itself lies on."""
        shift = np.eye(4)
        shift[:3, 3] = self.start
        x, y, z = self.array.shape
        return replace(self.grid, shape=(x, y, z), affine=self.grid.affine @ shift)

    @cached_property
    def voxels(self) -> int:
        """How many are inside."""
        return int(np.count_nonzero(self.array))

    @property
    def start(self) -> tuple[int, int, int]:
        """Index of the first voxel of `array` on the grid."""
        return (0, 0, 0) if self.box is None else self.box.start

    @property
    def touches_edge(self) -> bool:
        """True when it reaches an end of the grid that is more than one voxel long."""
        if self.box is None:
            return False
        ends = zip(self.box.start, self.box.stop, self.grid.shape, strict=True)
        return any(n > 1 and (a == 0 or b == n) for a, b, n in ends)

    @property
    def axes_mm(self) -> npt.NDArray[np.float64]:
        """(3 3), columns are one voxel step in mm."""
        return self.grid.affine[:3, :3]

    @property
    def axial_axis(self) -> int:
        """The grid axis that runs most along the body."""
        return int(np.abs(self.axes_mm[2] / np.linalg.norm(self.axes_mm, axis=0)).argmax())

    @cached_property
    def lines(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Voxels inside, per index along x, y and z of `array`."""
        by_xy = np.count_nonzero(self.array, axis=2)
        along_z = np.add.reduce(self.array.reshape(-1, self.array.shape[2]), axis=0, dtype=np.int64)
        return by_xy.sum(axis=1), by_xy.sum(axis=0), along_z

    @cached_property
    def centre_index(self) -> npt.NDArray[np.float64]:
        """Centre of mass as an index of the whole grid; the region must not be empty."""
        means = [float(line @ np.arange(len(line))) / self.voxels for line in self.lines]
        return np.array(means) + self.start


def connected(region: Region) -> list[Region]:
    """The connected parts (26 neighbours), largest first, each cut to its own voxels; none of an empty region."""
    if region.box is None:
        return []
    labels, count = cc3d.connected_components(region.array, return_N=True)
    if count == 1:
        return [region]
    parts = []
    for number, where in enumerate(scipy.ndimage.find_objects(labels), start=1):
        start = tuple(at.start + first for at, first in zip(where, region.start, strict=True))
        stop = tuple(at.stop + first for at, first in zip(where, region.start, strict=True))
        parts.append(Region(np.ascontiguousarray(labels[where] == number), Box(start, stop), region.grid))
    return sorted(parts, key=lambda part: -part.voxels)


def largest_parts(array: BoolArray, most: int) -> tuple[list[BoolArray], int]:
    """The largest connected parts of a mask (26 neighbours), at most so many, each (x y z); and how many there are."""
    labels, count = cc3d.connected_components(np.ascontiguousarray(array), return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return [np.asarray(labels == number + 1) for number in np.argsort(-sizes, kind="stable")[:most]], count


def slices(box: Box) -> tuple[slice, slice, slice]:
    """The box as an index of an array it lies in."""
    x, y, z = (slice(a, b) for a, b in zip(box.start, box.stop, strict=True))
    return x, y, z


def shared_voxels(one: Region, other: Region) -> int:
    """Voxels of both."""
    if one.box is None or other.box is None:
        return 0
    low = [max(a, b) for a, b in zip(one.box.start, other.box.start, strict=True)]
    high = [min(a, b) for a, b in zip(one.box.stop, other.box.stop, strict=True)]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return 0
    cuts = [
        tuple(slice(a - s, b - s) for a, b, s in zip(low, high, region.start, strict=True)) for region in (one, other)
    ]
    return int(np.count_nonzero(one.array[cuts[0]] & other.array[cuts[1]]))
