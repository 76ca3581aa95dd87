"""One mask out of several: by vote, by weights, or by STAPLE, which estimates how good each of them is.

Ties are background: what half of the masks mark is not marked.

Traps of STAPLE, and what is done about them. Over a whole scan nearly every voxel is background for everybody, so
specificities are 1 and the prior is next to 0; here it is asked about the neighbourhood of what anybody marks only, and
specificities hold there. Two masks tell three shares (both, only the one, only the other) but STAPLE has four unknowns, so
it takes three masks. Where all masks are equal ITK divides by 0; there is nothing to estimate there. It has no idea of
space, and masks that share an error are taken to be right: the vote is always told beside it.

Source: Warfield, Zou, Wells 2004 (IEEE TMI 23:903), as in SimpleITK's `STAPLEImageFilter` (Apache-2.0), whose first
estimate is the mean vote. Weights that nobody gives are the Dice of each mask with the others; that is ours. The rule by which
the citizen-science system (Syahmi et al. 2024, arXiv 2409.03087) merges the masks of its crowd could not be read: not STAPLE,
not these weights are claimed to be it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from .votes import Votes

LEAST_FOR_STAPLE = 3
MOST_ROUNDS = 500  # of expectation and maximisation; toys settle within 100
_TIE = 1e-9  # of the sum of weights: sums of decimal fractions that should be equal differ by less
Marked = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Staple:
    """What STAPLE makes of masks.

    Attributes:
        marked: (v), probability above 0.5.
        sensitivity, specificity: of each mask against the estimated truth, in the neighbourhood; in [0, 1].
        has_settled: False when it still moved after `MOST_ROUNDS`.
    """

    marked: Marked
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]
    has_settled: bool


def by_vote(votes: Votes) -> Marked:
    """(v), marked by more than half of the masks; of two, by both."""
    return by_weight(votes, [1.0] * len(votes.marks))


def by_weight(votes: Votes, weights: Sequence[float]) -> Marked:
    """(v), where the masks that mark a voxel have more than half of all weight.

    Raises:
        BadCall: not one weight per mask, a weight below 0, or all 0.
    """
    given = np.asarray(weights, np.float64)
    if len(given) != len(votes.marks):
        raise BadCall(
            f"{len(given)} weights were given for {len(votes.marks)} masks. Give one per mask, in their order."
        )
    if not np.isfinite(given).all() or (given < 0).any() or not given.sum() > 0:
        raise BadCall(f"The weights {list(weights)} are impossible. Each must be 0 or more, and one of them above 0.")
    weight = np.zeros(votes.marks.shape[1])
    for row, of_mask in zip(votes.marks, given, strict=True):
        weight[row] += of_mask
    found: Marked = weight > given.sum() / 2 * (1 + _TIE)
    return found


def weights_by_agreement(votes: Votes) -> tuple[float, ...]:
    """A weight per mask: its Dice with what the others mark; all 1 where nobody agrees with anybody.

    Raises:
        BadCall: fewer than three masks; two agree with each other alike.
    """
    if len(votes.marks) < LEAST_FOR_STAPLE:
        raise BadCall(
            "Of two masks nobody can tell which is better, so no weights can be estimated. Give weights, or a third mask."
        )
    found = tuple(votes.dice_to_others(number) for number in range(len(votes.marks)))
    return found if any(found) else (1.0,) * len(found)


def by_staple(votes: Votes) -> Staple | None:
    """The truth that STAPLE estimates, and how good each mask is; None where all masks are equal.

    Raises:
        BadCall: fewer than three masks.
    """
    if len(votes.marks) < LEAST_FOR_STAPLE:
        raise BadCall(
            f"STAPLE was asked about {len(votes.marks)} masks. It needs {LEAST_FOR_STAPLE}: of two it cannot tell which is "
            "wrong. Use method='vote' (what both mark), 'weighted' with weights of yours, or add a mask."
        )
    if (votes.marks == votes.marks[0]).all():
        return None
    import SimpleITK as sitk  # loads slowly

    able = sitk.STAPLEImageFilter()
    able.SetForegroundValue(1.0)
    able.SetMaximumIterations(MOST_ROUNDS)
    chances = able.Execute([sitk.GetImageFromArray(row[None].astype(np.uint8)) for row in votes.marks])
    return Staple(
        marked=sitk.GetArrayFromImage(chances)[0] > 0.5,
        sensitivity=tuple(able.GetSensitivity()),
        specificity=tuple(able.GetSpecificity()),
        has_settled=able.GetElapsedIterations() < MOST_ROUNDS,
    )
