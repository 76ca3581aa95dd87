"""From a pool of equally taught networks, the one that contradicts itself least on this scan (after DAUGS). Torch-free.

Paper: DAUGS, Journal of Cardiovascular Magnetic Resonance 2024 (TIM-Lab/DAUGS, MATLAB; written anew from its description).
Takes: anything that answers probabilities for a patch. Returns: a map of how far overlapping patches disagree, one
    number of it per network, and a choice.
Weights: the pool's.
Left out: the post filters of the myocardium, and majority voting in the place of the mean.

U_pp is a squared probability per marked voxel: numbers of one task compare networks, numbers of two tasks nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...imaging.volume import BoolArray

Float = npt.NDArray[np.float64]


def patch_starts(length: int, patch: int, stride: int) -> list[int]:
    """First indices of patches along an axis: ceil((length - patch + 1) / stride) of them.

    One more at the far end where those would leave the border out; a patch longer than the axis gives one.

    Source: DAUGS's count (128, 64, 16 gives 5; 128, 64, 2 gives 33); the last one is ours.
    """
    if patch >= length:
        return [0]
    count = math.ceil((length - patch + 1) / stride)
    starts = [n * stride for n in range(count)]
    return starts if starts[-1] + patch == length else [*starts, length - patch]


@dataclass(frozen=True)
class OverlapMaps:
    """What overlapping patches say of every voxel, per structure (n x y z).

    Attributes:
        mean: probability.
        spread: sample standard deviation (n - 1); 0 where one patch alone looked.
        cover: (x y z) patches that looked.
    """

    mean: Float
    spread: Float
    cover: npt.NDArray[np.int64]

    @property
    def mask(self) -> BoolArray:
        """(n x y z): the rounded mean."""
        return np.asarray(self.mean >= 0.5)


def overlap_maps(
    array: npt.NDArray[np.float32],
    look: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]],
    *,
    patch: Sequence[int],
    stride: Sequence[int],
) -> OverlapMaps:
    """Look at a scan (x y z) patch by patch; sums and sums of squares in double precision, one pass.

    Args:
        look: probabilities (n x y z) of a patch (x y z).
    """
    starts = [patch_starts(n, p, s) for n, p, s in zip(array.shape, patch, stride, strict=True)]
    total: Float | None = None
    cover = np.zeros(array.shape, dtype=np.int64)
    for corner in itertools.product(*starts):
        where = tuple(slice(a, min(a + p, n)) for a, p, n in zip(corner, patch, array.shape, strict=True))
        found = np.asarray(look(array[where]), dtype=np.float64)
        if total is None:
            total, squares = np.zeros((len(found), *array.shape)), np.zeros((len(found), *array.shape))
        total[(slice(None), *where)] += found
        squares[(slice(None), *where)] += found**2
        cover[where] += 1
    assert total is not None
    mean = total / cover
    variance = (squares - cover * mean**2) / np.maximum(cover - 1, 1)
    return OverlapMaps(mean, np.sqrt(np.clip(np.where(cover > 1, variance, 0), 0, None)), cover)


def u_pp(maps: OverlapMaps, *, least_cover: int = 2) -> float:
    """Sum of squared spread over marked voxels, in all structures together; infinite when nothing is marked.

    Args:
        least_cover: voxels that fewer patches looked at are left out of both; corners are seen once, and one patch
            cannot disagree.

    Source: DAUGS, U_pp = ||U||_F^2 / segmented pixels; `least_cover` is ours (their edge-removed variant).
    """
    seen = maps.cover >= least_cover
    marked = int(np.count_nonzero(maps.mask & seen))
    return float((maps.spread**2 * seen).sum() / marked) if marked else math.inf


@dataclass(frozen=True)
class Choice:
    """Which member of a pool to believe.

    Attributes:
        member: its name; None when every member marked nothing.
        scores: member -> uncertainty, the smaller the better.
        all_uncertain: True when even the best is above the limit given, or nothing was marked by anyone.
    """

    member: str | None
    scores: Mapping[str, float]
    all_uncertain: bool


def choose(scores: Mapping[str, float], *, limit: float = math.inf) -> Choice:
    """The member of least uncertainty; the earlier one of equals. Infinite ones are never chosen.

    Args:
        limit: uncertainty above which even the best is not to be trusted; from other scans of the same task.
    """
    finite = {name: value for name, value in scores.items() if math.isfinite(value)}
    if not finite:
        return Choice(None, dict(scores), all_uncertain=True)
    best = min(finite, key=lambda name: finite[name])
    return Choice(best, dict(scores), all_uncertain=finite[best] > limit)
