"""Words of reports: tokens with their place in the text, and a matcher for phrases of several words.

The words themselves are `report_words.tsv` (kind, term, value) and `context_rules.tsv`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from .wordforms import Formed, formed, spelling
from .wordforms import plurals as plural_forms

HERE = Path(__file__).parent
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)?")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Token:
    """A word or number, lower case, and where it stands in the text (characters)."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Match(Generic[Value]):
    """A phrase found in a list of tokens: tokens `first` up to and without `last`."""

    first: int
    last: int
    value: Value


def tokens(text: str, offset: int = 0) -> list[Token]:
    """Words and numbers of a text; hyphens and punctuation separate."""
    return [Token(m.group().lower(), m.start() + offset, m.end() + offset) for m in _TOKEN.finditer(text)]


class Phrases(Generic[Value]):
    """Finds phrases in tokens, the longest first, without overlap, in British or American spelling.

    Args:
        entries: (phrase, value); the first value of a phrase wins.
        plurals: also match the plural of the last word.
    """

    def __init__(self, entries: Iterable[tuple[str, Value]], *, plurals: bool = False) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], Value]]] = {}
        known: set[tuple[str, ...]] = set()
        said = [(tuple(spelling(token.word) for token in tokens(phrase)), value) for phrase, value in entries]
        forms = [*said, *((form, value) for words, value in said for form in _plurals(words))] if plurals else said
        for form, value in forms:  # what is written as it stands comes before the plural of another phrase
            if form and form not in known:
                known.add(form)
                self._by_first.setdefault(form[0], []).append((form, value))
        for options in self._by_first.values():
            options.sort(key=lambda option: -len(option[0]))

    def find(self, words: Sequence[str]) -> list[Match[Value]]:
        """Every phrase, left to right."""
        found, at = [], 0
        words = [spelling(word) for word in words]
        while at < len(words):
            for form, value in self._by_first.get(words[at], ()):
                if tuple(words[at : at + len(form)]) == form:
                    found.append(Match(at, at + len(form), value))
                    at += len(form) - 1
                    break
            at += 1
        return found


def _plurals(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(*words[:-1], form) for form in plural_forms(words[-1])] if words else []


@cache
def report_words() -> dict[str, tuple[tuple[str, str], ...]]:
    """Kind -> (term, value) pairs of `report_words.tsv`, in the order of the file."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in _rows("report_words.tsv"):
        found.setdefault(line["kind"], []).append((line["term"], line["value"]))
    return {kind: tuple(pairs) for kind, pairs in found.items()}


@cache
def phrases_of(kind: str) -> Phrases[str]:
    """The terms of one kind of `report_words.tsv`, with their values."""
    return Phrases(report_words()[kind])


@cache
def form_of(word: str) -> Formed | None:
    """The lesion or removal a word means by its ending alone, or None."""
    words = report_words()
    return formed(word, dict(words["ending"]), dict(words["root"]), frozenset(term for term, _none in words["unlike"]))


@cache
def context_rules() -> tuple[tuple[str, str, str], ...]:
    """(phrase, category, direction) of `context_rules.tsv`."""
    return tuple((line["phrase"], line["category"], line["direction"]) for line in _rows("context_rules.tsv"))


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
