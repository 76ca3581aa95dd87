"""From a sentence to a `Description`: structures first, then clauses about them, then the target.

`describe_line.py` turns the sentence into a line of tokens, `describe_clauses.py` takes clauses out of it
one kind after the other; what is left decides the target, and what nobody took is reported as unused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from ..anatomy.kinds import KINDS, is_kind
from ..anatomy.structures import StructureTable
from .clauses import take_clauses
from .description import MAX_CHARACTERS, BadDescription, Description, Reference, TargetKind, check_contradictions
from .line import TOKEN, Line, Mention, tokens_of
from .words import foreign_language, words_of

_HEAD = r"(?:S\d|REGION|GENERIC|CLASS|LOBE)"
_DENIES = (
    "The description says what is not there, so there is nothing to point at. Ask for the thing itself (the answer says "
    "'absent' when it is not found), or use check_report to judge a sentence."
)


def parse(text: str, table: StructureTable) -> Description:
    """What a sentence points at.

    Raises:
        BadDescription: empty, longer than 500 characters, not English, contradictory, or it only says what
            is not there.
    """
    check_text(text)
    line, used, unknown = tokens_of(text, table)
    if re.match(rf"(?:(?!{_HEAD})\S+ )*?NOT (?:\S+ )*?{_HEAD}", line.text):
        raise BadDescription("negation", _DENIES)
    take_clauses(line, table)
    target = _target(line, table)
    words = tuple(w for w in unknown if w in line.text.split())
    left = _not_taken(line, target, table)
    leftover = (*words, *left)
    if "NOT" in line.text.split():
        leftover = (*leftover, "what follows 'not' or 'without'")
    meaning = used + len(leftover) - len(left)
    used -= len(left)
    description = Description(
        text=text,
        kind=target.kind,
        structure=target.structure,
        part=target.part,
        density=target.density,
        plural=target.plural,
        claims=tuple(line.claims),
        found_by=target.by,
        assumed=tuple(line.assumed),
        unused=(*leftover, *target.unused),
        understood=round(used / meaning, 3) if meaning else 0.0,
        sources=target.sources,
    )
    row = table.get(target.structure) if target.kind == "structure" else None
    check_contradictions(description.target or "target", row.side if row else "", description.claims)
    return description


def check_text(text: str) -> None:
    """Refuse what is no English sentence of a sensible length.

    Raises:
        BadDescription: kind "empty", "long" or "language".
    """
    if not words_of(text):
        raise BadDescription(
            "empty", "The description is empty. Say what to find, e.g. 'the larger of the two kidneys'."
        )
    if len(text) > MAX_CHARACTERS:
        raise BadDescription(
            "long",
            f"The description has {len(text)} characters. At most {MAX_CHARACTERS} fit: one sentence about one target. "
            "Split a report into its sentences first.",
        )
    language = foreign_language(text)
    if language is not None:
        heard = ", ".join(f"'{word}'" for word in language.words[:3])
        raise BadDescription(
            "language",
            f"The description seems to be {language.name} ({heard}). Only English is understood. Translate it first; "
            "Latin names of structures are fine.",
        )


@dataclass(frozen=True)
class _Target:
    kind: TargetKind
    structure: str = ""
    part: str = ""
    density: Literal["low", "high", "any"] = "any"
    plural: bool = False
    by: str = "name"
    unused: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def _target(line: Line, table: StructureTable) -> _Target:
    """What is left in the line is the target."""
    tokens = line.text.split()
    region = next((t for t in tokens if t.startswith("REGION_")), None)
    left = [line.mentions[int(t[1:])] for t in tokens if re.fullmatch(r"S\d+", t)]
    denied = re.search(r"NOT(?: (?!S\d|REGION|GENERIC)\S+)* (S\d+|REGION_\w+|GENERIC)", line.text)
    if region is not None and denied and denied.group(1) == region and left:
        region = None  # "the liver without a lesion"
    elif denied is not None:
        raise BadDescription("negation", _DENIES)
    if region is not None:
        return _region(line, region, left)
    if left:
        return _structure(line, left, table)
    if line.parts:
        part, whole = line.parts[0]
        return _Target("part", whole, part, sources=(f"structures.tsv:{whole}",))
    inside = [c for c in line.claims if c.kind == "relation" and c.value == "in" and not c.negated]
    if inside and not re.search("GENERIC|CLASS_", line.text):
        line.assumed.append("No kind of target was named; areas that differ from their surroundings were taken.")
        return _region(line, "REGION_any", [])
    classes = [t.split("_")[1] for t in tokens if t.startswith("CLASS_")]
    for name in classes[:1]:
        line.claim("class", name)
    if "GENERIC" in tokens or line.claims:
        return _Target("any", plural=False)
    return _Target("none")


_TAKEN = re.compile(r"S\d+|RANKED|CLAIMED|DENSITY_\w+|GENERIC|REGION_\w+|BODY|PICTURE|REL_in|NOT|EXCEPT|BOTH")


def _not_taken(line: Line, target: _Target, table: StructureTable) -> tuple[str, ...]:
    """Words with a meaning that the reading does not hold: a head noun of another kind, a superlative, a part."""
    tokens = [token for token in line.text.split() if TOKEN.match(token)]
    kinds = [token for token in tokens if token.startswith("CLASS_")]
    held = kinds[:1] if target.kind == "any" else [kind for kind in kinds if _is_held(kind, target, table)]
    left = " ".join(token for token in tokens if not _TAKEN.fullmatch(token) and token not in held)
    said = [
        " ".join(line.said.get(token, token) for token in part.split())
        for part in re.findall(r"(?:RANK|MORE)_\S+ PART|\S+", left)  # "largest part" is told in one
    ]
    wrong = [word for word, row in line.agents if word.rstrip("s") in KINDS and not _is_a(row.name, word, table)]
    parts = line.parts[1:] if target.kind == "part" else line.parts
    dropped = [f"{part} of the {whole} (a second target: ask on its own)" for part, whole in parts]
    return tuple(dict.fromkeys((*said, *wrong, *dropped)))


def _is_held(token: str, target: _Target, table: StructureTable) -> bool:
    """Whether a noun such as "vessel" names what the target is anyway."""
    return target.kind == "structure" and _is_a(target.structure, token.removeprefix("CLASS_"), table)


def _is_a(name: str, word: str, table: StructureTable) -> bool:
    single = word if word in KINDS else word.rstrip("s")
    return is_kind((name, *table.above(name)), single)


def _region(line: Line, token: str, left: list[Mention]) -> _Target:
    for mention in left[:1]:
        line.claim("relation", "in", of=(Reference(mention.row.name),))
    density = token.split("_")[1]
    said = next((c for c in line.claims if c.kind == "density" and not c.negated), None)
    ranked = next((c for c in line.claims if c.kind == "density_rank" and not c.negated), None)
    if density == "any" and said is not None:
        density = said.value
        line.claims.remove(said)
    elif density == "any" and ranked is not None:
        density = ranked.value
    inside = next((c.of for c in line.claims if c.kind == "relation" and c.value == "in" and not c.negated), ())
    line.claims = [replace(c, of=inside) if c.kind == "position" and not c.of else c for c in line.claims]
    kind: Literal["low", "high", "any"] = "low" if density == "low" else "high" if density == "high" else "any"
    return _Target("region", density=kind, unused=tuple(m.row.name for m in left[1:]))


def _structure(line: Line, left: list[Mention], table: StructureTable) -> _Target:
    first = next((m for m in left if m.by == "function"), left[0])  # "the heart chamber that ...": not the heart
    side = next((c for c in line.claims if c.kind == "side" and c.value in ("left", "right")), None)
    row = first.row
    if row.side == "both" and side is not None:
        wanted = side.value if not side.negated else {"left": "right", "right": "left"}[side.value]
        if not any(c.kind == "side" and c is not side and not c.negated for c in line.claims):
            row = next((r for r in table.rows if r.parent == row.name and r.side == wanted), row)
    unused = tuple(
        f"{m.row.name} (a second target: ask on its own)" for m in left if m is not first and m.row.name != row.name
    )
    source = first.source or f"structures.tsv:{row.name}"
    return _Target("structure", row.name, plural=first.plural, by=first.by, unused=unused, sources=(source,))
