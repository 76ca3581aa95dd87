"""Does a mask agree with what somebody of known quality finds in the same scan?

The other maker (a network whose masks' Dice can be foretold, `models.calibration`) must expect to be right; then a
mask that agrees with it much less than expected is odd, and the two masks tell how: elsewhere, in part, or another
structure. Whoever made the mask must not be asked about it.

Source: our own; the idea of judging a mask by another one of known quality is that of reverse classification accuracy
(Valindria et al. 2017, arXiv 1702.03407), with the roles turned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..masks.dice import dice_of_regions
from ..masks.measures import FACES
from ..region import Region, shared_voxels
from .checks import Check, judged, unknown

NAME = "second opinion"
LEAST_SURE = 0.7  # expected Dice from which a maker is asked at all
MARGIN = 0.15  # of Dice below the expected one; 50 good masks of other patients fell short by 0.08 at most
OTHERS_DICE = 0.6  # from here on the mask is another structure of the maker's
MOSTLY = 0.7  # share of the mask inside the maker's from which it is a part of it
APART = 0.08  # of its length: a centre moved by more has lost one end; by 0.19 when half an ellipsoid is gone


@dataclass(frozen=True)
class Opinion:
    """A mask of the same scan by somebody else.

    Attributes:
        expected_dice: with the truth, as foretold; 0 to 1.
        maker: whose name the answer gives.
    """

    region: Region
    expected_dice: float
    maker: str


def second_opinion(region: Region, structure: str, opinions: Mapping[str, Opinion]) -> Check:
    """Compare a mask with the opinions on its scan, by structure.

    Not asked where nobody has an opinion on the structure or its maker does not expect to be right.
    """
    own = opinions.get(structure)
    if own is None:
        return unknown(NAME, f"No other model here has an opinion on '{structure}' in such a scan.")
    if own.expected_dice < LEAST_SURE or not own.region.voxels:
        return unknown(
            NAME, f"{own.maker} is not sure enough itself (expected Dice {own.expected_dice:.2f}) to be asked."
        )
    found = dice_of_regions(region, own.region)
    limit = own.expected_dice - MARGIN
    told = (
        f"{own.maker}, whose {structure} should have a Dice of {own.expected_dice:.2f}, agrees with a Dice of {found:.2f}"
        f" only: {_difference(region, structure, opinions)}."
    )
    source = f"expected Dice of {own.maker} less {MARGIN:g}; our choice"
    return judged(NAME, found, round(limit, 4), None, said=told, source=source)


def _difference(region: Region, structure: str, opinions: Mapping[str, Opinion]) -> str:
    """What the disagreement is, in words."""
    own = opinions[structure].region
    rivals = {
        n: dice_of_regions(region, o.region)
        for n, o in opinions.items()
        if o.expected_dice >= LEAST_SURE and n != structure
    }
    rival = max(rivals, key=lambda name: rivals[name], default="")
    if rival and rivals[rival] >= max(OTHERS_DICE, dice_of_regions(region, own)):
        return f"it rather is the {rival} (Dice {rivals[rival]:.2f})"
    both = shared_voxels(region, own)
    if not both:
        return f"it lies {_way(own, region)} of it"
    if both >= MOSTLY * region.voxels:
        return f"{1 - both / own.voxels:.0%} of it is missing, {_missing_where(region, own)}"
    if both >= MOSTLY * own.voxels:
        return f"it holds {region.voxels / own.voxels:.1f} times as much"
    return f"it lies {_way(own, region)} of it and shares {both / own.voxels:.0%} of it"


def _way(start: Region, end: Region) -> str:
    """How far and where to a centre lies from another, along the axis of the greatest distance."""
    way = _step(start, end)
    axis = int(np.abs(way).argmax())
    word = FACES[axis][int(way[axis] > 0)]
    unit = "mm" if start.grid.spacing_known else "voxels"
    return f"{abs(way[axis]):.0f} {unit} {word}"


def _step(start: Region, end: Region) -> np.ndarray:
    """From one centre to another in RAS+, mm; in voxels where their size is unknown."""
    moved: np.ndarray = start.axes_mm @ (end.centre_index - start.centre_index)
    return moved


def _missing_where(region: Region, own: Region) -> str:
    """Where the part of `own` lies that the mask does not have."""
    step = -_step(own, region)  # the mask's centre moves away from what is missing
    shares = step / (np.abs(own.axes_mm) @ np.array(own.array.shape))
    axis = int(np.abs(shares).argmax())
    if abs(shares[axis]) < APART:
        return "all around"
    return f"at its {FACES[axis][int(step[axis] > 0)]} end"
