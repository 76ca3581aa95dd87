"""Which known word a misspelt one was meant to be.

Two words are compared as they sound (ph is f, y is i, double letters are single) by the number of letters added, left
out, replaced or swapped with their neighbour. Ordinary English words (`words_everyday.txt`) are never taken for misspelt.

Source: optimal string alignment distance, Damerau 1964.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

EVERYDAY = Path(__file__).parent / "words_everyday.txt"
_SURE = {0: 0.97, 1: 0.92, 2: 0.84, 3: 0.76}  # our choice: a word of one wrong letter still clears the threshold
_NOT_MISSPELT = 0.6


class Speller:
    """Knows a vocabulary; looks words up by sound and by first letter and length."""

    def __init__(self, words: Iterable[str]) -> None:
        self._by_sound: dict[str, list[str]] = defaultdict(list)
        self._shelves: dict[tuple[str, int], list[str]] = defaultdict(list)
        for word in sorted(set(words)):
            key = sound(word)
            if not self._by_sound[key]:
                self._shelves[key[:1], len(key)].append(key)
            self._by_sound[key].append(word)

    def meant(self, word: str, count: int = 3) -> list[tuple[str, float]]:
        """The likeliest known words with how sure each is, best first; none for short words and numbers."""
        key = sound(word)
        if len(word) < 4 or not word.isalpha():
            return []
        most = _allowed(len(key))
        found: list[tuple[int, str]] = [(0, key)] if key in self._by_sound else []
        for length in range(len(key) - most, len(key) + most + 1):
            for other in self._shelves.get((key[:1], length), ()):
                steps = distance(key, other, most)
                if 0 < steps <= most:
                    found.append((steps, other))
        found.sort()
        everyday = word in everyday_words()
        return [
            (known, min(_SURE[steps], _NOT_MISSPELT if everyday else 1.0))
            for steps, other in found[:count]
            for known in self._by_sound[other]
        ]


@cache
def everyday_words() -> frozenset[str]:
    """Ordinary words one or two letters away from an anatomical one."""
    return frozenset(EVERYDAY.read_text(encoding="utf-8").split())


@cache
def sound(word: str) -> str:
    """A rough spelling by ear."""
    heard = word.replace("ph", "f").replace("ck", "k").replace("x", "ks").replace("y", "i")
    heard = heard.replace("ae", "e").replace("oe", "e")
    return re.sub(r"(.)\1+", r"\1", heard)


def distance(a: str, b: str, most: int) -> int:
    """Letters added, left out, replaced or swapped between `a` and `b`; `most + 1` as soon as it is more than `most`."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before, row = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        before, above, row = row, before, [i] + [0] * len(b)
        for j, other in enumerate(b, start=1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                row[j] = min(row[j], above[j - 2] + 1)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def _allowed(letters: int) -> int:
    return 1 if letters < 7 else 2 if letters < 11 else 3
