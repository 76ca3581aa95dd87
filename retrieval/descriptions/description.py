"""What a sentence points at: a target and claims about it that can be checked on masks.

Imports nothing of ours. The parser knows the anatomy table and the word lists beside it; it
guesses nothing. What it did not understand is reported, so that a caller can say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_CHARACTERS = 500  # a sentence or two; longer texts are reports, which check_report reads

TargetKind = Literal["structure", "part", "region", "any", "none"]
ClaimKind = Literal[
    "side", "position", "extreme", "size", "rank", "density", "density_rank", "count", "relation", "exclude", "class"
]
_AGAINST = {
    "left": "right", "top": "bottom", "front": "back", "picture left": "picture right", "picture top": "picture bottom",
    "largest": "smallest", "large": "small", "low": "high", "longest": "shortest", "widest": "narrowest",
}  # fmt: skip
WIDTHS = ("widest", "narrowest")  # parts that are found by how wide a tube is across
OPPOSITE = {**_AGAINST, **{b: a for a, b in _AGAINST.items()}}


class BadDescription(ValueError):
    """A text that cannot be read as a description.

    Attributes:
        kind: "empty", "long", "language", "contradiction" or "negation".
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True)
class Reference:
    """Something a claim refers to: a structure or one of its lobes; the whole scan when empty."""

    structure: str = ""
    lobe: str = ""

    def __str__(self) -> str:
        if not self.structure:
            return "scan"
        return f"{self.lobe} lobe of the {self.structure}" if self.lobe else self.structure


@dataclass(frozen=True)
class Claim:
    """One thing a description says about its target.

    Attributes:
        kind: "side" and "position" (lies left, near the top of `of`), "extreme" (the left-most), "size" (large),
            "rank" (the second largest, the longest, the widest), "density" (dark), "density_rank" (the darkest), "count",
            "relation" (in, adjacent, above, ... `of`), "exclude" (not `of`), "class" (a bone, a muscle).
        value: a direction, "largest", "low", a number, or the name of the relation.
        rank: 1 for the first of its order.
        of: what it refers to.
        negated: said with "not".
    """

    kind: ClaimKind
    value: str
    rank: int = 1
    of: tuple[Reference, ...] = ()
    negated: bool = False

    def __str__(self) -> str:
        where = " and the ".join(str(one) for one in self.of)
        order = {1: "", 2: "second ", 3: "third ", 4: "fourth "}.get(self.rank, f"{self.rank}th ")
        text = {
            "side": "on both sides" if self.value == "both" else f"on the patient's {self.value}",
            "position": f"near the {self.value} of the {where or 'scan'}",
            "extreme": f"{order}farthest to the {self.value}",
            "size": f"{self.value} in size",
            "rank": f"{order}{self.value}",
            "density": f"{self.value} density",
            "density_rank": f"{order}{'lowest' if self.value == 'low' else 'highest'} density",
            "count": f"{self.value} in number",
            "relation": f"{_RELATION_WORDS.get(self.value, self.value)} the {where}",
            "exclude": f"other than the {where}",
            "class": f"{'an' if self.value[0] in 'aeiou' else 'a'} {self.value}",
        }[self.kind]
        return f"not {text}" if self.negated else text


_RELATION_WORDS = {
    "in": "in", "adjacent": "adjacent to", "above": "above", "below": "below", "front": "in front of",
    "back": "behind", "left": "left of", "right": "right of", "between": "between",
}  # fmt: skip


@dataclass(frozen=True)
class Description:
    """A sentence, understood.

    Attributes:
        kind: "structure" (a named one), "part" (a lobe or an end of one), "region" (a dark or bright
            area), "any" (some structure, known by its place or size only), "none" (nothing understood).
        structure: canonical name of the target or of what the part belongs to; "" for "any" and "none".
        part: "left lobe", "top", "widest", ... for a part.
        density: of a region: "low", "high" or "any".
        plural: several are asked for.
        claims: what is said about the target, in the order of the sentence.
        found_by: how the target was recognised: "name", "function" or "spelling".
        assumed: what the sentence left open and was filled in, one sentence each.
        unused: words that changed nothing; with any of them the sentence is not answered.
        understood: share of the words with meaning that were used, in [0, 1].
        sources: where the reading comes from, such as "functions.tsv:12".
    """

    text: str
    kind: TargetKind
    structure: str = ""
    part: str = ""
    density: Literal["low", "high", "any"] = "any"
    plural: bool = False
    claims: tuple[Claim, ...] = ()
    found_by: str = "name"
    assumed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    understood: float = 1.0
    sources: tuple[str, ...] = ()

    @property
    def side(self) -> str:
        """The side said about the target: "left", "right", "both" or ""."""
        return next((c.value for c in self.claims if c.kind == "side" and not c.negated), "")

    @property
    def target(self) -> str:
        """The target in words."""
        if self.kind == "structure":
            return self.structure
        if self.kind == "part":
            whole = self.part.endswith(("lobe", "half"))
            end = "part" if self.part in WIDTHS else "end"
            return f"{self.part if whole else f'{self.part} {end}'} of the {self.structure}"
        if self.kind == "region":
            shade = {"low": "low-density ", "high": "high-density ", "any": ""}[self.density]
            return f"{shade}area"
        return "structure" if self.kind == "any" else ""


def check_contradictions(name: str, name_side: str, claims: tuple[Claim, ...]) -> None:
    """Refuse words that exclude one another.

    Args:
        name: the target, for the message.
        name_side: the side its name says, or "".

    Raises:
        BadDescription: kind "contradiction".
    """
    told = [(c.kind, c.value, c.of, c.rank) for c in claims if not c.negated]
    if name_side in ("left", "right"):
        told.append(("side", name_side, (), 1))
    for kind, value, of, rank in told:
        other = OPPOSITE.get(value, "")
        if kind in ("side", "position", "extreme", "rank", "size", "density") and (kind, other, of, rank) in told:
            raise BadDescription(
                "contradiction",
                f"The description contradicts itself: '{value}' and '{other}' are both said of the {name}. "
                "One target has one of them. Leave one out, or ask for each on its own.",
            )
        if any(c.negated and c.kind == kind and c.value == value and c.of == of for c in claims):
            raise BadDescription(
                "contradiction",
                f"The description contradicts itself: '{value}' and 'not {value}' are both said of the {name}. "
                "Leave one out.",
            )
