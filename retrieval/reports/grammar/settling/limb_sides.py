"""Sides that a report tells once for a limb and leaves out afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....anatomy.structures import StructureTable
from ...words.limbs import is_region, limb_of
from ..entries import Entry, Place


def give_limb_sides(
    paragraphs: Sequence[Sequence[Entry]],
    sided: Sequence[tuple[int, Place]],
    whole: Sequence[Place],
    table: StructureTable,
) -> None:
    """A part of a limb without a side is on the only side that its sentence, paragraph or report names for that limb.

    Args:
        sided: structures named with a side, and in which sentence.
        whole: joints and limbs named; where both are, a side holds only in its own sentence.
    """
    named = [(sentence, limb_of(place.organ, table), place.side) for sentence, place in sided]
    named = [one for one in named if one[1]]
    regions = [place for _sentence, place in sided if is_region(place.organ, table)]
    pairs = {limb_of(place.organ, table) for place in whole if place.side in ("both", "plural")}
    about = {(limb_of(place.organ, table), place.side) for place in regions}
    for entries in paragraphs:
        here = {entry.sentence for entry in entries}
        for entry in entries:
            place = entry.place
            row = table.get(place.organ) if place is not None else None
            if (
                place is None
                or row is None
                or row.side not in ("both", "")
                or entry.side
                or place.side not in ("", "plural")
            ):
                continue
            limb = limb_of(place.organ, table)
            if place.side == "plural":  # "MRI right leg … popliteal and femoral veins", but not "knees normal"
                told = [side for other, side in about if other == limb]
                if not told and limb and row.parent in ("artery", "vein"):
                    told = list({side for _s, other, side in named if other == limb})
                if "limb" in row.regions and not is_region(place.organ, table) and len(told) == 1:
                    entry.place = replace(place, side=told[0])
                continue
            for sentences in ({entry.sentence}, here, None) if limb not in pairs else ({entry.sentence},):
                sides = {side for s, other, side in named if other == limb and (sentences is None or s in sentences)}
                if len(sides) == 1:
                    entry.place = replace(place, side=sides.pop())
                if sides or entry.place is not place:
                    break
