"""Masks on their way into files: what a written segment is called, and how it came back."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import BadCall
from ..masks.dice import dice
from ..volume import Affine, BoolArray, Grid, Mask
from .structure_codes import StructureCode

_STACK_LIMIT_BYTES = 1024**3  # overlapping segments as one array; beyond it they go to several files
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Segment:
    """A mask to be written.

    Attributes:
        load: reads the mask when it is needed, so that thirty large ones never lie in memory at once.
        label: structure name; becomes segment or region name.
        algorithm: what made it, such as a model's name.
    """

    mask_id: str
    label: str
    code: StructureCode
    load: Callable[[], Mask]
    algorithm: str = "ostensor"
    version: str = "0"


@dataclass(frozen=True)
class Receipt:
    """How a written mask came back from its file.

    Attributes:
        dice: agreement of what was read back with what was written; 1.0 for two empty masks.
        centroid_offset_mm: between both centroids; None when one of them is empty or mm are not known.
    """

    dice: float
    centroid_offset_mm: float | None
    warnings: tuple[str, ...] = ()


def receipt(written: Mask, back: BoolArray, *, warnings: tuple[str, ...] = ()) -> Receipt:
    """Compare what a file holds with what was meant; both on the grid of `written`."""
    ours, theirs = int(np.count_nonzero(written.array)), int(np.count_nonzero(back))
    if not ours + theirs:
        return Receipt(1.0, None, warnings)
    known = written.grid.spacing_known and min(ours, theirs) > 0
    if ours == theirs and np.array_equal(written.array, back):
        return Receipt(1.0, 0.0 if known else None, warnings)
    alike = dice(written.array, back)
    if not known:
        return Receipt(alike, None, warnings)
    apart = centroid_mm(written.array, written.grid) - centroid_mm(back, written.grid)
    return Receipt(alike, float(np.linalg.norm(apart)), warnings)


def centroid_mm(array: BoolArray, grid: Grid) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mean place of the true voxels, mm, RAS+."""
    index = np.array([float(axis.mean()) for axis in np.nonzero(array)])
    point: np.ndarray[tuple[int], np.dtype[np.float64]] = grid.affine[:3, :3] @ index + grid.affine[:3, 3]
    return point


def lps_affine(grid: Grid) -> Affine:
    """Voxel index to DICOM's patient space, mm, LPS+."""
    return LPS_FROM_RAS @ grid.affine


def colour(number: int) -> tuple[int, int, int]:
    """A colour for the n-th segment, red, green, blue in 0 to 255; neighbours in number differ clearly."""
    hue = (number * 0.618033988749895) % 1.0  # the golden ratio spreads hues evenly
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.6, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def array_on(segment: Segment, grid: Grid) -> BoolArray:
    """The mask's voxels.

    Raises:
        BadCall: it does not lie on the grid.
    """
    mask = segment.load()
    if not mask.grid.same_as(grid):
        raise BadCall(
            f"The mask {segment.mask_id} lies on another grid than the others (same shape or not, other places in "
            "space). Masks of one file must share one grid. Export them one by one."
        )
    return mask.array


def split_overlapping(segments: Sequence[Segment], grid: Grid) -> list[list[Segment]]:
    """Which segments share a file: all of them, unless they overlap and would not fit into memory side by side."""
    if int(np.prod(grid.shape)) * len(segments) <= _STACK_LIMIT_BYTES:
        return [list(segments)]
    groups: list[list[Segment]] = []
    taken: list[BoolArray] = []
    for segment in segments:
        array = array_on(segment, grid)
        number = next((n for n, used in enumerate(taken) if len(groups[n]) < 255 and not (used & array).any()), None)
        if number is None:
            groups.append([segment])
            taken.append(array.copy())
        else:
            groups[number].append(segment)
            taken[number] |= array
    return groups
