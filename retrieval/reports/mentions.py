"""Structures and lesions named in words, with the side that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..anatomy.lesions import is_lesion
from ..anatomy.structures import StructureTable
from .lexicon import Match, Phrases, report_words

Kind = Literal["structure", "lesion"]
SHORTEST = 4  # letters; "la", "cor" and "ren" are too often something else in a sentence
_SIDES = {"left": "left", "right": "right", "lt": "left", "rt": "right", "bilateral": "both", "both": "both",
          "bilaterally": "both", "leftsided": "left", "rightsided": "right"}  # fmt: skip
_SIDE_REACH = 4  # words between a side and what it belongs to
_STOP = ("and", "or", "but", "while", "with")
_NOT_A_SIDE = ("lobe", "upper", "lower", "quadrant", "atrium", "ventricle", "colon", "hepatic")


@dataclass(frozen=True)
class Mention:
    """A structure or lesion in a list of words.

    Attributes:
        name: canonical name of the structure ("kidneys"), or the kind of lesion ("cyst").
        first, last: words `first` up to and without `last`.
        how: "name", "adjective" ("hepatic"), "surgery" ("nephrectomy") or "megaly" ("splenomegaly").
        side: "left", "right", "both" or "".
    """

    kind: Kind
    name: str
    first: int
    last: int
    how: str
    side: str


def mentions(words: Sequence[str], table: StructureTable | None = None) -> list[Mention]:
    """Every structure and lesion, left to right.

    Args:
        words: lower case, as of `lexicon.tokens`.
    """
    table = table or StructureTable.bundled()
    found = _phrases(table).find(words)
    return [_mention(match, words, found, table) for match in found]


def named_structure(table: StructureTable, name: str, side: str) -> str:
    """The half of a pair on a side, or the name itself: ("kidneys", "left") -> "left kidney"."""
    if side in ("left", "right"):
        other = {"left": "right ", "right": "left "}[side]
        if name.startswith(other) and table.get(f"{side} {name.removeprefix(other)}"):
            return f"{side} {name.removeprefix(other)}"
        for part in table.expand(name):
            row = table.get(part)
            if row is not None and row.side == side:
                return part
        half = table.get(f"{side} {name}")  # unpaired in the table, though two in the body: "left pulmonary artery"
        if half is not None and half.side in ("", side) and half.name.startswith(side):
            return half.name
    return name


def whole(table: StructureTable, name: str) -> str:
    """The pair a half belongs to, or the name itself: "left kidney" -> "kidneys"."""
    row = table.get(name)
    return row.parent if row is not None and row.side in ("left", "right") and table.get(row.parent) else name


@cache
def _phrases(table: StructureTable) -> Phrases[tuple[Kind, str, str]]:
    words = report_words()
    entries: list[tuple[str, tuple[Kind, str, str]]] = []
    for how in ("adjective", "surgery", "megaly"):
        entries += [(term, ("structure", name, how)) for term, name in words[how] if table.get(name)]
    for row in table.rows:
        if not is_lesion(table, row.name):
            entries += [(term, ("structure", row.name, "name")) for term in row.terms if len(term) >= SHORTEST]
    entries += [(term, ("lesion", name, "name")) for term, name in words["lesion"]]
    return Phrases(entries, plurals=True)


def _mention(
    match: Match[tuple[Kind, str, str]],
    words: Sequence[str],
    found: Sequence[Match[tuple[Kind, str, str]]],
    table: StructureTable,
) -> Mention:
    kind, name, how = match.value
    row = table.get(name) if kind == "structure" else None
    side = row.side if row is not None else ""
    if side in ("left", "right") and _other_side_too(words, match.first, side):
        return Mention(kind, whole(table, name), match.first, match.last, how, "both")
    if (row is not None and side == "both") or kind == "lesion":
        side = _side_near(match, words, found)
    return Mention(kind, name, match.first, match.last, how, side)


def _side_near(
    match: Match[tuple[Kind, str, str]], words: Sequence[str], found: Sequence[Match[tuple[Kind, str, str]]]
) -> str:
    """The side said just before, or just after as in "kidney on the left"; nothing else may stand between."""
    taken = {n for other in found if other is not match for n in range(other.first, other.last)}
    before = [w for w in range(match.first - 1, max(-1, match.first - 1 - _SIDE_REACH), -1)]
    after = list(range(match.last, min(len(words), match.last + _SIDE_REACH)))
    for run, direction in ((before, -1), (after, 1)):
        for n in run:
            if n in taken or (words[n] in _STOP and not _both_sides(words, n)):
                break
            if words[n] in _SIDES and not (n + 1 < len(words) and words[n + 1] in _NOT_A_SIDE):
                other = n - 2 if direction < 0 else n + 2
                if 0 <= other < len(words) and words[(n + other) // 2] == "and" and words[other] in _SIDES:
                    return "both"
                return _SIDES[words[n]]
            if direction > 0 and words[n] not in ("on", "in", "the", "at", "side", "of"):
                break
    return ""


def _other_side_too(words: Sequence[str], first: int, side: str) -> bool:
    """ "right and" before "left kidneys"."""
    return first >= 2 and words[first - 1] in ("and", "or") and _SIDES.get(words[first - 2], side) not in (side, "both")


def _both_sides(words: Sequence[str], n: int) -> bool:
    return 0 < n < len(words) - 1 and words[n - 1] in _SIDES and words[n + 1] in _SIDES
