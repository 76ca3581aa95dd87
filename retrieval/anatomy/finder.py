"""Finds terms of the anatomy table that are like a phrase, in a few milliseconds.

Two readings are scored and the better one counts: shared words (rare words weigh more, as in inverse document frequency;
a misspelt word counts a little less) and shared three-letter pieces of the phrase without its spaces ("gall bladder").
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .spelling import Speller
from .words import Phrase, read, stem

Scores = npt.NDArray[np.float64]
SAME_WORDS = 0.97  # the same words in another order or grammar; 1 is kept for the exact term
SAME_PIECES = 0.93
SIDE_NOT_ASKED = 0.9  # the term has a side, the phrase has none
SIDE_NOT_KNOWN = 0.85  # the phrase has a side, the term has none
PLACE = 0.25  # weight of a word that only says where the structure is: "of the brain"


@dataclass(frozen=True)
class Entry:
    """A term as it is looked for.

    Attributes:
        row: number of the structure it belongs to.
        place: stems that say where or what kind the structure is.
        pair: whether the structure is a pair, so that any side fits.
    """

    row: int
    phrase: Phrase
    place: frozenset[str]
    pair: bool


class Finder:
    """An index over terms."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._rows = np.array([entry.row for entry in entries])
        self._sides = np.array([entry.phrase.side for entry in entries])
        self._pairs = np.array([entry.pair for entry in entries])
        holders: dict[str, list[int]] = defaultdict(list)
        pieces: dict[str, list[int]] = defaultdict(list)
        for number, entry in enumerate(entries):
            for word in entry.phrase.stems:
                holders[word].append(number)
            for piece in _pieces(entry.phrase.joined):
                pieces[piece].append(number)
        rows_with = {word: len({entries[n].row for n in numbers}) for word, numbers in holders.items()}
        every = max(1, len(set(self._rows.tolist())))
        self._weight = {word: math.log(1 + every / count) for word, count in rows_with.items()}
        self._rare = math.log(1 + every)
        self._holders = {word: np.array(numbers) for word, numbers in holders.items()}
        self._pieces = {piece: np.array(numbers) for piece, numbers in pieces.items()}
        self._total = np.array([sum(self._weight[w] for w in entry.phrase.stems) for entry in entries])
        self._piece_count = np.array([len(_pieces(entry.phrase.joined)) for entry in entries])
        self._known = frozenset(word for entry in entries for word in entry.phrase.words)
        self._speller = Speller(self._known)

    def scores(self, text: str) -> dict[int, float]:
        """Row -> likeness in [0, 1) of its best term to the phrase; rows that share nothing are left out."""
        phrase = read(text)
        if not phrase.stems:
            return {}
        likeness = np.maximum(self._by_words(phrase), self._by_pieces(phrase)) * self._side_fit(phrase.side)
        best: dict[int, float] = {}
        for number in np.flatnonzero(likeness > 0.05):
            row = int(self._rows[number])
            best[row] = max(best.get(row, 0.0), float(likeness[number]))
        return best

    def _by_words(self, phrase: Phrase) -> Scores:
        shared = np.zeros(len(self.entries))
        asked = 0.0
        unknown: dict[str, float] = {}
        found: dict[str, npt.NDArray[np.bool_]] = {}
        for word in sorted(set(phrase.words)):
            part = np.zeros(len(self.entries))
            meant = self._meant(word)
            for known, sure in meant:
                holders = self._holders[known]
                part[holders] = np.maximum(part[holders], sure * self._weight[known])
            weight = max((self._weight[known] for known, _sure in meant), default=self._rare)
            asked += weight
            unknown[word], found[word] = weight, part > 0
            shared += part
        likeness = 2 * shared / (asked + self._total)
        for number in np.argsort(-likeness, kind="stable")[:60]:
            place = self.entries[number].place
            spare = sum(w for word, w in unknown.items() if not found[word][number] and stem(word) in place)
            likeness[number] = 2 * shared[number] / (asked - (1 - PLACE) * spare + self._total[number])
        result: Scores = SAME_WORDS * likeness
        return result

    def _meant(self, word: str) -> list[tuple[str, float]]:
        """Stems the word may stand for, and how sure that is."""
        if word in self._known:
            return [(stem(word), 1.0)]
        meant = [(stem(known), sure) for known, sure in self._speller.meant(word)]
        return [(stem(word), SAME_WORDS), *meant] if stem(word) in self._weight else meant

    def _by_pieces(self, phrase: Phrase) -> Scores:
        asked = _pieces(phrase.joined)
        lists = [self._pieces[piece] for piece in asked if piece in self._pieces]
        if not lists or not phrase.joined.isascii():
            return np.zeros(len(self.entries))
        shared = np.bincount(np.concatenate(lists), minlength=len(self.entries))
        dice = 2 * shared / (len(asked) + self._piece_count)
        likeness: Scores = SAME_PIECES * np.where(dice > 0.5, dice, 0.5 * dice)
        return likeness

    def _side_fit(self, side: str) -> Scores:
        has = (self._sides == "left") | (self._sides == "right")
        if side in ("left", "right"):
            other = has & (self._sides != side)
            return np.where(other, 0.0, np.where(has | self._pairs, 1.0, SIDE_NOT_KNOWN))
        return np.where(has, SIDE_NOT_ASKED, 1.0)


def _pieces(joined: str) -> frozenset[str]:
    padded = f"^{joined}$"
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
