"""Referring pairs: what is in a labelled slice, and sentences that are true of exactly one of its things.

Slices are displayed pictures: rows grow downwards, columns to the right. "left" of a position is the
picture's left; "left" of a name is the patient's. Every sentence carries its mask; a sentence of an absent
thing, or of nothing, has an empty one. Wordings stand in `referring_words.toml`.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...retrieval.anatomy.structures import StructureTable

PAIRED = ("kidneys", "portal and splenic vein")  # names of two things
Bool = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.integer[Any]]
Part = Literal["train", "test"]
Family = Literal["anatomy", "position", "size", "attribute", "absent", "nothing"]

# Label values shared by all sources of referring pairs.
ORGANS: Mapping[int, str] = {
    1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "esophagus", 6: "liver", 7: "stomach",
    8: "aorta", 9: "inferior vena cava", 10: "portal and splenic vein", 11: "pancreas", 12: "right adrenal gland",
    13: "left adrenal gland", 21: "right ventricle", 22: "myocardium", 23: "left ventricle",
}  # fmt: skip
HEART = range(21, 24)
LESION = 100  # value = LESION + 20 * host + 10 * bright + number
HOSTS = (6, 1, 2, 3)  # organs that lesions are drawn into
LEAST_PIXELS = 12  # a thing of fewer pixels is not spoken of
MARGIN_PIXELS = 3  # by which an extreme must be ahead
MARGIN_AREA = 1.2  # by which the largest must exceed the next
_RANKS: Mapping[str, Callable[[Thing], float]]
WORDS = Path(__file__).parent / "referring_words.toml"


@dataclass(frozen=True)
class Thing:
    """Something in a slice that can be spoken of.

    Attributes:
        name: canonical structure, or "lesion".
        host: of a lesion, the structure it lies in.
        density: of a lesion, "dark" or "bright" beside its host.
        mask: (h w); an organ's holds its lesions.
        top, bottom, left, right: its box; the last row and column are inside.
    """

    name: str
    host: str
    density: str
    mask: Bool
    area: int
    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class Referral:
    """A sentence and what it means.

    Attributes:
        key: the wordless description it was made from; two sentences of one key mean the same.
    """

    text: str
    family: Family
    key: str
    mask: Bool


def things_of(labels: Labels) -> list[Thing]:
    """Organs and lesions of at least `LEAST_PIXELS` pixels."""
    found = []
    for value in np.unique(labels):
        if value in ORGANS:
            mask = labels == value
            if value in HOSTS:
                mask = mask | ((labels >= LESION) & ((labels - LESION) // 20 == HOSTS.index(int(value))))
            found.append(_thing(ORGANS[int(value)], "", "", mask))
        elif value >= LESION:
            host, rest = divmod(int(value) - LESION, 20)
            density = "bright" if rest >= 10 else "dark"
            found.append(_thing("lesion", ORGANS[HOSTS[host]], density, labels == value))
    return [thing for thing in found if thing.area >= LEAST_PIXELS]


def _thing(name: str, host: str, density: str, mask: Bool) -> Thing:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Thing(
        name, host, density, mask, int(mask.sum()), int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
    )


# How strongly a thing has a property; the greatest value has it.
_RANKS = {
    "largest": lambda thing: thing.area,
    "smallest": lambda thing: -thing.area,
    "left": lambda thing: -thing.left,
    "right": lambda thing: thing.right,
    "top": lambda thing: -thing.top,
    "bottom": lambda thing: thing.bottom,
}


def first_by(rank: str, things: Sequence[Thing]) -> Thing | None:
    """The thing that clearly has the property, or None when two are too near each other or there are not two."""
    if len(things) < 2:
        return None
    first, second = sorted(things, key=_RANKS[rank], reverse=True)[:2]
    if rank in ("largest", "smallest"):
        greater, lesser = max(first.area, second.area), min(first.area, second.area)
        return first if greater >= MARGIN_AREA * lesser else None
    return first if _RANKS[rank](first) - _RANKS[rank](second) >= MARGIN_PIXELS else None


@dataclass(frozen=True)
class Words:
    """The wordings of one part, and what they are made for."""

    frames: Sequence[str]
    names: Mapping[str, Sequence[str]]
    never: Sequence[str]
    nothing: Sequence[str]
    positions: Mapping[str, Sequence[str]]
    sizes: Mapping[str, Sequence[str]]
    ranks: Mapping[str, Sequence[str]]
    two: Mapping[str, Sequence[str]]
    lesions: Mapping[str, Sequence[str]]
    lesion_frames: Sequence[str]

    def named(self, name: str) -> list[str]:
        """Every sentence that names a structure."""
        return [frame.format(phrase) for frame in self.frames for phrase in self.names[name]]

    def ranked(self, rank: str, noun: str, count: int) -> list[str]:
        """Phrases for the first of `count` things of one noun."""
        phrases = [pattern.format(noun) for pattern in self.ranks[rank]]
        if count == 2 and rank in self.two:
            phrases += [pattern.format(noun) for pattern in self.two[rank]]
        return phrases

    def lesion(self, density: str, host: str, rank: str, count: int) -> list[str]:
        """Sentences for a lesion; empty `density`, `host` and `rank` are not spoken of."""
        place = f" in the {host}" if host else ""
        nouns = self.lesions[density or "any"]
        phrases = [
            phrase + place for noun in nouns for phrase in ([noun] if not rank else self.ranked(rank, noun, count))
        ]
        return [frame.format(phrase) for frame in self.lesion_frames for phrase in phrases]


@cache
def words(part: Part) -> Words:
    """The wordings that are taught, or those kept for evaluation; synonyms of the structure table are taught, too."""
    table = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    told = Words(**{name: table[name][part] for name in Words.__dataclass_fields__})
    if part == "test":
        return told
    kept = {phrase.casefold() for phrases in words("test").names.values() for phrase in phrases}
    return replace(told, names={name: _with_synonyms(name, phrases, kept) for name, phrases in told.names.items()})


def _with_synonyms(name: str, phrases: Sequence[str], kept: Collection[str]) -> list[str]:
    """Phrases and those of the structure table that are not kept for evaluation, each once.

    Not of what is two things: there the table also lists words for one of them ("kidney", "portal vein").
    """
    if name in PAIRED:
        return list(phrases)
    found = StructureTable.bundled().resolve(name)
    more = [phrase for phrase in (*found.synonyms, *found.lay) if phrase.casefold() not in kept]
    known = {phrase.casefold() for phrase in phrases}
    return [*phrases, *dict.fromkeys(phrase for phrase in more if phrase.casefold() not in known)]


def referrals(
    labels: Labels, part: Part, *, anatomical: bool = True
) -> dict[Family, list[tuple[str, list[str], Bool]]]:
    """Every description that fits the slice: family -> (key, its sentences, mask).

    Args:
        anatomical: False leaves out names, whose sides are wrong in a mirrored or turned picture.
    """
    told, things = words(part), things_of(labels)
    organs = [thing for thing in things if thing.name != "lesion"]
    nowhere = np.zeros(labels.shape, dtype=np.bool_)
    found: dict[Family, list[tuple[str, list[str], Bool]]] = {
        "anatomy": [(f"name:{thing.name}", told.named(thing.name), thing.mask) for thing in organs],
        "position": _firsts("position", told.positions, organs, told.frames),
        "size": _firsts("size", told.sizes, organs, told.frames),
        "attribute": [*_kidneys(organs, told), *_lesions(things, told)],
        "absent": [(f"absent:{key}", texts, nowhere) for key, texts in _absent(things, told)],
        "nothing": [("nothing", list(told.nothing), nowhere)],
    }
    kidneys = [thing.mask for thing in organs if thing.name.endswith("kidney")]
    if len(kidneys) == 2:
        found["anatomy"].append(("name:kidneys", told.named("kidneys"), kidneys[0] | kidneys[1]))
    if not anatomical:
        found["anatomy"] = []
        found["attribute"] = [one for one in found["attribute"] if " kidney:" not in one[0]]
        found["absent"] = [one for one in found["absent"] if "left" not in one[0] and "right" not in one[0]]
    return found


def _firsts(
    family: str, table: Mapping[str, Sequence[str]], organs: Sequence[Thing], frames: Sequence[str]
) -> list[tuple[str, list[str], Bool]]:
    found = []
    for rank, phrases in table.items():
        first = first_by(rank, organs)
        if first is not None:
            found.append((f"{family}:{rank}", [f.format(p) for f in frames for p in phrases], first.mask))
    return found


def _kidneys(organs: Sequence[Thing], told: Words) -> Iterator[tuple[str, list[str], Bool]]:
    pair = [thing for thing in organs if thing.name.endswith("kidney")]
    for rank in told.ranks:
        first = first_by(rank, pair)
        if first is not None:
            phrases = told.ranked(rank, "kidney", len(pair))
            yield f"kidney:{rank}", [f.format(p) for f in told.frames for p in phrases], first.mask


def _lesions(things: Sequence[Thing], told: Words) -> Iterator[tuple[str, list[str], Bool]]:
    """Descriptions that fit exactly one lesion."""
    every = [thing for thing in things if thing.name == "lesion"]
    for density, host in itertools.product(("", "dark", "bright"), ("", *(ORGANS[h] for h in HOSTS))):
        fitting = _fitting(every, density, host)
        if len(fitting) == 1:
            yield f"lesion:{density}:{host}:", told.lesion(density, host, "", 1), fitting[0].mask
        for rank in told.ranks:
            first = first_by(rank, fitting)
            if first is not None:
                yield (
                    f"lesion:{density}:{host}:{rank}",
                    told.lesion(density, host, rank, len(fitting)),
                    first.mask,
                )


def _fitting(lesions: Sequence[Thing], density: str, host: str) -> list[Thing]:
    return [one for one in lesions if density in ("", one.density) and host in ("", one.host)]


def _absent(things: Sequence[Thing], told: Words) -> Iterator[tuple[str, list[str]]]:
    """Structures that are never in such a slice or not in this one, and lesions that nothing fits."""
    present = {thing.name for thing in things}
    for name in told.names:
        if name not in present and not (name == "kidneys" and any(n.endswith("kidney") for n in present)):
            yield name, told.named(name)
    for name in told.never:
        yield name, [frame.format(name) for frame in told.frames]
    lesions = [thing for thing in things if thing.name == "lesion"]
    hosts = {thing.name for thing in things} & {ORGANS[h] for h in HOSTS}
    for density, host in itertools.product(("", "dark", "bright"), ("", *sorted(hosts))):
        if not _fitting(lesions, density, host):
            yield f"lesion:{density}:{host}", told.lesion(density, host, "", 1)


def every_sentence(part: Part) -> list[str]:
    """All sentences of a part, so that their states can be made beforehand."""
    told = words(part)
    found: list[str] = [*told.nothing, *(f.format(n) for f in told.frames for n in told.never)]
    for name in told.names:
        found += told.named(name)
    for table in (told.positions, told.sizes):
        found += [f.format(p) for phrases in table.values() for f in told.frames for p in phrases]
    for rank in told.ranks:
        found += [f.format(p) for f in told.frames for p in told.ranked(rank, "kidney", 2)]
    hosts = ("", *(ORGANS[h] for h in HOSTS))
    for density, host, rank in itertools.product(("", "dark", "bright"), hosts, ("", *told.ranks)):
        found += told.lesion(density, host, rank, 2)
    return sorted(set(found))
