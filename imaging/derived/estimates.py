"""A number with the interval it is thought to lie in, and what a formula makes of such intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..masks.measures import EMPTY, NO_SPACING
from ..region import Region

SHARE = 0.9  # of true values that an interval is meant to hold, as in `volume_90_ml`


class NoNumberError(Exception):
    """A precondition of a formula does not hold; its text says which, and what to do."""


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 90 % interval; both ends are None where nothing is known about its error."""

    value: float
    low: float | None = None
    high: float | None = None


def propagate(formula: Callable[..., float], *inputs: Estimate) -> Estimate:
    """What a formula gives, with the interval that follows from its inputs' intervals, their errors taken as independent.

    Each input is moved to either end of its interval while the others stay; the changes downwards and upwards are added
    in quadrature each for itself, so that a crooked formula and uneven intervals keep their lean. No interval where an
    input has none, or where an end of it has no value in the formula: a volume of 0 has no ratio and no logarithm.

    Source: JCGM 100:2008 (GUM), 5.1.2, with the changes found by moving an input as in 5.1.3, note 2.
    """
    values = [one.value for one in inputs]
    middle = formula(*values)
    down, up = 0.0, 0.0
    for n, one in enumerate(inputs):
        if one.low is None or one.high is None:
            return Estimate(middle)
        try:
            changes = [formula(*values[:n], end, *values[n + 1 :]) - middle for end in (one.low, one.high)]
        except (ZeroDivisionError, ValueError):
            return Estimate(middle)
        down += min(0.0, *changes) ** 2
        up += max(0.0, *changes) ** 2
    return Estimate(middle, middle - math.sqrt(down), middle + math.sqrt(up))


def volume_by_border(region: Region) -> Estimate:
    """Volume in ml, when the border is drawn up to half a voxel too far in or out, everywhere alike.

    Every such shift is taken as equally likely, so the interval holds the middle nine tenths of them. Half a voxel
    along every axis changes the volume by half a voxel for each voxel face between inside and outside.

    Raises:
        NoNumberError: the mask is empty, or the voxel size unknown.
    """
    if region.box is None or not region.grid.spacing_known:
        raise NoNumberError(EMPTY if region.box is None else NO_SPACING)
    volume = region.voxels * region.grid.voxel_ml
    shift = SHARE * outer_faces(region.array) / 2 * region.grid.voxel_ml
    return Estimate(volume, max(0.0, volume - shift), volume + shift)


def outer_faces(array: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    """Faces between inside and outside; the array's own border is outside."""
    padded = np.pad(array, 1)
    return sum(int(np.count_nonzero(np.diff(padded, axis=axis))) for axis in range(padded.ndim))
