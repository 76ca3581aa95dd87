"""How sure a mean over patients is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000  # of the patients, for the interval


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
