"""Limits of verdicts and intervals of sizes, found on masks of held-out patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...models.inference.calibration import Calibration, Signs, doubt_of
from ...models.inference.presence import Presence, Traces

LEAST_VOXELS = 30  # a truth of fewer says neither there nor not there
GOOD_DICE = 0.5
LIMITS = np.arange(0.05, 0.96, 0.05)
CHANCES = np.arange(0.01, 0.51, 0.01)
FALSE_ABSENT = 0.01  # most of the structures in view that may be called absent
FALSE_PRESENT = 4  # times as bad as an unsure verdict
HONEST = ("none", "crop", "half", "wrong kind", "window", "contrast", "larger", "smaller")  # scans that nothing spoils
COVERED, LEAST_SIZES = 0.9, 40  # share of sizes in an interval; masks it takes to find one


@dataclass(frozen=True)
class Row:
    """One mask: what it looked like and how good it was.

    Attributes:
        change: how the scan was spoilt; "wrong kind" for a scan that cannot contain the structure.
        voxels: of the truth.
        marked: voxels of the mask.
        traces: of what the network saw, mask or none.
    """

    patient: str
    structure: str
    change: str
    signs: Signs
    dice: float
    voxels: int
    marked: int = 0
    traces: Traces = ()

    @property
    def tells(self) -> bool:
        """Whether it tells about presence: a truth of a few voxels says neither there nor not there."""
        return bool(self.traces) and (self.voxels == 0 or self.voxels >= LEAST_VOXELS)


def absent_limit(made: Presence, rows: Sequence[Row]) -> float:
    """The chance below which a structure shall count as absent: the highest that hides at most `FALSE_ABSENT` of those there."""
    telling = [row for row in rows if row.tells]
    said = np.array([made.chance(row.structure, row.traces) for row in telling])
    there = np.array([row.voxels > 0 for row in telling], dtype=bool)
    hidden = [float((said[there] < limit).mean()) if there.any() else 1.0 for limit in CHANCES]
    return round(
        max((float(limit) for limit, share in zip(CHANCES, hidden, strict=True) if share <= FALSE_ABSENT), default=0.0),
        2,
    )


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
    """The limits of fewest wrong verdicts over masks of scans that are not spoilt, and its absent limit.

    A mask is present when its expected Dice and, where that is known, its chance of presence reach their limits. Wrong is, as
    in `benchmarks/accuracy/verdicts.py`: present where nothing is, which counts four times, as it misleads, and unsure of a
    good mask. Of equal limits the lower ones, which hide least.
    """
    marked = [row for row in rows if row.signs]
    said = np.array([made.expected_dice(row.structure, row.signs) for row in marked])
    none = np.array([row.voxels == 0 for row in marked], dtype=bool)
    good = np.array([row.voxels >= LEAST_VOXELS and row.dice >= GOOD_DICE for row in marked], dtype=bool)
    presence = made.presence
    chances = np.array([1.0 if presence is None else presence.chance(row.structure, row.traces) for row in marked])
    best = (np.inf, 0.0, 1.0)
    for chance in (0.0, *LIMITS) if presence is not None else (0.0,):
        for dice in LIMITS:
            present = (said >= dice) & (chances >= chance)
            cost = FALSE_PRESENT * (present & none).sum() + (~present & good).sum()
            best = min(best, (float(cost), float(chance), float(dice)))
    if presence is not None:
        presence = replace(presence, absent_below=absent_limit(presence, rows), present_from=round(best[1], 2))
    return replace(made, sure_from=round(best[2], 2), presence=presence)
