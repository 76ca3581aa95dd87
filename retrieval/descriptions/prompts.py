"""Prompts about one mask in three families, drafted from facts; the caller checks each on the mask.

After the families of FLanS (arXiv 2410.12831): anatomy-informed names the structure or implies it by what
it does; positional and size prompts name no structure and single the mask out by where it lies or how large
it is. Imports nothing of ours.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..anatomy.structures import StructureTable
from .description import Claim, Description
from .wording import Audience, say
from .words import words_of

Family = Literal["anatomy", "position", "size"]
FAMILIES: tuple[Family, ...] = ("anatomy", "position", "size")
NEAR = 0.8  # of shared word pairs, from which two prompts are near-duplicates (own choice)
_DIRECTIONS = ("left", "right", "top", "bottom", "front", "back")
_KIND_OF = re.compile(r"^The .{2,60}? is (an? [a-z ]{3,60}?)(?: in the [a-z ]+)?[,.]")


@dataclass(frozen=True)
class Draft:
    """A prompt before it is checked.

    Attributes:
        meaning: what it is meant to say; the sentence must be read so again.
        sources: table rows and passages its words come from.
    """

    text: str
    family: Family
    meaning: Description
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Knowledge:
    """A passage about the structure: its id and text."""

    id: str
    text: str


def agnostic_meanings(family: Family) -> list[Description]:
    """Everything a positional or size prompt may say, simple ones first.

    The caller keeps those that are true of its mask and of no other.
    """
    sides = [(), (Claim("side", "left"),), (Claim("side", "right"),)]
    places = [(), *((Claim("position", where),) for where in ("top", "bottom", "front", "back"))]
    if family == "position":
        singled = [Claim("extreme", where, rank=rank) for rank in (1, 2) for where in _DIRECTIONS]
    else:
        singled = [Claim("rank", what, rank=rank) for rank in (1, 2, 3) for what in ("largest", "smallest")]
    extra = [(), (Claim("class", "organ"),), (Claim("class", "bone"),)]
    made = []
    for kinds, side, place, one in itertools.product(extra, sides, places, singled):
        if family == "position" and place:
            continue
        if side and one.value in ("left", "right"):
            continue
        made.append(Description(text="", kind="any", claims=(*side, *place, *kinds, one)))
    made.sort(key=lambda d: (len(d.claims), sum(c.rank for c in d.claims)))
    return made


def drafts(
    meanings: Sequence[Description],
    family: Family,
    audience: Audience,
    table: StructureTable,
    rng: random.Random,
    *,
    knowledge: Sequence[Knowledge] = (),
) -> Iterator[Draft]:
    """Sentences for meanings that hold of the mask, without end; the caller stops when it has enough."""
    while meanings:
        meaning = rng.choice(list(meanings)) if family == "anatomy" else _simple(meanings, rng)
        sentence = say(meaning, table, audience, rng)
        text, sources = sentence.text, sentence.sources
        if family == "anatomy" and knowledge and rng.random() < 0.3:
            text, sources = _with_knowledge(text, sources, rng.choice(list(knowledge)))
        yield Draft(text, family, meaning, sources)


def _simple(meanings: Sequence[Description], rng: random.Random) -> Description:
    """The first ones more often: they are shorter."""
    return rng.choices(list(meanings), weights=[1 / (n + 2) for n in range(len(meanings))])[0]


def _with_knowledge(text: str, sources: tuple[str, ...], passage: Knowledge) -> tuple[str, tuple[str, ...]]:
    """The sentence with what a passage calls the structure: ", a bone"."""
    found = _KIND_OF.match(passage.text)
    if found is None or found.group(1).split()[-1] in words_of(text):
        return text, sources
    end = text[-1] if text[-1] in ".?" else ""
    body = text[: len(text) - len(end)]
    return f"{body}, {found.group(1)}{end}", (*sources, passage.id)


def leaked_names(text: str, table: StructureTable, allowed: Sequence[str] = ()) -> tuple[str, ...]:
    """Structures an anatomy-agnostic prompt names; it must name none.

    Args:
        allowed: words that are not names here, such as "organ".
    """
    words = words_of(text)
    found = []
    for length in range(1, 6):
        for start in range(len(words) - length + 1):
            span = " ".join(words[start : start + length])
            if span not in allowed and table.get(span) is not None and words[start] not in ("the", "a", "an"):
                found.append(span)
    return tuple(found)


def distinct_2(texts: Sequence[str]) -> float:
    """Share of word pairs that differ, over all texts together; 1 when no pair occurs twice.

    Source: distinct-n after Li et al. 2016, arXiv 1510.03055.
    """
    pairs = [pair for text in texts for pair in _pairs(text)]
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def near_duplicate_rate(texts: Sequence[str]) -> float:
    """Share of texts that nearly repeat an earlier one (Jaccard index of word pairs at least `NEAR`)."""
    repeated = sum(any(alike(text, earlier) for earlier in texts[:n]) for n, text in enumerate(texts))
    return repeated / len(texts) if texts else 0.0


def alike(one: str, other: str) -> bool:
    """Whether two prompts are nearly the same."""
    a, b = set(_pairs(one)), set(_pairs(other))
    if not a or not b:
        return words_of(one) == words_of(other)
    return len(a & b) / len(a | b) >= NEAR


def _pairs(text: str) -> list[tuple[str, str]]:
    words = words_of(text)
    return list(itertools.pairwise(words))
