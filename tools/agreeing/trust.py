"""What may be believed of merged masks, in words: agreement is told, and never called truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...imaging.consensus.votes import FEW_SHARED, Votes
from ...store.records import MaskRecord
from ..desk.desk import Desk
from ..segmenting.second_opinions import makers
from ..segmenting.sizes import Sizes

NEAR_VOTE = 0.9  # Dice of STAPLE's mask and the vote's below which both are to be looked at; our choice


def say_trust(votes: Votes, merged_voxels: int, sizes: Sizes, *, staple_vote: float | None) -> str:
    """A sentence or two on what the masks settle and what they leave open.

    Args:
        merged_voxels: of the merged mask.
        staple_vote: Dice of STAPLE's mask and the vote's; None where STAPLE estimated nothing.
    """
    count, agreed, marked = len(votes.marks), votes.voxels_of_all, votes.voxels_of_any
    if not marked:
        return "Every mask is empty, so there is nothing to merge. That is no proof that the structure is not there."
    if min(votes.voxels) == 0 and count == 2:
        return (
            "One mask is empty and the other is not: they disagree on whether the structure is there at all, and no merging "
            "settles that. Ask a third."
        )
    if not merged_voxels:
        return (
            "No voxel has enough votes, so there is no merged mask: the masks mark different places. "
            "Look at each of them; do not use any of them for what they agree on."
        )
    if agreed == marked:
        return (
            f"All {count} masks are equal voxel by voxel: either the border is clear, or they are copies of each other."
        )
    everybody = "Both" if count == 2 else f"All {count}"
    apart = votes.stands_apart()
    least = min(value for pair, value in votes.pairs.items() if apart not in pair)
    if least < FEW_SHARED:
        told = f"Some of these masks hardly mark the same thing (Dice {least:.2f}): look at each before you use any. "
    else:
        told = ""
    if agreed:
        told += f"{everybody} mark {sizes.say(agreed)}, the part least in doubt; {1 - agreed / marked:.0%} of what anybody marks is disputed."
    else:
        told += f"No voxel is marked by all {count}, so no part is undisputed; what was merged rests on some of them."
    if count == 2:
        told += " Two masks cannot tell which of them is wrong where they differ."
    if staple_vote is not None and staple_vote < NEAR_VOTE:
        told += (
            f" STAPLE's mask and the majority's differ (Dice {staple_vote:.2f}): STAPLE may follow an error that several "
            "share. Compare with method='vote' before you use it."
        )
    return told


def warn_of(desk: Desk, records: Sequence[MaskRecord], votes: Votes) -> list[str]:
    """Masks that are empty, and masks that are not independent of each other."""
    found = []
    unsure = [record.mask_id for record in records if record.facts.get("verdict") == "unsure"]
    if unsure:
        found.append(f"{', '.join(unsure[:5])} is unsure itself; do not rely on it.")
    empty = [record.mask_id for record, count in zip(records, votes.voxels, strict=True) if not count]
    if empty and len(empty) < len(records):
        found.append(f"{', '.join(empty[:5])} marks nothing, which counts as a vote that nothing is there.")
    ids = {record.mask_id for record in records}
    made = [makers(desk, record) for record in records]
    shared = [model for model, count in Counter(model for models in made for model in models).items() if count > 1]
    if shared:
        found.append(
            f"Several masks come from {', '.join(sorted(shared))}: where those agree it is one opinion, not two."
        )
    children = [r.mask_id for r in records if ids & set(r.facts.get("provenance", {}).get("inputs", []))]
    if children:
        found.append(
            f"{', '.join(children[:5])} was made from another of these masks, so they are no independent opinions."
        )
    return found
