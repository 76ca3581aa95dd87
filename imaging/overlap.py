"""How well two masks agree.

Surfaces are the voxels of a mask that touch its outside by a face; distances run between voxel
centres in mm. HD95 is the larger of the two directed 95th percentiles, ASSD the mean over both
surfaces, as in MONAI; other programs define these differently, so say which when you compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .errors import BadCall
from .geometry import Box
from .volume import BoolArray, Grid, Mask


@dataclass(frozen=True)
class Overlap:
    """Agreement of two masks; a value that is not defined is None and `reasons` says why.

    Attributes:
        dice, iou: in [0, 1]; two empty masks agree, 1.
        nsd: share of both surfaces within `tolerance_mm` of the other.
        hd95_mm, assd_mm, hd_mm: surface distances.
        volume_difference_ml: first minus second.
    """

    dice: float
    iou: float
    nsd: float | None
    hd95_mm: float | None
    assd_mm: float | None
    hd_mm: float | None
    volume_difference_ml: float | None
    tolerance_mm: float
    reasons: tuple[str, ...]


def compare(first: Mask, second: Mask, *, tolerance_mm: float = 1.0) -> Overlap:
    """Overlap and surface distances of two masks on one grid.

    Raises:
        BadCall: different grids, or a tolerance that is not above 0.

    Source: Nikolov et al. 2021 (surface Dice); here surface voxels count one each.
    """
    if not first.grid.same_as(second.grid):
        raise BadCall(
            f"The masks lie on different grids ({first.grid.shape} and {second.grid.shape}, or elsewhere in space). "
            "Only masks of one image can be compared. Segment the same image twice."
        )
    if not tolerance_mm > 0:
        raise BadCall(f"The tolerance is {tolerance_mm} mm. It must be above 0; 1 to 3 mm is usual.")
    a, b = int(first.array.sum()), int(second.array.sum())
    both = int(np.count_nonzero(first.array & second.array))
    dice = 2 * both / (a + b) if a + b else 1.0
    iou = both / (a + b - both) if a + b else 1.0
    known = first.grid.spacing_known
    difference = (a - b) * first.grid.voxel_ml if known else None
    reason = _undefined(first.grid, a, b)
    if reason is not None:
        reasons = (reason,) if known else (reason, "Volumes in ml need a known voxel size.")
        return Overlap(dice, iou, None, None, None, None, difference, tolerance_mm, reasons)
    there, back = surface_distances_mm(first, second)
    every = np.concatenate([there, back])
    return Overlap(
        dice=dice,
        iou=iou,
        nsd=float((every <= tolerance_mm).mean()),
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        assd_mm=float(every.mean()),
        hd_mm=float(every.max()),
        volume_difference_ml=difference,
        tolerance_mm=tolerance_mm,
        reasons=(),
    )


def _undefined(grid: Grid, a: int, b: int) -> str | None:
    if not grid.spacing_known:
        return "Surface distances need a known voxel size, which this image does not have."
    if not a or not b:
        return "Surface distances are not defined when a mask is empty."
    if is_sheared(grid):
        return "The grid is sheared; surface distances along its axes would be wrong."
    return None


def is_sheared(grid: Grid) -> bool:
    """True when the axes are not at right angles (gantry tilt), beyond 0.5 degrees."""
    axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    off = axes.T @ axes - np.eye(3)
    return bool(np.abs(off).max() > np.sin(np.radians(0.5)))


def surface_distances_mm(first: Mask, second: Mask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distances from each surface voxel of one mask to the other's surface, both ways, in mm."""
    box = Box.of(first.array | second.array, margin=1)
    assert box is not None
    cut = tuple(slice(lo, hi) for lo, hi in zip(box.start, box.stop, strict=True))
    one, other = surface(first.array[cut]), surface(second.array[cut])
    spacing = first.grid.spacing_mm
    to_one, to_other = _distance_to(one, spacing), _distance_to(other, spacing)
    return to_other[one].astype(np.float64), to_one[other].astype(np.float64)


def surface(mask: BoolArray) -> BoolArray:
    """The voxels inside that touch the outside by a face; the array's border counts as outside."""
    inner: BoolArray = ndimage.binary_erosion(mask)
    return mask & ~inner


def _distance_to(points: BoolArray, spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    distance: npt.NDArray[np.float32] = edt.edt(np.ascontiguousarray(~points), anisotropy=spacing_mm)
    return distance
