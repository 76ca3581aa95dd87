"""Where two masks of one scan differ: how much either holds alone, how far that reaches, and on which side."""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np

from ..consensus.votes import joint_box, painted
from ..masks.measures import FACES
from ..masks.overlap import is_sheared
from ..region import Region
from ..volume import BoolArray

ALL_AROUND = 0.08  # of the other's length: what lies nearer to its centre lies on no side, as in `second_opinion`


@dataclass(frozen=True)
class Surplus:
    """What one mask holds and the other does not.

    Attributes:
        reach_mm: of its farthest voxel to the nearest of the other; None without a voxel size, on sheared grids, and where the
            other is empty.
        side: where it mostly lies, seen from the other's centre, such as "left"; "all around" for no side; "" where the other
            is empty.
    """

    voxels: int
    reach_mm: float | None
    side: str


def surplus(one: Region, other: Region) -> Surplus:
    """What `one` holds beyond `other`; both on one grid."""
    box = joint_box([one, other])
    if box is None:
        return Surplus(0, None, "")
    theirs = painted(other, box)
    alone = painted(one, box) & ~theirs
    voxels = int(np.count_nonzero(alone))
    if not voxels or not other.voxels:
        return Surplus(voxels, None, "")
    return Surplus(voxels, _reach_mm(alone, theirs, one), _side(alone, theirs, one))


def _reach_mm(alone: BoolArray, theirs: BoolArray, region: Region) -> float | None:
    if not region.grid.spacing_known or is_sheared(region.grid):
        return None
    away = edt.edt(np.ascontiguousarray(~theirs), anisotropy=region.grid.spacing_mm)
    return float(away[alone].max())


def _side(alone: BoolArray, theirs: BoolArray, region: Region) -> str:
    held = np.argwhere(theirs)
    step = region.axes_mm @ (np.argwhere(alone).mean(axis=0) - held.mean(axis=0))
    length = np.abs(region.axes_mm) @ (np.ptp(held, axis=0) + 1)
    shares = step / length
    axis = int(np.abs(shares).argmax())
    return FACES[axis][int(step[axis] > 0)] if abs(shares[axis]) >= ALL_AROUND else "all around"
