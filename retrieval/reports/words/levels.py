"""Levels of the spine as words: "L4/5" is a disc, "the L5 root" a nerve, "C6-T2" a range."""

from __future__ import annotations

import re

from ..lexicon import tokens

_LEVEL = re.compile(r"\b[CTLS]\d{1,2}(?:\s?[/-]\s?[CTLS]?\d{1,2})?\b")
_DISCS = re.compile(
    r"\b[CTL]\d{1,2}\s?(?:to|through|-|–)\s?[CTLS]?\d{1,2}\s+(?:inter\w+\s+)?dis[ck]s\b"
)  # "L1 to L3 discs"


def written_level(text: str, at: int, end: int) -> tuple[list[str], int] | None:
    """The words for a level or for the discs between two, and where it ends; None where none stands."""
    discs = _DISCS.match(text, at, end)
    if discs:
        return ["intervertebral", "discs"], discs.end()
    level = _LEVEL.match(text, at, end)
    if level:
        disc = _is_disc(level.group()) and not re.match(r"\s*(?:discs?|disks?|levels?)\b", text[level.end() :])
        root = re.match(r"\s*(?:nerve\s+)?(roots?)\b", text[level.end() :])  # "the L5 root"
        more = ["nerve"] if root and "nerve" not in root.group() else ["disc"] if disc and not root else []
        spelt = (
            level.group()
            if _is_disc(level.group()) or not _is_range(level.group())
            else re.sub(r"\s?[/-]\s?", " to ", level.group())
        )
        return [*(token.word for token in tokens(spelt)), *more], level.end()
    return None


def _levels(text: str) -> list[int]:
    """Levels of the spine counted from the first cervical one: "L4-S1" -> [22, 24]."""
    found, region = [], ""
    for letter, number in re.findall(r"([CTLS]?)(\d{1,2})", text):
        region = letter or region
        found.append({"C": 0, "T": 7, "L": 19, "S": 24}[region] + int(number))
    return found


def _is_range(text: str) -> bool:
    return len(_levels(text)) > 1


def _is_disc(text: str) -> bool:
    """Whether two levels are neighbours, with a disc between them."""
    levels = _levels(text)
    return len(levels) > 1 and levels[1] - levels[0] == 1
