"""A question in pieces: of which structures, what is wanted.

A question is cut at commas, "and", "then"; pieces that name only structures, or only what is wanted of them, are joined
with the piece before ("kidneys: length, volume, hu"), so that several questions in one are all answered.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from ....retrieval.anatomy.structures import StructureTable
from ....retrieval.reports.lexicon import Token, tokens
from ....retrieval.reports.mentions import Mention, mentions, named_structure
from .wording import ASPECTS

_CUT = re.compile(r"[,;?!:+]|\.(?!\d)|\band\b|\bthen\b|\bas well as\b|\balso\b|\bbut\b|\bwhether\b")
_OF_ALL = ("sum", "list", "draft", "spacing", "edge", "ratio", "phases", "enlarged")  # patterns that reach over pieces
_AFTERWARDS = ("export", "render")  # of everything named so far, when no structure is named with it
_NO_LESIONS = (
    "density",
    "calcification",
    "deposit",
    "change",
    "contrast",
    "signal",
    "lucency",
    "asymmetry",
    "atrophy",
    "agenesis",
    "steatosis",
    "enlargement",
    "dilatation",
    "pool",
    "opacity",
    "edge",
    "spot",
    "hole",
    "fat",
)
_PARTS_OF_BODY = (
    "head",
    "hand",
    "body",
    "trunk",
    "wall",
    "pelvis",
    "abdomen",
    "thorax",
    "back",
    "axis",
    "atlas",
)  # seldom meant
_MEASURED = (
    "volume",
    "size",
    "length",
    "diameter",
    "density",
    "uptake",
    "surface",
    "thickness",
    "ejection",
    "enlarged",
    "spread",
)


@dataclass(frozen=True)
class Want:
    """What is wanted of some structures.

    Attributes:
        structures: canonical names; halves of pairs, not pairs, where both are meant.
        lesions: kinds of lesion named ("stone").
        aspects: rows of `aspects.tsv`.
        unclear: a pair named in the singular without a side, or "".
    """

    structures: tuple[str, ...] = ()
    lesions: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    unclear: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether numbers are wanted."""
        return any(aspect in _MEASURED for aspect in self.aspects)

    def joined(self, other: Want) -> Want:
        """Both as one."""
        return Want(
            tuple(dict.fromkeys((*self.structures, *other.structures))),
            tuple(dict.fromkeys((*self.lesions, *other.lesions))),
            tuple(dict.fromkeys((*self.aspects, *other.aspects))),
            self.unclear or other.unclear,
        )


