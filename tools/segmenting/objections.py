"""What our own checks hold against masks before they are called present."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...imaging.plausibility.assess import assess
from ...imaging.region import Region, shared_voxels
from ...imaging.volume import Mask, Volume
from ...retrieval.anatomy.structures import StructureTable

SIZE = ("volume",)  # an unusual size is what people look for: it warns, and is never a veto
OVERLAP = "overlap"  # told apart below: a small mask in a large one spoils only itself
OWN_SHARE = 0.25  # of a mask inside another that cannot be there
TOGETHER = 2  # so many other checks must object; of good held-out masks one objected to 2 % (docs/plausibility.md)


@dataclass(frozen=True)
class Objection:
    """What checks of `assess_mask` say against a mask.

    Attributes:
        vetoes: whether the mask may not be called present.
        reasons: one sentence a failed check.
    """

    vetoes: bool
    reasons: tuple[str, ...]


def objections(table: StructureTable, image: Volume, masks: Mapping[str, Mask]) -> dict[str, Objection]:
    """Structure -> what is said against its mask; those that pass every check are left out.

    Args:
        masks: of one scan by structure; each is judged beside the others that are not its kin.
    """
    regions = {name: Region.of(mask) for name, mask in masks.items()}
    found = {}
    for name, region in regions.items():
        kin = table.kin(name)
        others = {other: one for other, one in regions.items() if other not in kin}
        failed = [check for check in assess(region, name, image=image, others=others).checks if check.passed is False]
        if failed:
            telling = [check.name for check in failed if check.name not in (*SIZE, OVERLAP)]
            vetoes = len(telling) >= TOGETHER or _inside_another(region, others)
            found[name] = Objection(vetoes, tuple(check.reason for check in failed))
    return found


def _inside_another(region: Region, others: Mapping[str, Region]) -> bool:
    return any(shared_voxels(region, other) >= OWN_SHARE * region.voxels for other in others.values())
