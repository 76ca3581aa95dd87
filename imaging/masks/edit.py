"""Change masks: set operations, parts, holes, growing, and snapping to the picture's edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cc3d
import edt
import fill_voids
import numpy as np
import skimage

from ..errors import BadCall
from ..geometry import Box
from ..volume import BoolArray, Mask, Volume
from .overlap import is_sheared

OPERATIONS = ("union", "intersect", "subtract", "largest_part", "fill_holes", "grow", "shrink", "snap_to_edges")
_SEVERAL = ("union", "intersect", "subtract")
_IN_MM = ("grow", "shrink", "snap_to_edges")


def edit(operation: str, masks: Sequence[Mask], *, amount_mm: float | None = None, image: Volume | None = None) -> Mask:
    """A new mask; the given ones stay as they are.

    Args:
        operation: one of `OPERATIONS`; "subtract" takes all later masks from the first.
        masks: two or more for set operations, one for the others; all on one grid.
        amount_mm: how far to grow, shrink, or look for an edge.
        image: the scan, for "snap_to_edges".

    Raises:
        BadCall: unknown operation, wrong number of masks, different grids, or a missing amount.
    """
    if operation not in OPERATIONS:
        raise BadCall(f"Unknown operation '{operation}'. Allowed: {', '.join(OPERATIONS)}.")
    wanted = "two or more masks" if operation in _SEVERAL else "exactly one mask"
    if (len(masks) < 2) if operation in _SEVERAL else (len(masks) != 1):
        raise BadCall(f"'{operation}' was given {len(masks)} masks. It takes {wanted}.")
    if any(not mask.grid.same_as(masks[0].grid) for mask in masks):
        raise BadCall("The masks lie on different grids. Only masks of one image can be combined.")
    if operation in _IN_MM and (amount_mm is None or not 0 < amount_mm <= 100):
        raise BadCall(f"'{operation}' was given amount_mm={amount_mm}. It needs a length above 0 and up to 100 mm.")
    if operation in _IN_MM and (not masks[0].grid.spacing_known or is_sheared(masks[0].grid)):
        raise BadCall("Lengths in mm need a known voxel size and axes at right angles, which this image does not have.")
    if operation == "snap_to_edges":
        return _snapped(masks[0], image, amount_mm or 0.0)
    steps: dict[str, Callable[[], BoolArray]] = {
        "union": lambda: np.logical_or.reduce([mask.array for mask in masks]),
        "intersect": lambda: np.logical_and.reduce([mask.array for mask in masks]),
        "subtract": lambda: masks[0].array & ~np.logical_or.reduce([mask.array for mask in masks[1:]]),
        "largest_part": lambda: largest_part(masks[0].array),
        "fill_holes": lambda: filled(masks[0].array),
        "grow": lambda: grown(masks[0], amount_mm or 0.0),
        "shrink": lambda: shrunk(masks[0], amount_mm or 0.0),
    }
    return Mask(np.ascontiguousarray(steps[operation]()), masks[0].grid)


def largest_part(array: BoolArray) -> BoolArray:
    """The largest connected part (26 neighbours); empty stays empty."""
    if not array.any():
        return array.copy()
    parts = cc3d.largest_k(np.ascontiguousarray(array), k=1, connectivity=26)
    kept: BoolArray = np.asarray(parts > 0)
    return kept


def filled(array: BoolArray) -> BoolArray:
    """The mask with every hole inside it closed; of a single slice, the holes in the slice."""
    if array.shape[2] == 1:
        flat: BoolArray = fill_voids.fill(np.ascontiguousarray(array[:, :, 0]))
        return flat[:, :, None].astype(np.bool_)
    whole: BoolArray = fill_voids.fill(np.ascontiguousarray(array))
    return whole.astype(np.bool_)


def grown(mask: Mask, amount_mm: float) -> BoolArray:
    """Every voxel whose centre lies within `amount_mm` of a voxel centre of the mask."""
    distance = edt.edt(np.ascontiguousarray(~mask.array), anisotropy=mask.grid.spacing_mm)
    reached: BoolArray = np.asarray(distance <= amount_mm) if mask.array.any() else mask.array.copy()
    return reached


def shrunk(mask: Mask, amount_mm: float) -> BoolArray:
    """Voxels whose centre lies farther than `amount_mm` from every voxel centre outside the mask.

    The scan's border is not an outside: a structure that goes on beyond it is not eaten there.
    """
    distance = edt.edt(np.ascontiguousarray(mask.array), anisotropy=mask.grid.spacing_mm, black_border=False)
    kept: BoolArray = np.asarray(distance > amount_mm)
    return kept & mask.array


def _snapped(mask: Mask, image: Volume | None, amount_mm: float) -> Mask:
    """The border moves to the strongest edge of the picture within `amount_mm` (watershed of the gradient)."""
    if image is None or not image.grid.same_as(mask.grid):
        raise BadCall("'snap_to_edges' needs the mask's own image.")
    near = grown(mask, amount_mm)
    box = Box.of(near, margin=1)
    if box is None:
        return mask
    cut = box.slices
    picture = np.asarray(image.array[cut], dtype=np.float32)
    axes = [axis for axis in range(3) if picture.shape[axis] > 1]
    steps = [mask.grid.spacing_mm[axis] for axis in axes]
    slopes = np.gradient(picture, *steps, axis=tuple(axes))
    steepness = np.sqrt(sum(np.square(slope) for slope in (slopes if isinstance(slopes, list | tuple) else [slopes])))
    core = shrunk(mask, amount_mm)[cut]
    if not core.any():
        raise BadCall(
            f"The mask is thinner than {amount_mm} mm, so no core is left to grow from. Use a smaller amount_mm."
        )
    seeds = np.where(core, 1, np.where(near[cut], 0, 2)).astype(np.int32)
    labels = skimage.segmentation.watershed(steepness, seeds)
    result = np.zeros(mask.array.shape, dtype=np.bool_)
    result[cut] = labels == 1
    return Mask(result, mask.grid)