@cache
def patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(aspect, pattern) of `aspects.tsv`."""
    with ASPECTS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple((row["aspect"], re.compile(row["pattern"])) for row in rows)


def aspects_in(text: str) -> tuple[str, ...]:
    """What a text asks for."""
    return tuple(name for name, pattern in patterns() if pattern.search(text))


def wants_of(text: str, table: StructureTable) -> tuple[Want, ...]:
    """The wants of a question, in its order.

    Args:
        text: as `wording.read` gives it.
    """
    words = tokens(text)
    named = [one for one in mentions([word.word for word in words], table) if one.name not in _PARTS_OF_BODY]
    pieces = [_piece(text, low, high, words, named, table) for low, high in _spans(text)]
    wants = _joined([piece for piece in pieces if piece != Want()])
    over = tuple(name for name in _OF_ALL if name in aspects_in(text) and not any(name in w.aspects for w in wants))
    if over and wants:
        wants[0] = replace(wants[0], aspects=(*wants[0].aspects, *over))
    elif over:
        wants = [Want(aspects=over)]
    return tuple(_completed(want, text, table) for want in wants)


def _completed(want: Want, text: str, table: StructureTable) -> Want:
    """A want with what goes without saying: the chamber of an ejection fraction, the side said elsewhere."""
    beats = "ejection" in want.aspects or "phases" in want.aspects
    if beats and not want.structures and not want.lesions:
        return replace(want, structures=("left ventricle",))
    if "uptake" in want.aspects and not want.structures and not want.lesions:
        return replace(want, lesions=("tumour",))
    both = all(re.search(rf"\b{side}\b", text) for side in ("left", "right"))
    rivals = re.search(r"\b(?:bigger|larger|smaller|longer|shorter|denser|other)\b", text) and not re.search(
        r"\bgr[oe]w", text
    )
    if (both or rivals) and len(want.structures) == 1 and {"compare", "ratio"} & set(want.aspects):
        other = table.partner(want.structures[0]) or _other_chamber(want.structures[0], table)
        want = replace(want, structures=(*want.structures, *([other] if other else [])))
    regions = [name for name in want.structures if (row := table.get(name)) is not None and _is_region(table, row.name)]
    if regions and (want.lesions or "lesion" in want.aspects or len(regions) < len(want.structures)):
        want = replace(want, structures=tuple(n for n in want.structures if n not in regions), unclear="")
    sides = [side for side in ("left", "right") if re.search(rf"\b{side}\b", text)]
    if want.unclear and len(sides) == 1:
        half = named_structure(table, want.unclear, sides[0])
        others = table.expand(want.unclear)
        kept = tuple(dict.fromkeys(half if name in others else name for name in want.structures))
        return replace(want, structures=kept, unclear="")
    return replace(want, unclear="") if len(sides) == 2 else want


def _other_chamber(name: str, table: StructureTable) -> str | None:
    words = {"left": "right", "right": "left"}
    turned = " ".join(words.get(word, word) for word in name.split())
    return turned if turned != name and table.get(turned) is not None else None


def _is_region(table: StructureTable, name: str) -> bool:
    return "body region" in table.above(name)


def _spans(text: str) -> list[tuple[int, int]]:
    cuts = [0, *(match.start() for match in _CUT.finditer(text)), len(text)]
    return list(itertools.pairwise(cuts))


def _piece(
    text: str, low: int, high: int, words: Sequence[Token], named: Sequence[Mention], table: StructureTable
) -> Want:
    mine = [one for one in named if low <= words[one.first].start < high]
    if re.search(
        r"stroke volume|\bheart mass|myocardial mass|ventric\w+ mass", text
    ):  # numbers of the heart, no lesions
        mine = [one for one in mine if one.name not in ("infarct", "mass")]
    lesions = [one for one in mine if one.kind == "lesion" or _is_lesion(table, one.name)]
    organs = [one for one in mine if one not in lesions]
    if lesions and not organs:  # "liver metastases" is one name, and tells of the liver
        inner = [word.word for word in words[lesions[0].first : lesions[0].last - 1]]
        organs = [one for one in mentions(inner, table) if one.kind == "structure" and not _is_lesion(table, one.name)]
    aspects = aspects_in(text[low:high])
    if "heart_mass" in aspects:
        aspects = tuple(one for one in aspects if one != "lesion")
    if any(one.how == "megaly" for one in organs):
        aspects = (*aspects, "enlarged")
    if any(one.how == "surgery" for one in organs):
        aspects = (*aspects, "presence")
    spoken = [word.word for word in words]
    return Want(
        structures=tuple(dict.fromkeys(part for one in organs for part in parts_of(table, one.name, one.side))),
        lesions=tuple(dict.fromkeys(one.name for one in lesions if one.name not in _NO_LESIONS)),
        aspects=tuple(dict.fromkeys(aspects)),
        unclear=next((one.name for one in organs if one in mine and is_unclear(one, spoken, table)), ""),
    )


def _is_lesion(table: StructureTable, name: str) -> bool:
    row = table.get(name)
    return row is not None and row.parent == "lesion"


def parts_of(table: StructureTable, name: str, side: str) -> tuple[str, ...]:
    """What to look for: the half on a side, both halves of a pair, or the thing itself.

    A pair that has other parts than halves, as the hippocampi have, is looked for itself, too: its networks differ.
    """
    one = named_structure(table, name, side)
    row = table.get(one)
    if one == "ventricular system of brain":  # known by its lateral ventricles
        return table.expand("lateral ventricles")
    if row is None or row.side != "both":
        return (one,)
    parts = table.expand(one)
    halves = tuple(part for part in parts if (half := table.get(part)) is not None and half.side in ("left", "right"))
    if len(halves) != 2:
        return (one,)
    return halves if len(parts) == 2 else (one, *halves)


def is_unclear(mention: Mention, words: Sequence[str], table: StructureTable) -> bool:
    """ "the kidney": one of a pair, but which?"""
    row = table.get(mention.name)
    if row is None or row.side != "both" or mention.side or mention.how != "name" or len(table.expand(row.name)) > 2:
        return False
    if "muscle" in row.name or row.parent == "body region":
        return False
    said = words[mention.last - 1]
    plural = said.endswith(("s", "ae", "mata")) or said in (
        "femora", "thalami", "putamina", "pallida", "hippocampi", "nuclei",
    )  # fmt: skip
    singular = said in ("pelvis", "pancreas") or said.endswith(("us", "ss"))
    return not plural or singular


def _joined(pieces: Sequence[Want]) -> list[Want]:
    wants: list[Want] = []
    for piece in pieces:
        last = wants[-1] if wants else Want()
        names, asks = piece.structures or piece.lesions, piece.aspects
        had_names, had_asks = last.structures or last.lesions, last.aspects
        if not wants:
            wants.append(piece)
        elif names and had_names and asks and (set(asks) <= set(had_asks) or set(asks) <= {"sum", "error"}):
            wants[-1] = last.joined(piece)
        elif names and asks and had_names and had_asks:
            wants.append(piece)
        elif asks and not names and had_names and set(asks) <= set(_AFTERWARDS) and len(wants) > 1:
            everything = Want(tuple(dict.fromkeys(name for want in wants for name in want.structures)))
            wants.append(replace(everything, aspects=asks, lesions=last.lesions))
        else:
            wants[-1] = last.joined(piece)
    return wants
