"""How well two masks agree.

Surfaces are the voxels of a mask that touch its outside by a face; distances run between voxel
centres in mm. HD95 is the larger of the two directed 95th percentiles, ASSD the mean over both
surfaces, as in MONAI; other programs define these differently, so say which when you compare.
Lesions are connected parts (26 neighbours).
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
import scipy

from ..errors import BadCall
from ..region import Region
from ..volume import BoolArray, Grid, Mask
from .dice import counts_of, dice_of_counts


@dataclass(frozen=True)
class Lesions:
    """Agreement part by part.

    Attributes:
        first, second: parts of either mask.
        first_matched, second_matched: those that share a voxel with the other mask.
        f1: harmonic mean of both matched shares; two empty masks agree, 1.
    """

    first: int
    second: int
    first_matched: int
    second_matched: int

    @property
    def f1(self) -> float:
        """In [0, 1]."""
        if not self.first or not self.second:
            return 1.0 if self.first == self.second else 0.0
        one, other = self.first_matched / self.first, self.second_matched / self.second
        return 2 * one * other / (one + other) if one + other else 0.0


@dataclass(frozen=True)
class Overlap:
    """Agreement of two masks; a value that is not defined is None and `reasons` says why.

    Attributes:
        dice, iou: in [0, 1]; two empty masks agree, 1.
        nsd: share of both surfaces within `tolerance_mm` of the other.
        hd95_mm, assd_mm, hd_mm: surface distances.
        volume_difference_ml: first minus second.
        volume_error: first minus second, over second; None when the second is empty.
    """

    dice: float
    iou: float
    nsd: float | None
    hd95_mm: float | None
    assd_mm: float | None
    hd_mm: float | None
    volume_difference_ml: float | None
    volume_error: float | None
    lesions: Lesions
    tolerance_mm: float
    reasons: tuple[str, ...]


def compare(first: Mask | Region, second: Mask | Region, *, tolerance_mm: float = 1.0) -> Overlap:
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
    one, other = _in_one_box(Region.of(first), Region.of(second))
    both, a, b = counts = counts_of(one, other)
    grid = first.grid
    reasons = _undefined(grid, a, b)
    there, back = (None, None) if reasons else surface_distances_mm(one, other, grid.spacing_mm)
    every = None if there is None or back is None else np.concatenate([there, back])
    return Overlap(
        dice=dice_of_counts(counts),
        iou=both / (a + b - both) if a + b else 1.0,
        nsd=None if every is None else float((every <= tolerance_mm).mean()),
        hd95_mm=None if there is None or back is None else max(_percentile_95(there), _percentile_95(back)),
        assd_mm=None if every is None else float(every.mean()),
        hd_mm=None if every is None else float(every.max()),
        volume_difference_ml=(a - b) * grid.voxel_ml if grid.volume_known else None,
        volume_error=(a - b) / b if b else None,
        lesions=lesions(one, other),
        tolerance_mm=tolerance_mm,
        reasons=reasons,
    )


def _in_one_box(first: Region, second: Region) -> tuple[BoolArray, BoolArray]:
    """Both arrays cut to the smallest box that holds them."""
    boxes = [region.box for region in (first, second) if region.box is not None]
    if not boxes:
        return first.array, second.array
    start = np.min([box.start for box in boxes], axis=0)
    shape = np.max([box.stop for box in boxes], axis=0) - start
    made = []
    for region in (first, second):
        array = np.zeros(shape, dtype=np.bool_)
        if region.box is not None:
            x, y, z = (slice(a - s, b - s) for a, b, s in zip(region.box.start, region.box.stop, start, strict=True))
            array[x, y, z] = region.array
        made.append(array)
    return made[0], made[1]


def _undefined(grid: Grid, a: int, b: int) -> tuple[str, ...]:
    found = []
    if not grid.spacing_known:
        found.append("Surface distances and ml need a known voxel size, which this image does not have.")
    elif is_sheared(grid) and a and b:
        found.append("The grid is sheared; surface distances along its axes would be wrong.")
    if not a or not b:
        found.append("Surface distances are not defined when a mask is empty.")
    return tuple(found)


def is_sheared(grid: Grid) -> bool:
    """True when the axes are not at right angles (gantry tilt), beyond 0.5 degrees."""
    axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    off = axes.T @ axes - np.eye(3)
    return bool(np.abs(off).max() > np.sin(np.radians(0.5)))


def surface_distances_mm(
    first: BoolArray, second: BoolArray, spacing_mm: tuple[float, float, float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distances from each surface voxel of one array (x y z) to the other's surface, both ways, in mm.

    A search tree over surface voxels is exact and, for organs, several times faster than distance maps of their box.
    """
    one, other = surface(first), surface(second)
    points, others = _points_mm(one, spacing_mm), _points_mm(other, spacing_mm)
    there, back = np.zeros(len(points)), np.zeros(len(others))
    alone, other_alone = ~other[one], ~one[other]  # a surface voxel of both is 0 away
    there[alone] = scipy.spatial.cKDTree(others).query(points[alone], workers=-1)[0]
    back[other_alone] = scipy.spatial.cKDTree(points).query(others[other_alone], workers=-1)[0]
    return there, back


def surface(mask: BoolArray) -> BoolArray:
    """The voxels inside that touch the outside by a face; the array's border counts as outside."""
    inner = mask.copy()
    for axis in range(3):
        lines, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        kept[1:] &= lines[:-1]
        kept[:-1] &= lines[1:]
        kept[0] = kept[-1] = False
    return mask & ~inner


def _points_mm(mask: BoolArray, spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    index = np.unravel_index(np.flatnonzero(mask), mask.shape)
    points: npt.NDArray[np.float64] = np.stack(index, axis=1) * np.array(spacing_mm)
    return points


def _percentile_95(distances: npt.NDArray[np.float64]) -> float:
    return float(np.percentile(distances, 95))


def lesions(first: BoolArray, second: BoolArray) -> Lesions:
    """How many connected parts of either mask meet the other."""
    counts = []
    for one, other in ((first, second), (second, first)):
        parts, count = cc3d.connected_components(np.ascontiguousarray(one), return_N=True)
        counts.append((int(count), len(np.unique(parts[one & other]))))
    (a, a_met), (b, b_met) = counts
    return Lesions(a, b, a_met, b_met)
