"""Sizes in words: "2.3 x 1.8 cm", "12 mm", "up to 3 cm", "250 ml", all in mm and ml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_NUMBER = r"\d+(?:[.,]\d+)?"
_UNIT = r"mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?"
_SIZE = re.compile(
    rf"(?P<a>{_NUMBER})\s*(?:{_UNIT})?(?:\s*(?:x|×|\*|by)\s*(?P<b>{_NUMBER})\s*(?:{_UNIT})?)?"
    rf"(?:\s*(?:x|×|\*|by)\s*(?P<c>{_NUMBER})\s*(?:{_UNIT})?)?(?:\s*(?:-|–|to)\s*(?P<to>{_NUMBER})\s*(?:{_UNIT})?)?",
    re.IGNORECASE,
)
_UNIT_IN = re.compile(_UNIT, re.IGNORECASE)
_VOLUME = re.compile(rf"({_NUMBER})\s*(ml|cc|cm3|cm³|millilit(?:er|re)s?|l|lit(?:er|re)s?)\b", re.IGNORECASE)
_PRIOR = re.compile(
    r"(previous(?:ly)?|prior|formerly|was|from|compared (?:to|with)|versus|vs)[\s(:]*(?:measur\w+|size of)?\s*$",
    re.IGNORECASE,
)
_NOT_SIZE = re.compile(
    r"^\s*(?:thick|slices?|cuts?|sections?|collimation|from|above|below|away|distal|proximal)\b", re.IGNORECASE
)
_BOUND = re.compile(
    r"(?P<most>up to|less than|smaller than|under|below|at most|<|≤)|(?P<least>at least|more than|greater than|larger than|over|exceeding|>|≥)",
    re.IGNORECASE,
)
Bound = Literal["", "at most", "at least"]


@dataclass(frozen=True)
class Size:
    """A length or volume as written and where it stands.

    Attributes:
        mm: dimensions in mm, the longest first; empty for a volume.
        ml: volume in ml, or None.
        is_prior: it tells the size at an earlier examination.
    """

    mm: tuple[float, ...]
    ml: float | None
    bound: Bound
    is_prior: bool
    start: int
    end: int


def sizes(text: str) -> list[Size]:
    """Every length and volume with a unit, in the order of the text; slice thicknesses and distances are left out."""
    found = []
    volumes = [(m.start(), m.end()) for m in _VOLUME.finditer(text)]
    for match in _VOLUME.finditer(text):
        litre = match.group(2).lower().startswith("l")
        ml = _value(match.group(1)) * (1000 if litre else 1)
        found.append(Size((), ml, *_around(text, match.start()), match.start(), match.end()))
    for match in _SIZE.finditer(text):
        unit = _UNIT_IN.findall(match.group())
        if not unit or any(a < match.end() and match.start() < b for a, b in volumes):
            continue
        if _NOT_SIZE.match(text[match.end() :]) or (match.start() and text[match.start() - 1].isalnum()):
            continue
        mm = _in_mm(match)
        found.append(Size(mm, None, *_around(text, match.start()), match.start(), match.end()))
    return sorted(found, key=lambda size: size.start)


def _value(text: str) -> float:
    return float(text.replace(",", "."))


def _in_mm(match: re.Match[str]) -> tuple[float, ...]:
    """Each dimension has its own unit or the next one's: "12 x 9 mm", "1 cm x 8 mm"."""
    text, start = match.group(), match.start()
    last = _UNIT_IN.findall(text)[-1]
    numbers = []
    for name in ("a", "b", "c", "to"):
        if match.group(name) is None:
            continue
        own = _UNIT_IN.match(text[match.end(name) - start :].lstrip())
        factor = 10 if (own.group() if own else last).lower().startswith("c") else 1
        numbers.append(round(_value(match.group(name)) * factor, 3))
    return tuple(sorted(numbers, reverse=True))


def _around(text: str, start: int) -> tuple[Bound, bool]:
    before = text[max(0, start - 30) : start]
    near = list(_BOUND.finditer(before))
    bound: Bound = ""
    if near and not re.search(r"\d", before[near[-1].end() :]) and len(before) - near[-1].end() <= 3:
        bound = "at most" if near[-1].group("most") else "at least"
    return bound, _PRIOR.search(before) is not None
