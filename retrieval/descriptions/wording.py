"""From a description back to sentences: the same target and claims in other words.

Imports nothing of ours. The words stand in `prompt_words.tsv`, by audience; a caller reads every
sentence again with the parser, which is the judge of whether it still says the same.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..anatomy.structures import Structure, StructureTable
from .description import Claim, Description
from .words import HERE, Function, functions

Audience = Literal["expert", "lay"]
_ORDER = {1: "", 2: "second ", 3: "third ", 4: "fourth "}
_BEFORE = ("rank", "extreme", "size", "density", "density_rank")  # said before or around the noun
_AFTER = ("relation", "position", "exclude")


@dataclass(frozen=True)
class Sentence:
    """A sentence and where its words come from."""

    text: str
    sources: tuple[str, ...]


@cache
def words(key: str, audience: Audience) -> tuple[str, ...]:
    """The phrases of `prompt_words.tsv` for a key, in the order of the file."""
    with (HERE / "prompt_words.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["key"] == key]
    return tuple(
        phrase for row in rows if row["audience"] in (audience, "both") for phrase in row["phrases"].split("|")
    )


def say(description: Description, table: StructureTable, audience: Audience, rng: random.Random) -> Sentence:
    """One sentence with the target and claims of a description; other words at every draw of `rng`."""
    phrase = name(description, table, audience, rng)
    worry = words("worry", audience) if description.kind == "structure" and not description.claims else ()
    frame = rng.choice((*words("frame", audience), *worry))
    text = frame.format(np=phrase.text)
    return Sentence(text[0].upper() + text[1:], phrase.sources)


def name(description: Description, table: StructureTable, audience: Audience, rng: random.Random) -> Sentence:
    """The target and its claims without a verb: "the larger of the two kidneys"."""
    noun, sources, sided = _noun(description, table, audience, rng)
    claims = [claim for claim in description.claims if not (claim.kind == "side" and sided)]
    pair = next((c for c in claims if c.kind == "count"), None)
    rank = next((c for c in claims if c.kind == "rank"), None)
    before = [claim for claim in claims if claim.kind in _BEFORE]
    if pair is not None:
        noun = _plural(noun)
        before = [claim for claim in before if claim is not rank]
    for claim in before:
        noun = _around(claim, noun, audience, rng)
    noun = _counted(noun, pair, rank)
    placed = {claim.of for claim in claims if claim.kind == "position"}  # "near the top of the liver" is in it
    told = [c for c in claims if c.kind in (*_AFTER, "side") and not (c.value == "in" and c.of in placed)]
    after = [_after(claim, audience, rng) for claim in told]
    return Sentence(" ".join(["the " + noun, *(text for text in after if text)]), sources)


def _noun(
    description: Description, table: StructureTable, audience: Audience, rng: random.Random
) -> tuple[str, tuple[str, ...], bool]:
    """The target as a noun, its sources, and whether it says its side itself."""
    if description.kind == "region":
        density = next((c for c in description.claims if c.kind == "density_rank"), None)
        key = "any" if density is not None else description.density
        return rng.choice(words(f"region {key}", audience)), ("prompt_words.tsv:region",), False
    if description.kind == "any":
        held = next((c.value for c in description.claims if c.kind == "class"), "")
        return held or rng.choice(words("noun", audience)), ("prompt_words.tsv:noun",), False
    if description.kind == "part":
        part = description.part if description.part.endswith(("lobe", "half")) else f"{description.part} part"
        return f"{part} of the {description.structure}", (f"structures.tsv:{description.structure}",), False
    row = table.get(description.structure)
    assert row is not None
    singled = [claim for claim in description.claims if claim.kind != "side"]
    countable = all(claim.kind != "count" for claim in singled) and not (row.side == "both" and not singled)
    return _structure(row, table, audience, rng, one=bool(singled), by_function=countable)


def _structure(
    row: Structure, table: StructureTable, audience: Audience, rng: random.Random, *, one: bool, by_function: bool
) -> tuple[str, tuple[str, ...], bool]:
    base = table.get(row.parent) if row.side in ("left", "right") else row
    acting = [act for act in functions() if base is not None and act.structure == base.name]
    if acting and by_function and rng.random() < (0.5 if audience == "lay" else 0.15):
        chosen = rng.choice(acting)
        noun = _by_function(chosen, base or row, rng)
        side = f", {rng.choice(words(f'side {row.side}', audience))}" if row.side in ("left", "right") else ""
        return noun + side, (f"functions.tsv:{chosen.number}", f"structures.tsv:{row.name}"), True
    source = (f"structures.tsv:{row.name}",)
    if row.side == "both":
        return _singular(row, table) if one else row.name, source, False
    if base is not None and base is not row and rng.random() < 0.4:
        single = row.name.replace(f"{row.side} ", "", 1)
        return f"{single} {rng.choice(words(f'side {row.side}', audience))}", source, True
    return rng.choice((row.name, *_usable_synonyms(row))), source, True


def _usable_synonyms(row: Structure) -> list[str]:
    """Synonyms that read well after "the"."""
    return [
        term for term in row.synonyms if "," not in term and not term.endswith((" left", " right")) and len(term) > 3
    ]


def _singular(row: Structure, table: StructureTable) -> str:
    """One of a pair: "kidneys" -> "kidney"."""
    half = next((r.name for r in table.rows if r.parent == row.name and r.side == "left"), "")
    return half.replace("left ", "", 1) or row.name


def _by_function(row: Function, target: Structure, rng: random.Random) -> str:
    action = rng.choice(row.verbs)
    verb, _, rest = action.partition(" ")
    third = (
        verb[:-1] + "ies"
        if verb.endswith("y") and verb[-2] not in "aeiou"
        else verb + ("es" if verb.endswith(("s", "sh", "ch", "x")) else "s")
    )
    noun = "structure" if target.parent in ("bone", "brain", "heart", "muscle") else "organ"
    return f"{noun} that {third}{' ' + rest if rest else ''} {' '.join(rng.choice(row.objects))}"


def _around(claim: Claim, noun: str, audience: Audience, rng: random.Random) -> str:
    if claim.negated:
        return noun
    order = _ORDER.get(claim.rank, "")
    choices = words(f"{claim.kind} {claim.value}", audience)
    if order:
        choices = tuple(c for c in choices if c.startswith("{order}") or c.endswith(" {n}")) or choices
    phrase = rng.choice(choices)
    if order and "{order}" not in phrase:
        phrase = order + phrase
    return phrase.replace("{order}", order).replace("{n}", noun)


def _counted(noun: str, pair: Claim | None, rank: Claim | None) -> str:
    if pair is None:
        return noun
    number = {"2": "two", "3": "three", "4": "four", "5": "five"}.get(pair.value, "")
    if not number:
        return f"single {noun}"
    if rank is None:
        return f"{number} {noun}"
    word = rank.value
    if number == "two" and rank.rank == 1:
        word = {"largest": "larger", "smallest": "smaller"}[rank.value]
    return f"{_ORDER.get(rank.rank, '')}{word} of the {number} {noun}"


def _after(claim: Claim, audience: Audience, rng: random.Random) -> str:
    if claim.kind == "side" and claim.value == "both":
        return ""
    key = f"{claim.kind} {claim.value}"
    choices = words(key, audience)
    if not choices:
        return ""
    where = " and the ".join(str(one) for one in claim.of) or "scan"
    return ("not " if claim.negated else "") + rng.choice(choices).replace("{of}", where)


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith("focus"):
        return noun[:-2] + "i"
    return noun + "s"
