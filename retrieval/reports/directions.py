"""Along which way of the body a report tells a size: "18 cm craniocaudally", "AP diameter 31 mm", "4 x 3 x 5 cm (AP x TR x CC)"."""

from __future__ import annotations

import re
from typing import Literal

# "length" is along the thing itself, "short" at right angles to its longest line in a slice.
Direction = Literal["", "craniocaudal", "transverse", "anteroposterior", "length", "short"]

NOWHERE: Direction = ""

_WORDS: dict[Direction, str] = {
    "craniocaudal": r"(?i:cranio-?caudal(?:ly)?|cephalo-?caud(?:al|ad)(?:ly)?|supero-?inferior(?:ly)?|height|span|tall)|CC|SI",
    "transverse": r"(?i:transverse(?:ly)?|medio-?lateral(?:ly)?|width)|TR|TV|TRV|LR|ML",
    "anteroposterior": r"(?i:antero-?posterior(?:ly)?)|AP(?!\s+window)",
    "short": r"(?i:short[\s-]+axis)|SAD",
    "length": r"(?i:length|longitudinal(?:ly)?|long(?!\s+axis))",
}
_ANY = "|".join(rf"\b(?:{words})\b" for words in _WORDS.values())
_WHAT = r"(?i:dimensions?|diameters?|extents?|extension|lengths?|size|measurements?|directions?|axis|span)"
_AFTER = re.compile(
    rf"^[\s,]*\(?\s*(?i:in\s+)?(?i:(?:the|its|maximum|maximal|greatest)\s+)*"
    rf"((?:{_ANY})(?:(?:\s*(?:[x×,/*]|\band\b|\bby\b)\s*)+(?:{_ANY}))*)"
)
_BEFORE = re.compile(
    rf"({_ANY})\s*(?:{_WHAT}\s*)?(?i:of\s+(?:[\w-]+\s+){{1,4}}(?=is\b|was\b|measure))?(?i:(?:of|is|was|are|measur\w+|about|approximately|approx\.?|up|to|at|=|:|~|up to)\s*)*$"
)
_INSIDE = re.compile(rf"\s*\(?\s*({_ANY})")


def directions(text: str, numbers: list[int], end: int) -> tuple[Direction, ...]:
    """For each number of one size the way it is told along; "" where none is.

    Args:
        numbers: where they end, in the order of the text.
        end: where the size ends, behind its last unit.
    """
    found = tuple(_inside(text, number) for number in numbers)
    if any(found[:-1]):
        return (*found[:-1], found[-1] or _inside(text, end))
    after = _AFTER.match(text[end : end + 90])
    said = tuple(_way(word.group()) for word in re.finditer(_ANY, after.group(1))) if after else ()
    return said if len(said) == len(numbers) else found


def direction_before(text: str, start: int) -> Direction:
    """The way told in front of a single number: "a craniocaudal length of 18 cm"."""
    before = _BEFORE.search(text[max(0, start - 60) : start])
    return _way(before.group(1)) if before else ""


def _inside(text: str, end: int) -> Direction:
    """The word behind one of several numbers: "4.2 (AP) x 3.1 (TR)"."""
    match = _INSIDE.match(text, end)
    return _way(match.group(1)) if match else ""


def _way(word: str) -> Direction:
    return next(way for way, words in _WORDS.items() if re.fullmatch(words, word))
