"""The words descriptions are made of, read from the data files beside this one.

Imports nothing of ours. `description_words.tsv` maps phrases to tokens (a direction, a size, a
density, a relation); `functions.tsv` says what organs do in everyday words; `foreign_words.tsv`
holds frequent words of other languages that English does not use; `plain_words.tsv` holds "filler" (carries
no meaning here), "no_structure" (a place word even where the anatomy table knows it), "agent" (announces a
function: organ, that, which) and "english" (frequent words that speak for English).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Function:
    """What a structure does: any of the actions with any of the objects.

    Attributes:
        verbs: the actions as written, "break down".
        actions: the stems of their first words.
        objects: each as words.
        number: row of the table, for provenance.
    """

    structure: str
    verbs: tuple[str, ...]
    actions: frozenset[str]
    objects: tuple[tuple[str, ...], ...]
    number: int


@dataclass(frozen=True)
class FunctionHit:
    """A stretch of words that names a structure by what it does."""

    structure: str
    start: int
    stop: int
    number: int


@cache
def plain(kind: str) -> frozenset[str]:
    """The words of one kind of `plain_words.tsv`."""
    return next(frozenset(line["words"].split()) for line in _rows("plain_words.tsv") if line["kind"] == kind)


@cache
def irrelevant() -> tuple[str, ...]:
    """Sentences about other things."""
    return tuple(line["text"] for line in _rows("irrelevant.tsv"))


@cache
def phrases() -> dict[tuple[str, ...], str]:
    """Phrase (as words) -> token."""
    found: dict[tuple[str, ...], str] = {}
    for line in _rows("description_words.tsv"):
        for phrase in line["phrases"].split("|"):
            found[tuple(phrase.split())] = line["token"]
    return found


@cache
def functions() -> tuple[Function, ...]:
    """The rows of `functions.tsv`."""
    return tuple(
        Function(
            structure=line["structure"],
            verbs=tuple(line["actions"].split("|")),
            actions=frozenset(stem(action.split()[0]) for action in line["actions"].split("|")),
            objects=tuple(tuple(words.split()) for words in line["objects"].split("|")),
            number=number,
        )
        for number, line in enumerate(_rows("functions.tsv"), start=1)
    )


def words_of(text: str) -> list[str]:
    """Lower-case words; hyphens part words, apostrophes stay."""
    plain = text.lower().replace("’", "'").replace("‘", "'")
    plain = re.sub(r"\bleft-most\b", "leftmost", re.sub(r"\bright-most\b", "rightmost", plain))
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", plain)


def stem(word: str) -> str:
    """A crude stem: "stores", "storing", "stored" -> "stor"; "carries" -> "carry"."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("ss"):
        return word
    for end in ("ing", "ed", "es", "s", "e"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            word = word[: -len(end)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls" else word


def function_hits(words: list[str]) -> list[FunctionHit]:
    """Stretches that say what an organ does, best first: "organ that stores bile" is the gallbladder.

    Some word must say that a thing is described (organ, that, which, ...); the longest object wins.
    """
    if not plain("agent") & set(words):
        return []
    stems = [stem(word) for word in words]
    hits: list[tuple[int, FunctionHit]] = []
    for row in functions():
        acting = [n for n, one in enumerate(stems) if one in row.actions]
        for wanted in row.objects if acting else ():
            for start in _positions(words, wanted):
                near = [n for n in acting if -5 <= start - n <= 6 and not start <= n < start + len(wanted)]
                if near:
                    low, high = min(start, *near), max(start + len(wanted), *(n + 1 for n in near))
                    hits.append((len(wanted), FunctionHit(row.structure, _agent_before(words, low), high, row.number)))
    hits.sort(key=lambda pair: (-pair[0], pair[1].start))
    return [hit for _length, hit in hits]


def _positions(words: list[str], wanted: tuple[str, ...]) -> list[int]:
    return [n for n in range(len(words) - len(wanted) + 1) if tuple(words[n : n + len(wanted)]) == wanted]


def _agent_before(words: list[str], low: int) -> int:
    """Where the description begins: at its "organ that", up to four words before."""
    for n in range(max(0, low - 4), low):
        if words[n] in plain("agent"):
            return n
    return low


@dataclass(frozen=True)
class Language:
    """A guess at the language of a text."""

    name: str
    words: tuple[str, ...]


def foreign_language(text: str) -> Language | None:
    """The other language a text seems to be in, or None for English (and for anatomical Latin)."""
    letters = [c for c in text if c.isalpha()]
    if letters and sum(ord(c) > 0x24F for c in letters) > 0.2 * len(letters):
        return Language("written in another script", tuple(words_of(text)[:3]))
    words = words_of(text)
    english = sum(word in plain("english") for word in words)
    best: Language | None = None
    for name, known in _foreign().items():
        hit = tuple(word for word in words if word in known)
        if len(hit) > english and len(hit) >= 0.34 * len(words) and (best is None or len(hit) > len(best.words)):
            best = Language(name, hit)
    return best


@cache
def _foreign() -> dict[str, frozenset[str]]:
    return {line["language"]: frozenset(line["words"].split()) for line in _rows("foreign_words.tsv")}


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
