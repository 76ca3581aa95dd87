"""What a phrase names: the index of structures, lesions and states, and the item made of a match."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ...anatomy.lesions import is_lesion
from ...anatomy.structures import StructureTable
from ..lexicon import Match, Phrases, report_words
from ..mentions import whole
from ..sizes import Size

Sort = Literal["organ", "lesion", "side", "size", "state", "count", "same"]
SHORTEST = 4
_SIDE = re.compile(r"\b(left|right|lt|rt)[ ,-]*(?:sided )?")
_BOTH_IN_ONE = frozenset({"bibasilar", "bibasal", "biapical"})
_PLURALS = frozenset({"testes", "femora", "thalami", "hippocampi", "epididymides", "adnexa", "apices", "hila", "humeri", "putamina",
                      "pallida", "bronchi", "rami", "antra", "calcanei", "acetabula", "foramina", "menisci", "radii", "tali", "nares",
                      "feet", "teeth", "ganglia", "nuclei", "colliculi", "calves", "parotids", "carotids", "vertebrals", "iliacs", "jugulars", "renals"})  # fmt: skip
_ENDS_IN_S = frozenset(
    {
        "pons",
        "lens",
        "biceps",
        "triceps",
        "quadriceps",
        "achilles",
        "gracilis",
        "pes",
        "ascites",
        "psoas",
        "iliopsoas",
        "pancreas",
        "syndesmosis",
    }
)
# several of a kind in one limb: their plural is no pair
_MANY_IN_A_LIMB = ("meniscus", "ligament", "metatarsal", "metacarpal", "phalanx", "carpal bone", "tarsal bone", "deep vein", "finger", "toe",
                   "interphalangeal", "metatarsophalangeal", "knuckle", "skeletal muscle", "flexor tendon", "extensor tendon", "peroneal tendon",
                   "hamstring", "perforator", "gastrocnemius vein", "femoral condyle", "tibial plateau",
                   "carpometacarpal", "tarsometatarsal", "hallux sesamoid", "malleolus", "rotator cuff")  # fmt: skip


@dataclass(frozen=True)
class Item:
    """Something named in words `first` up to and without `last`.

    Attributes:
        name: structure (of a pair the pair), kind of lesion, side, state or "" .
        how: "name", "adjective", "surgery", "megaly", "predicate", "action" ("invading") or "again" ("the larger one").
        side: of a structure or lesion, where it stands in the name or right before; in `order` as said.
        both_named: the sides of "right and left kidneys" in their order.
    """

    sort: Sort
    name: str
    first: int
    last: int
    how: str = "name"
    side: str = ""
    size: Size | None = None
    count: int | None = None
    both_named: tuple[str, ...] = ()
    plural: bool = False


def item_of(match: Match[tuple[str, str, str]], words: Sequence[str], table: StructureTable) -> Item:
    """The item of a match: a structure with the side in its name, a lesion, or a state."""
    kind, name, how = match.value
    if kind == "state":
        return Item("state", name, match.first, match.last)
    if kind != "organ":
        plural = words[match.last - 1].endswith(("s", "i", "ae")) and not words[match.last - 1].endswith(
            ("is", "us", "ss")
        )
        return Item("lesion", name, match.first, match.last, how, plural=plural)
    row = table.get(name) if how != "part" else None
    side = row.side if row is not None and row.side in ("left", "right") else ""
    pair = whole(table, name) if side else name
    if words[match.first] in _BOTH_IN_ONE:
        side = "both"
    if row is not None and row.side in ("", "both") and words[match.first] in ("left", "right"):
        side = words[match.first]  # "right middle lobe": said, though there is no other
    plural = _is_plural(words[match.last - 1]) and how != "surgery"
    if (
        row is not None
        and row.side in ("both", "left", "right")
        and not ("limb" in row.regions and any(one in row.name for one in _MANY_IN_A_LIMB))
        and plural
        and not side
    ):
        side = "plural"
    return Item("organ", pair, match.first, match.last, how, side, plural=plural)


def _is_plural(word: str) -> bool:
    return (
        word in _PLURALS
        or word.endswith("ae")
        or (word.endswith("s") and word not in _ENDS_IN_S and not word.endswith(("ss", "us", "is")))
    )


@cache
def index(table: StructureTable) -> Phrases[tuple[str, str, str]]:
    """Names of structures and lesions and what only looks like one; the longest wins."""
    words = report_words()
    entries: list[tuple[str, tuple[str, str, str]]] = [(term, ("none", name, "other")) for term, name in words["other"]]
    entries += [(term, ("state", name, "name")) for term, name in words["status"] if " " in term]
    for how in ("surgery", "megaly", "adjective", "name"):
        entries += [(term, ("organ", name, how)) for term, name in words[how] if table.get(name)]
    entries += [(term, ("organ", name, "part")) for term, name in words["part"]]
    entries += [(term, ("lesion", name, "name")) for term, name in words["lesion"]]
    entries += [(term, ("lesion", name, "predicate")) for term, name in words["predicate"]]
    entries += [(term, ("lesion", name, "action")) for term, name in words["action"]]
    shorts = {term.lower() for term, _value in words["short"]}
    for row in table.rows:
        if is_lesion(table, row.name) or row.parent == "lymph node":
            continue
        for term in row.terms:
            level = re.fullmatch(r"[ctl]\d{1,2}", term) and term not in ("t1", "t2")
            if (len(term) < SHORTEST or term in shorts) and not level:
                continue
            rest = _SIDE.sub("", term)
            if rest == term or table.get(rest) is None:
                entries += [(form, ("organ", row.name, "name")) for form in (term, *_spellings(term))]
    return Phrases(entries, plurals=True)


def _spellings(term: str) -> Iterable[str]:
    """British for American, "rib 4th" for "fourth rib" and the like."""
    for old, new in (
        ("esoph", "oesoph"),
        ("celiac", "coeliac"),
        ("cecum", "caecum"),
        ("disk", "disc"),
        ("peroneal", "fibular"),
    ):
        if old in term and new not in term:
            yield term.replace(old, new)
    if " of " in term:
        yield term.replace(" of ", " of the ")
    for end, plural in (("us", "i"), ("a", "ae"), ("is", "es"), ("um", "a")):
        if term.endswith(end):
            yield term.removesuffix(end) + plural
    for word, number in (("fourth", "4th"), ("fifth", "5th"), ("sixth", "6th"), ("seventh", "7th"), ("eighth", "8th"),
                         ("ninth", "9th"), ("tenth", "10th"), ("eleventh", "11th"), ("twelfth", "12th"), ("first", "1st"),
                         ("second", "2nd"), ("third", "3rd")):  # fmt: skip
        if word in term.split():
            yield term.replace(word, number)
            yield term.replace(word, f"{number[:-2]}th")
