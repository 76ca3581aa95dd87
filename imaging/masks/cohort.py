"""Agreement over many cases: mean, spread and interval of each measure, undefined values counted apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import BadCall
from .overlap import Overlap

MEASURES = ("dice", "iou", "nsd", "hd95_mm", "assd_mm", "hd_mm", "volume_difference_ml", "volume_error", "lesion_f1")
_RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """One measure over a cohort.

    Attributes:
        cases: that have a value; `undefined` have none and enter nothing here.
        sd: between cases, with n - 1; None for fewer than two.
        low, high: 95 % percentile bootstrap interval of the mean, cases resampled; None for fewer than two.
    """

    cases: int
    undefined: int
    mean: float
    sd: float | None
    median: float
    low: float | None
    high: float | None


def cohort(rows: Sequence[Overlap], *, seed: int = 0) -> dict[str, Summary | None]:
    """Each measure over the cases; None where no case has a value.

    A missing mask scores 0 in Dice and has no distance, so read `undefined` beside every distance.

    Raises:
        BadCall: no cases, or cases compared at different tolerances.

    Source: Efron and Tibshirani 1993 for the interval.
    """
    if not rows:
        raise BadCall("A cohort needs at least one comparison. Compare some masks first.")
    if len({row.tolerance_mm for row in rows}) > 1:
        raise BadCall("The cases were compared at different tolerances, so their NSD cannot be averaged. Use one.")
    return {name: _summary([_value(row, name) for row in rows], seed) for name in MEASURES}


def _value(row: Overlap, name: str) -> float | None:
    value: float | None = row.lesions.f1 if name == "lesion_f1" else getattr(row, name)
    return value


def _summary(values: list[float | None], seed: int) -> Summary | None:
    found = np.array([value for value in values if value is not None])
    if not found.size:
        return None
    sd = low = high = None
    if found.size > 1:
        sd = float(found.std(ddof=1))
        drawn = np.random.default_rng(seed).integers(0, found.size, (_RESAMPLES, found.size))
        low, high = (float(v) for v in np.percentile(found[drawn].mean(axis=1), (2.5, 97.5)))
    missing = len(values) - found.size
    return Summary(int(found.size), missing, float(found.mean()), sd, float(np.median(found)), low, high)
