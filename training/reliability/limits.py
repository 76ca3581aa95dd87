"""Limits of verdicts and intervals of sizes, found on masks of held-out patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...models.inference.calibration import EMPTY_BELOW, Calibration, Signs, doubt_of

LEAST_VOXELS = 30  # a truth of fewer says neither there nor not there
GOOD_DICE = 0.5
LIMITS = np.arange(0.05, 0.96, 0.05)
EMPTY_LIMITS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
FALSE_ABSENT, FALSE_PRESENT = 20, 4  # times as bad as an unsure verdict
HONEST = ("none", "crop", "half", "wrong kind", "window", "contrast", "larger", "smaller")  # scans that nothing spoils
COVERED, LEAST_SIZES = 0.9, 40  # share of sizes in an interval; masks it takes to find one


@dataclass(frozen=True)
class Row:
    """One mask: what it looked like and how good it was.

    Attributes:
        change: how the scan was spoilt; "wrong kind" for a scan that cannot contain the structure.
        voxels: of the truth.
        marked: voxels of the mask.
        peak: greatest sigmoid anywhere.
    """

    patient: str
    structure: str
    change: str
    signs: Signs
    dice: float
    voxels: int
    marked: int = 0
    peak: float = 1.0


def empty_limit(rows: Sequence[Row]) -> float:
    """The greatest sigmoid below which an empty mask shall mean absent: as few unsure as false absents allow."""
    empty = [row for row in rows if not row.signs and (row.voxels == 0 or row.voxels >= LEAST_VOXELS)]
    cost = {
        limit: sum(FALSE_ABSENT * (row.peak < limit) if row.voxels else int(row.peak >= limit) for row in empty)
        for limit in EMPTY_LIMITS
    }
    return min(cost, key=lambda limit: (cost[limit], limit)) if empty else EMPTY_BELOW


def sizes_of(made: Calibration, rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Expected Dice and logarithm of true by said size of every mask that is called present and stands for something."""
    said = [
        (made.expected_dice(row.structure, row.signs), row)
        for row in rows
        if row.signs and row.marked and row.voxels >= LEAST_VOXELS
    ]
    return [(dice, float(np.log(row.voxels / row.marked))) for dice, row in said if dice >= made.sure_from]


def spread_of_sizes(made: Calibration, rows: Sequence[Row]) -> tuple[float, ...]:
    """Ends of the interval, in doubts: conformal quantiles of either side, wider than the data's own by what n allows.

    Source: split conformal prediction, Lei et al. 2018, J Am Stat Assoc 113:1094 (quantile of rank (n + 1)(1 - alpha)).
    """
    scores = np.sort([ratio / doubt_of(dice) for dice, ratio in sizes_of(made, rows)])
    n, tail = len(scores), (1 - COVERED) / 2
    if n < LEAST_SIZES:
        return ()
    high = min(n - 1, int(np.ceil((n + 1) * (1 - tail))) - 1)
    return float(scores[n - 1 - high]), float(scores[high])


def coverage(made: Calibration, rows: Sequence[Row]) -> tuple[int, float, float]:
    """Masks, share of true sizes inside their interval, and the interval's median width as a share of the size."""
    inside, widths = [], []
    for dice, ratio in sizes_of(made, rows):
        found = made.interval(1.0, dice)
        if found is not None:
            inside.append(found[0] <= np.exp(ratio) <= found[1])
            widths.append(found[1] - found[0])
    return len(inside), float(np.mean(inside)) if inside else 0.0, float(np.median(widths)) if widths else 0.0


def limits(made: Calibration, rows: Sequence[Row]) -> Calibration:
    """The limits of fewest wrong verdicts over masks of scans that are not spoilt.

    Wrong is, as in `benchmarks/accuracy/verdicts.py`: present or unsure where nothing is, absent where something is, and unsure of
    a good mask. Present where nothing is counts four times, as it misleads, and absent where something is twenty times. Of
    equal limits the lower ones, which hide least.
    """
    said = np.array([made.expected_dice(row.structure, row.signs) for row in rows])
    there = np.array([row.voxels >= LEAST_VOXELS for row in rows])
    none = np.array([row.voxels == 0 for row in rows])
    bad = there & (np.array([row.dice for row in rows]) < GOOD_DICE)
    best = (np.inf, 0.0, 1.0)
    for low in LIMITS:
        for high in LIMITS[low <= LIMITS]:
            present, absent = said >= high, said < low
            unsure = ~present & ~absent
            cost = (
                ((FALSE_PRESENT * present + unsure) * none).sum()
                + FALSE_ABSENT * (absent & there).sum()
                + (unsure & there & ~bad).sum()
            )
            best = min(best, (float(cost), float(low), float(high)))
    return replace(made, absent_below=round(best[1], 2), sure_from=round(best[2], 2))
