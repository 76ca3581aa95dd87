"""The Dice score of two masks: the only place it is computed, so that every figure here means the same.

Two empty masks agree: 1. The score itself is 0/0 there, and the field is split: MONAI with `ignore_empty=False` and
Metrics Reloaded's code until its pull request 57 answer 1; MONAI by default, nnU-Net and Metrics Reloaded since then
answer NaN, to be left out of a mean. 1 keeps a single comparison a number, and a structure that is rightly not found
counts as right. A mean over cases in which a structure is to be seen leaves the other cases out first, where it can be
read (as `training/segmenting/evaluate.py` does).

Source: Dice 1945. Empty masks: Project-MONAI/MONAI `monai/metrics/meandice.py` (Apache-2.0),
Project-MONAI/MetricsReloaded `MetricsReloaded/metrics/pairwise_measures.py` (`dsc`; Maier-Hein et al. 2024),
MIC-DKFZ/nnUNet `nnunetv2/evaluation/evaluate_predictions.py`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..region import Region, shared_voxels

Counts = tuple[int, int, int]  # voxels in common, of the one, of the other


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Twice the voxels in common over those of both, in [0, 1]; two empty masks agree, 1.

    Args:
        one, other: masks on one grid, of any number of axes.

    Raises:
        BadCall: the shapes differ.
    """
    return dice_of_counts(counts_of(one, other))


def dice_of_regions(one: Region, other: Region) -> float:
    """Dice of two cut-out masks of one grid, without filling the grid."""
    return dice_of_counts((shared_voxels(one, other), one.voxels, other.voxels))


def dice_of_counts(counts: Counts) -> float:
    """Dice of voxels that were counted before, such as sums over pieces of a scan."""
    both, one, other = counts
    return 2 * both / (one + other) if one + other else 1.0


def counts_of(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> Counts:
    """Voxels in common, of the one, of the other.

    Raises:
        BadCall: the shapes differ.
    """
    if one.shape != other.shape:
        raise BadCall(f"Masks of {one.shape} and {other.shape} voxels cannot be compared. Put both on one grid first.")
    return int(np.count_nonzero(one & other)), int(np.count_nonzero(one)), int(np.count_nonzero(other))
