"""The sentence as a line of tokens: `S0` for a structure, `POS_top`, `REL_in`, `REGION_low` for words of `description_words.tsv`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from ..anatomy.structures import Structure, StructureTable
from .description import Claim, ClaimKind, Reference
from .words import function_hits, phrases, plain, words_of

_LONGEST_TERM = 8  # words
_SPELLING = 0.86  # likeness from which a misspelt word counts as a structure's name
_DETERMINERS = frozenset(
    ("the", "a", "an", "his", "her", "its", "my", "their", "your", "this", "that", "these", "those", "patient's")
)
TOKEN = re.compile(r"^(?:S\d+|[A-Z]+_\w+|[A-Z]{3,})$")


@dataclass(frozen=True)
class Mention:
    """A structure named in the sentence."""

    row: Structure
    plural: bool
    by: str
    source: str = ""


@dataclass
class Line:
    """The sentence while clauses are taken out of it."""

    text: str
    mentions: list[Mention] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    parts: list[tuple[str, str]] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)  # token -> the words it stands for
    agents: list[tuple[str, Structure]] = field(default_factory=list)  # "vessel" of "the vessel that carries blood …"
    half: bool = False

    def take(self, pattern: str, made: Callable[[re.Match[str]], str | None]) -> None:
        """Give each match to `made`; what it answers replaces the match, None leaves it."""

        def replaced(match: re.Match[str]) -> str:
            put = made(match)
            return match.group(0) if put is None else put

        self.text = re.sub(rf"(?<!\S){pattern}(?!\S)", replaced, self.text)
        self.text = " ".join(self.text.split())

    def claim(
        self, kind: ClaimKind, value: str, *, no: bool = False, rank: int = 1, of: tuple[Reference, ...] = ()
    ) -> None:
        """Add a claim once."""
        found = Claim(kind, value, rank=rank, of=of, negated=no)
        if found not in self.claims:
            self.claims.append(found)

    def reference(self, token: str) -> Reference:
        """What a token such as `S1` stands for."""
        return Reference(self.mentions[int(token[1:])].row.name)


def tokens_of(text: str, table: StructureTable) -> tuple[Line, int, list[str]]:
    """The line of tokens, how many words with meaning it holds, and the words nobody knows."""
    words = words_of(text)
    line = Line("", half="half" in words)
    items: list[str] = []
    hits = function_hits(words)
    n = 0
    while n < len(words):
        hit = next((h for h in hits if h.start == n), None)
        if words[n] == "segment" and all(item in plain("filler") | _DETERMINERS for item in items):
            items.append(words[n])  # what is to be done, and no segment of the liver
            n += 1
            continue
        token, length = _longest(words, n, table, line)
        if hit is not None and hit.stop - n > length:
            row = table.get(hit.structure)
            if row is not None:
                line.agents.append((words[n], row))
                items.append(_mention(line, Mention(row, False, "function", f"functions.tsv:{hit.number}")))
                n = hit.stop
                continue
        if token:
            line.said.setdefault(token, " ".join(words[n : n + length]))
        items.append(token or words[n])
        n += max(1, length)
    if not any(re.match(r"S\d|REGION|GENERIC|CLASS|LOBE_", item) for item in items):
        _respell(items, table, line)
    kept = [item for item in items if item not in _DETERMINERS]
    line.text = " ".join(kept)
    known = [item for item in kept if TOKEN.match(item) and item not in ("BODY", "PICTURE", "NOT", "EXCEPT")]
    unknown = [item for item in kept if not TOKEN.match(item) and item not in plain("filler")]
    return line, len(known), list(dict.fromkeys(unknown))


def _longest(words: list[str], n: int, table: StructureTable, line: Line) -> tuple[str, int]:
    """The token of the longest phrase or structure that begins at word `n`, and its length."""
    lobe = re.match(
        r"(left|right) (?:(?:hepatic|liver) )?lobe(?: of the liver| of liver)?(?! of\b)", " ".join(words[n : n + 6])
    )
    if lobe is not None:
        return f"LOBE_{lobe.group(1)}", len(lobe.group(0).split())
    for length in range(min(_LONGEST_TERM, len(words) - n), 0, -1):
        span = words[n : n + length]
        phrase = phrases().get(tuple(span))
        if phrase is not None:
            return phrase, length
        if phrase is None and length == 1 and (span[0] in plain("no_structure") or len(span[0]) < 2):
            return "", 1
        row = _row(span, table)
        if row is not None:
            surface = " ".join(span)
            plural = row.side == "both" and (
                surface == row.name or (surface.endswith("s") and not surface.endswith("ss"))
            )
            return _mention(line, Mention(row, plural, "name", f"structures.tsv:{row.name}")), length
    return "", 1


def _row(span: list[str], table: StructureTable) -> Structure | None:
    """The structure a stretch of words is a term of.

    The table sees through grammar ("kidney on the left"); here grammar carries claims, so only bare
    names are shown to it.
    """
    edge = _DETERMINERS | {"of", "in", "and", "on"}
    if span[0] in edge or span[-1] in edge or (phrases().get((span[0],)) == "PART" and "of" in span):
        return None  # "half of the brain stem" is a half, whatever the table calls half of the brain
    row = _terms(table).get(tuple(span))
    if row is None and len(span) <= 4 and not _grammar(span):
        row = table.get(" ".join(span))
    return row if row is not None and row.name not in plain("no_structure") else None


def _grammar(span: list[str]) -> bool:
    """Whether the words hold more than a name: small words, numbers, places other than one side."""
    tokens = [phrases().get((word,), "") for word in span]
    sides = [token for token in tokens if token.startswith("POS_")]
    other = [token for token in tokens if token and not token.startswith("POS_")]
    return bool(other) or len(sides) > 1 or bool(set(span) & (plain("filler") | _DETERMINERS | {"of", "in", "and"}))


@lru_cache(maxsize=4)
def _terms(table: StructureTable) -> dict[tuple[str, ...], Structure]:
    """Every term of the table as words, and as words without its determiners."""
    found: dict[tuple[str, ...], Structure] = {}
    for row in table.rows:
        for term in row.terms:
            said = words_of(term)
            found.setdefault(tuple(said), row)
            found.setdefault(tuple(word for word in said if word not in _DETERMINERS), row)
    return found


def _respell(items: list[str], table: StructureTable, line: Line) -> None:
    """One misspelt structure, if a stretch of unknown words is nearly its name."""
    names = {term: row for row in table.rows for term in row.terms if row.name not in plain("no_structure")}
    best: tuple[float, int, int, Structure] | None = None
    for length in (3, 2, 1):
        for n in range(len(items) - length + 1):
            span = [item.removeprefix("POS_") for item in items[n : n + length]]
            unknown = [
                w
                for w in span
                if w.islower() and w not in plain("filler") and w not in _DETERMINERS | {"left", "right"}
            ]
            if span[0] in plain("filler") or span[-1] in plain("filler") or len("".join(unknown)) < 4:
                continue
            close = difflib.get_close_matches(" ".join(span), names, n=1, cutoff=_SPELLING)
            if close:
                score = difflib.SequenceMatcher(None, " ".join(span), close[0]).ratio()
                if best is None or score > best[0]:
                    best = score, n, length, names[close[0]]
    if best is not None:
        score, n, length, row = best
        said = " ".join(item.removeprefix("POS_") for item in items[n : n + length])
        line.assumed.append(f"'{said}' was read as '{row.name}' (likeness {score:.2f}).")
        items[n : n + length] = [_mention(line, Mention(row, row.side == "both" and said.endswith("s"), "spelling"))]


def _mention(line: Line, found: Mention) -> str:
    line.mentions.append(found)
    return f"S{len(line.mentions) - 1}"
