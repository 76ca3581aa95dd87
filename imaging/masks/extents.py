"""How far a mask reaches along the patient's own axes, however the scan was cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..region import Region
from ..volume import Mask
from .diameters import outer_points


@dataclass(frozen=True)
class Extents:
    """Lengths along the patient's axes in mm; None along the axis a single slice does not show.

    Attributes:
        craniocaudal_mm: from feet to head.
        transverse_mm: from left to right.
        anteroposterior_mm: from back to front.
    """

    craniocaudal_mm: float | None
    transverse_mm: float | None
    anteroposterior_mm: float | None


def extents(mask: Mask | Region) -> Extents | None:
    """How far a mask reaches in patient space; None when empty or without voxel size.

    The outline runs half-way between inside and outside voxels, as for `diameters`. On an oblique grid the patient's axes
    count and not the grid's. The axes are those of the affine: whether a file tells them is the caller's to know.
    """
    region = Region.of(mask)
    if region.box is None or not region.grid.spacing_known:
        return None
    long = [axis for axis, count in enumerate(region.grid.shape) if count > 1]
    points = outer_points(region.array, long or (0, 1, 2)) @ region.axes_mm.T
    reach: list[float | None] = [float(length) for length in np.ptp(points, axis=0)]
    if len(long) == 2:
        one, other = (region.axes_mm[:, axis] for axis in long)
        normal = np.cross(one, other)
        reach[int(np.abs(normal).argmax())] = None
    transverse, anteroposterior, craniocaudal = reach
    return Extents(craniocaudal, transverse, anteroposterior)
