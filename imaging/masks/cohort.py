"""Which scans of a cohort stand out: robust scores of one number over many scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Source of the three: Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers, ASQC, chapter 3.
MAD_TO_SD, MEAN_TO_SD = 0.6745, 1.253314  # of a normal distribution: median absolute deviation, mean absolute deviation
OUTLIER = 3.5  # from which absolute score a value stands out
LEAST_SCANS = 5  # our choice: fewer have no spread to speak of


@dataclass(frozen=True)
class Spread:
    """A number over a cohort: how many scans have it, the median, and the middle nine tenths."""

    count: int
    median: float
    p5: float
    p95: float


def robust_scores(values: Sequence[float | None]) -> list[float | None]:
    """How far each value lies from the cohort's median, in robust standard deviations; None where that is not known.

    0.6745 (x - median) / MAD. Where more than half of the values are the same, so that the MAD is 0, the mean absolute
    deviation stands in for it; where all are, the score is 0. Fewer than five values have no scores.
    """
    known: npt.NDArray[np.float64] = np.array([value for value in values if value is not None], dtype=np.float64)
    if len(known) < LEAST_SCANS:
        return [None] * len(values)
    middle = float(np.median(known))
    away = np.abs(known - middle)
    unit = float(np.median(away)) / MAD_TO_SD or MEAN_TO_SD * float(away.mean())
    return [None if value is None else (value - middle) / unit if unit else 0.0 for value in values]


def spread_of(values: Sequence[float]) -> Spread | None:
    """Median and middle nine tenths; None of nothing."""
    if not values:
        return None
    p5, median, p95 = (float(one) for one in np.percentile(np.array(values, dtype=np.float64), (5, 50, 95)))
    return Spread(len(values), median, p5, p95)
