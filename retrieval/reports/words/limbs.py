"""Which limb a structure belongs to."""

from __future__ import annotations

import re
from functools import cache

from ...anatomy.structures import StructureTable
from ..lexicon import report_words

_GIRDLES = ("clavic", "scapul", "acrom", "glute", "iliopsoas", "piriformis", "acetabul", "obturator internus", "quadratus femoris", "trochanteric",
            "ischial bursa", "ischiofemoral")  # fmt: skip
_WHOLES = 6  # steps from a part of a limb to the limb


def limb_of(organ: str, table: StructureTable) -> str:
    """ "upper limb" or "lower limb" for its parts, "" for what is not told to be a part of one."""
    row = table.get(organ)
    for _step in range(_WHOLES):
        girdle = row is not None and (row.part_of in ("shoulder", "hip") or row.name.startswith(_GIRDLES))
        if row is None or not ("limb" in row.regions or girdle):
            return ""
        for limb, stems in _stems().items():
            if stems.search(f"{row.name} {row.part_of}"):
                return limb
        row = table.get(row.part_of) if row.part_of else None
    return ""


@cache
def _stems() -> dict[str, re.Pattern[str]]:
    """Limb -> what words of its parts begin with, the leg first."""
    found: dict[str, list[str]] = {}
    for stem, limb in report_words()["limb"]:
        found.setdefault(limb, []).append(stem)
    return {limb: re.compile(rf"\b(?:{'|'.join(stems)})") for limb, stems in found.items()}


def is_region(organ: str, table: StructureTable) -> bool:
    """Whether a structure is a joint or a part of the body as a whole, as an examination is named by."""
    row = table.get(organ)
    return row is not None and row.parent in ("body region", "joint")


def is_trunk(organ: str, table: StructureTable) -> bool:
    """Whether a structure is the head, the neck, the chest, the abdomen or another part of the body but a limb."""
    row = table.get(organ)
    return row is not None and row.parent == "body region" and not limb_of(organ, table)
