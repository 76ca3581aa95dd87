"""The three planes a scan is looked at in: which axis each cuts, and how its pictures lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..geometry import reorient_array
from ..region import Region


@dataclass(frozen=True)
class Plane:
    """How to cut a RAS array: the axis cut through, and what lies at the picture's left, right, top, bottom."""

    axis: int
    across: int
    down: int
    flip_across: bool
    letters: tuple[str, str, str, str]


PLANES = {
    "axial": Plane(2, 0, 1, True, ("R", "L", "A", "P")),
    "coronal": Plane(1, 0, 2, True, ("R", "L", "S", "I")),
    "sagittal": Plane(0, 1, 2, True, ("A", "P", "S", "I")),
}


def cut(array: npt.NDArray[np.generic], plane: Plane, index: int) -> npt.NDArray[np.generic]:
    """The slice of a RAS array as rows down and columns across the picture."""
    where: tuple[slice | int, ...] = (*[slice(None)] * plane.axis, index)
    flat = np.array(array[where])  # np.take would first copy all of a turned array
    if plane.across < plane.down:
        flat = flat.T  # (across down) -> (down across)
    flat = flat[::-1]  # front or head at the top
    turned: npt.NDArray[np.generic] = flat[:, ::-1] if plane.flip_across else flat
    return turned


class RegionPlanes:
    """Slices of a mask that is kept as its region: only the part that holds voxels is turned and cut."""

    def __init__(self, region: Region) -> None:
        import nibabel.orientations as nio  # nibabel loads slowly

        ornt = nio.io_orientation(region.grid.affine)
        shape, start = np.array(region.grid.shape), np.array(region.start)
        stop = start + region.array.shape
        order = np.argsort(ornt[:, 0])
        flipped = ornt[order, 1] < 0
        self.shape = tuple(int(n) for n in shape[order])
        self.start = tuple(int(n) for n in np.where(flipped, (shape - stop)[order], start[order]))
        self.empty = region.box is None
        self.array = reorient_array(region.array, region.grid_of_box, "RAS")[0]

    def cut(self, plane: Plane, index: int) -> npt.NDArray[np.generic]:
        """As `cut` of the whole mask."""
        whole = np.zeros(tuple(1 if axis == plane.axis else n for axis, n in enumerate(self.shape)), dtype=np.bool_)
        inside = index - self.start[plane.axis]
        if not self.empty and 0 <= inside < self.array.shape[plane.axis]:
            where = tuple(
                slice(None) if axis == plane.axis else slice(first, first + n)
                for axis, (first, n) in enumerate(zip(self.start, self.array.shape, strict=True))
            )
            whole[where] = self.array[(*[slice(None)] * plane.axis, slice(inside, inside + 1))]
        return cut(whole, plane, 0)
