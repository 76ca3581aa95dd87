"""Made scans whose every organ is a block of known size, and label files of them, written by nibabel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt

from .grey_network import GREYS

Array = npt.NDArray[np.integer]
Block = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # from and to (exclusive), in voxels along x y z

SHAPE, SPACING_MM = (61, 53, 29), (6.1, 5.9, 7.3)  # coarse voxels, so that the organs are as large as people's
AFFINE = np.array(
    [[-6.1, 0, 0, 180.0], [0, -5.9, 0, 150.0], [0, 0, 7.3, -50.0], [0, 0, 0, 1]]
)  # x to the left, y to the back
VOXEL_ML = 6.1 * 5.9 * 7.3 / 1000
ORGANS: Mapping[str, Block] = {
    "liver": ((8, 27), (10, 32), (12, 26)),
    "spleen": ((42, 50), (28, 38), (14, 25)),
    "left kidney": ((36, 44), (39, 47), (5, 16)),
    "right kidney": ((16, 23), (39, 46), (5, 16)),
}
_AIR, _TISSUE = -1000, 40


def ml(block: Block) -> float:
    """Volume of a block, worked out from its sides."""
    return float(np.prod([high - low for low, high in block])) * VOXEL_ML


def filled(block: Block) -> Array:
    """A block as voxels."""
    made = np.zeros(SHAPE, np.uint8)
    made[tuple(slice(*ends) for ends in block)] = 1
    return made


def torso(organs: Mapping[str, Block] = ORGANS, *, grain: int = 0) -> Array:
    """Air, tissue in the middle, organs in their grey value; `grain` is the seed of noise in the tissue, 0 for none."""
    array = np.full(SHAPE, _AIR, np.int16)
    array[3:58, 3:50, :] = _TISSUE
    if grain:
        array[3:58, 3:50, :] += np.random.default_rng(grain).integers(-15, 16, (55, 47, 29), dtype=np.int16)
    for name, block in organs.items():
        array[filled(block) > 0] = GREYS[name]
    return array


def save(path: Path, array: Array, affine: npt.ArrayLike = AFFINE) -> Path:
    """Write a NIfTI file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.asarray(affine)), path)
    return path
