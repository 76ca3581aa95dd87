"""Codes of structures for written DICOM: SNOMED CT where our table has one, else UBERON, else a private scheme.

Source: the class-to-code table of TotalSegmentator (github wasserth/TotalSegmentator, Apache-2.0) and the DICOM context
groups of PS3.16 as listed by pydicom (`pydicom.sr.codedict`, MIT). SNOMED CT identifiers are used as DICOM
allows them in DICOM objects (PS3.16 §8.1); they keep their own licence.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "structure_codes.tsv"
PRIVATE_SCHEME = "99OSTENSOR"
_SIDES = ("left", "right")


@dataclass(frozen=True)
class Code:
    """A coded concept: scheme designator, value (at most 16 characters), meaning (at most 64)."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class StructureCode:
    """What a segment shows.

    Attributes:
        category: CID 7150, such as "Anatomical Structure".
        side: CID 244 modifier, or None for an unpaired structure.
    """

    category: Code
    type: Code
    side: Code | None = None


# Source: DICOM PS3.16, CID 7150 and CID 244.
ANATOMY = Code("SCT", "91723000", "Anatomical Structure")
ABNORMAL = Code("SCT", "49755003", "Morphologically Abnormal Structure")
_CATEGORIES = {"anatomy": ANATOMY, "abnormal": ABNORMAL}
_MODIFIERS = {
    "left": Code("SCT", "7771000", "Left"),
    "right": Code("SCT", "24028007", "Right"),
    "both": Code("SCT", "51440002", "Right and left"),
}


def structure_code(name: str | None, *, uberon: str = "") -> StructureCode:
    """The codes of a structure.

    Args:
        name: canonical name such as "left kidney"; None for a mask nobody named.
        uberon: such as "UBERON:0002107", used when the table has no code for the name.
    """
    wanted = (name or "").strip().lower()
    side, _, base = wanted.partition(" ")
    rows = _rows()
    if wanted in rows:
        category, code, is_pair = rows[wanted]
        return StructureCode(category, code, _MODIFIERS["both"] if is_pair else None)
    if side in _SIDES and base in rows:
        category, code, _ = rows[base]
        return StructureCode(category, code, _MODIFIERS[side])
    if uberon.startswith("UBERON:"):
        return StructureCode(ANATOMY, Code("UBERON", uberon.removeprefix("UBERON:"), wanted[:64]))
    meaning = wanted[:64] or "unnamed region"
    value = meaning.replace(" ", "_") if len(meaning) <= 16 else hashlib.sha256(wanted.encode()).hexdigest()[:12]
    return StructureCode(ANATOMY, Code(PRIVATE_SCHEME, value, meaning))


def structures_of(scheme: str, value: str, side: str = "") -> tuple[str, ...]:
    """Names that a code stands for, "left" or "right" before them where a modifier says so; () for codes of no row.

    Args:
        scheme: only "SCT" (SNOMED CT) is known.
    """
    if scheme != "SCT":
        return ()
    names = [name for name, (_, code, is_pair) in _rows().items() if code.value == value and not is_pair]
    return tuple(f"{side} {name}" if side in _SIDES else name for name in names)


@cache
def _rows() -> dict[str, tuple[Code, Code, bool]]:
    """Category, type and whether the name is a pair, by name."""
    rows: dict[str, tuple[Code, Code, bool]] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            category, code = _CATEGORIES[line["category"]], Code("SCT", line["code"], line["meaning"])
            for name, is_pair in ((line["name"], False), (line["pair"], True)):
                if name in rows:
                    raise ValueError(f"'{name}' has two codes")
                if name:
                    rows[name] = (category, code, is_pair)
    return rows
