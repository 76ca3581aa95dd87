"""What kind of thing a structure is in the words of people: a vessel, a bone, an organ."""

from __future__ import annotations

from collections.abc import Sequence

# Word -> kinds of the table and words of names it stands for; a kind of its own name stands for itself.
_MEANS = {
    "vessel": ("artery", "vein", "aorta", "cava"),
    "artery": ("artery", "aorta"),
    "vein": ("vein", "cava"),
    "gland": ("gland", "glands", "pancreas", "prostate", "liver"),  # what digests or makes fluids counts, too
    "muscle": ("muscle", "muscles", "heart", "myocardium", "diaphragm", "tongue"),  # the heart is one, to everybody
    "bone": ("bone", "bones"),
    "nerve": ("nerve", "nerves"),
}
KINDS = tuple(_MEANS)
_NO_ORGANS = frozenset({
    "bone", "bones", "artery", "vein", "nerve", "lesion", "joint", "ligament", "tendon", "tooth", "cartilage", "body",
    "compartment", "muscle", "muscles",
})  # fmt: skip


def is_kind(names: Sequence[str], word: str) -> bool:
    """Whether a structure is what a word calls it.

    Args:
        names: the structure's own name, then the groups and kinds above it (`StructureTable.above`).
        word: "organ", one of `KINDS`, or a kind of the table.
    """
    words = {part for name in names for part in (name, *name.split())}
    if word == "organ":
        return words.isdisjoint(_NO_ORGANS)
    return not words.isdisjoint(_MEANS.get(word, (word,)))
