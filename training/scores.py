"""Counting agreement: voxels in common, Dice, and the interval over patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000  # of the patients, for the interval
Counts = tuple[int, int, int]  # voxels in common, in the prediction, in the truth


def counts_of(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Counts:
    """Voxels in common, found and true."""
    return int(np.count_nonzero(found & truth)), int(np.count_nonzero(found)), int(np.count_nonzero(truth))


def dice_of_counts(counts: Counts) -> float:
    """Dice of voxels in common, found and true; 1 when both masks are empty."""
    both, found, truth = counts
    return 2 * both / (found + truth) if found + truth else 1.0


def patient_interval(values: npt.NDArray[np.float64], patients: Sequence[str]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, patients drawn with replacement; seed 0."""
    names = sorted(set(patients))
    groups = [values[[i for i, p in enumerate(patients) if p == name]] for name in names]
    rng = np.random.default_rng(0)
    means = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(len(groups), size=len(groups))
        means.append(float(np.concatenate([groups[i] for i in drawn]).mean()))
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
