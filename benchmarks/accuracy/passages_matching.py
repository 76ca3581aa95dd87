"""Which finding of a passage a finding read by the rules stands for.

Structure and lesion decide; side, sizes, presence and count are then compared. What the rules of annotation let a
judge accept is accepted: the whole organ for its part, the brain for the spaces around it, synonyms of a lesion.
The words are `passages_words.tsv`, written apart from the reader's own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

from ...retrieval.anatomy.structures import StructureTable
from ...retrieval.anatomy.words import read as read_words
from ...retrieval.reports.findings import Finding

_PRESENCE = {"historical": "history", "hypothetical": "possible", "family": "history"}
_DEEP = 4  # steps from a part to its whole


@dataclass(frozen=True)
class Gold:
    """A finding as a person wrote it down; sizes in mm, the largest first."""

    structure: str
    lesion: str
    side: str
    presence: str
    sizes_mm: tuple[float, ...]
    volume_ml: float | None
    count: int | None

    @property
    def presences(self) -> tuple[str, ...]:
        """What counts as right: a removed organ may be called absent or history, a question history."""
        if not self.lesion and self.presence in ("absent", "history"):
            return "absent", "history"
        return (self.presence,)

    @property
    def numbers(self) -> bool:
        """Whether it has a size or a volume."""
        return bool(self.sizes_mm) or self.volume_ml is not None


@dataclass(frozen=True)
class Read(Gold):
    """A finding of the rules in the words of the set; `state` is "enlarged", "small", "normal" or ""."""

    state: str = ""


@dataclass(frozen=True)
class Pair:
    """A finding and its reading; `repeated` are further readings of the same."""

    gold: Gold
    read: Read
    repeated: tuple[Read, ...] = ()

    @property
    def sizes_agree(self) -> bool:
        """Whether sizes and volume are those of the gold, in one reading or all together."""
        every = [size for mine in (self.read, *self.repeated) for size in mine.sizes_mm]
        sizes = [list(self.read.sizes_mm)] if not self.repeated else [list(self.read.sizes_mm), every]
        agree = any(_same_sizes(self.gold.sizes_mm, option) for option in sizes)
        return agree and _same_volume(self.gold.volume_ml, self.read.volume_ml)


def read_of(finding: Finding) -> Read:
    """A finding in the words of the set."""
    side = finding.side or _side_in(finding.structure)
    state = finding.status if finding.status in ("enlarged", "small", "normal") else ""
    return Read(
        finding.structure,
        finding.lesion,
        side,
        _PRESENCE.get(finding.presence, finding.presence),
        finding.sizes_mm,
        finding.volume_ml,
        finding.count,
        state,
    )


def pair_up(gold: Sequence[Gold], read: Sequence[Read]) -> tuple[list[Pair], list[Read]]:
    """Pairs, the likest first, and the readings that stand for nothing."""
    mine = _joined(gold, read)
    fits = [(_likeness(g, r), -i, -j) for (i, g), (j, r) in product(enumerate(gold), enumerate(mine)) if _fits(g, r)]
    pairs: dict[int, int] = {}
    for _likest, i, j in sorted(fits, reverse=True):
        if -i not in pairs and -j not in pairs.values():
            pairs[-i] = -j
    repeated: dict[int, list[Read]] = {i: [] for i in pairs}
    false = []
    for j, one in enumerate(mine):
        if j in pairs.values():
            continue
        same = [i for i in pairs if _fits(gold[i], one) and _repeats(gold[i], one)]
        if same:
            repeated[same[0]].append(one)
        else:
            false.append(one)
    made = [Pair(gold[i], _in_words(gold[i], mine[j]), tuple(repeated[i])) for i, j in sorted(pairs.items())]
    return made, false


def _fits(gold: Gold, mine: Read) -> bool:
    return _same_lesion(gold, mine) and _same_place(gold.structure, mine.structure)


def _likeness(gold: Gold, mine: Read) -> tuple[bool, ...]:
    said = _in_words(gold, mine)
    exact = _words(gold.structure) == _words(mine.structure)
    sizes = _same_sizes(gold.sizes_mm, said.sizes_mm)
    return said.side == gold.side, said.presence in gold.presences, sizes, exact


def _repeats(gold: Gold, mine: Read) -> bool:
    said = _in_words(gold, mine)
    return said.side == gold.side and said.presence in gold.presences


def _joined(gold: Sequence[Gold], read: Sequence[Read]) -> list[Read]:
    """A left and a right reading of what the set says once for both sides become one."""
    mine = list(read)
    for one in gold:
        halves = [next((r for r in mine if _fits(one, r) and r.side == side), None) for side in ("left", "right")]
        left, right = halves
        if one.side == "both" and left is not None and right is not None and not one.sizes_mm:
            mine = [r for r in mine if r is not left and r is not right] + [replace(left, side="both")]
    return mine


def _in_words(gold: Gold, mine: Read) -> Read:
    """ "Normal in size" says the same as "not enlarged"."""
    if gold.lesion and not mine.lesion and mine.state == "normal" and gold.presence == "absent":
        return replace(mine, presence="absent")
    return mine


def _same_lesion(gold: Gold, mine: Read) -> bool:
    a, b = _lesion(gold.lesion), _lesion(mine.lesion)
    if a == b:
        return True
    state = _accepted("state").get(a, ("",))[0]
    if not b:
        return bool(state) and (mine.state == state or (mine.state == "normal" and gold.presence == "absent"))
    if state and state == _accepted("state").get(b, ("",))[0]:
        return True
    return bool(a) and a.split()[-1] == b.split()[-1]


def _same_place(gold: str, mine: str) -> bool:
    if not gold or not mine:
        return gold == mine
    here = _words(mine)
    names = [gold, *_accepted("place").get(_without_side(gold), ())]
    if any(_words(name) == here for name in names):
        return True
    wholes = [whole for name in names for whole in _wholes(name)]
    if any(_words(name) == here for name in wholes) or (bool(here) and _no_parts(gold) == _no_parts(mine)):
        return True
    return bool(here) and _is_unknown(gold) and bool(_no_parts(mine)) and _no_parts(mine) <= _no_parts(gold)


@cache
def _is_unknown(name: str) -> bool:
    """Whether the table lacks a name: "mandibular canal" is then a part of what its words name."""
    table = StructureTable.bundled()
    return table.get(name) is None and table.get(_without_side(name)) is None


@cache
def _wholes(name: str) -> tuple[str, ...]:
    """The pair, and the wholes a structure is part of."""
    table = StructureTable.bundled()
    found: list[str] = []
    row = table.get(name) or table.get(_without_side(name))
    for _step in range(_DEEP):
        if row is None:
            break
        found.append(row.name)
        pair = row.parent if row.side in ("left", "right") else ""
        found += [pair] if pair else []
        row = table.get(row.part_of) if row.part_of else table.get(pair) if pair else None
    return tuple(found)


@cache
def _words(name: str) -> frozenset[str]:
    table = StructureTable.bundled()
    row = table.get(name) or table.get(_without_side(name))
    return read_words(_without_side(row.name if row is not None else name)).stems


@cache
def _no_parts(name: str) -> frozenset[str]:
    plain = _without_side(name).lower()
    level = re.sub(r"\b[ctls]\d{1,2}(?:/[ctls]?\d{1,2})?\b", " ", plain).strip()
    row = StructureTable.bundled().get(level) if level != plain else None
    words = (row.name if row is not None else level).split()
    parts = _accepted("part")
    return read_words(" ".join(word for word in words if word not in parts)).stems


def _without_side(name: str) -> str:
    return re.sub(r"\b(left|right)\b ?", "", name).strip()


def _side_in(name: str) -> str:
    """The side in a structure's name, but where only the table says it: of the lingula, the middle lobe, the circumflex."""
    if name.startswith(("lingula", "middle lobe", "circumflex", "posterior interventricular")):
        return ""
    found = re.search(r"\b(left|right)\b", name)
    return found[1] if found else ""


@cache
def _lesion(name: str) -> str:
    words = name.lower().replace("aemo", "emo").replace("haem", "hem").replace("oedema", "edema")
    words = words.replace("tumour", "tumor").replace("haemat", "hemat")
    return _accepted("lesion").get(words, (words,))[0]


def _same_sizes(gold: Sequence[float], mine: Sequence[float]) -> bool:
    a, b = sorted(gold), sorted(mine)
    return len(a) == len(b) and all(abs(x - y) <= 0.051 for x, y in zip(a, b, strict=True))


def _same_volume(gold: float | None, mine: float | None) -> bool:
    return (gold is None) == (mine is None) and (gold is None or mine is None or abs(gold - mine) < 0.051)


@cache
def _accepted(kind: str) -> dict[str, tuple[str, ...]]:
    """What is said -> what is accepted for it."""
    found: dict[str, tuple[str, ...]] = {}
    with Path(__file__).with_name("passages_words.tsv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            if line["kind"] == kind:
                found[line["said"]] = (*found.get(line["said"], ()), line["as"])
    return found
