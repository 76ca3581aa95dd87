"""The lexical channel: BM25 over word stems, with misspelt query words read as the known words they sound like.

Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", eq. 3.15 with
k1 = 1.2 and b = 0.75, and the idf of Lucene, log(1 + (N - n + 0.5) / (n + 0.5)), which is never negative.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..anatomy.spelling import Speller
from ..anatomy.words import stem, words_in

K1, B = 1.2, 0.75
_FULL_TRUST = 1.0


class LexicalIndex:
    """Inverted lists over texts, held in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.size = len(texts)
        lists: dict[str, list[tuple[int, int]]] = defaultdict(list)
        lengths = np.zeros(max(1, self.size))
        known: set[str] = set()
        for number, text in enumerate(texts):
            words = words_in(text)
            known.update(words)
            lengths[number] = len(words)
            for term, count in Counter(stem(word) for word in words).items():
                lists[term].append((number, count))
        self._relative = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean())))
        self._where = {term: np.array([n for n, _c in found], dtype=np.int32) for term, found in lists.items()}
        self._count = {term: np.array([c for _n, c in found], dtype=np.float32) for term, found in lists.items()}
        self._known = known
        self._speller = Speller(known)

    @property
    def nbytes(self) -> int:
        """Bytes of the inverted lists."""
        return sum(a.nbytes for lists in (self._where, self._count) for a in lists.values())

    def scores(self, query: str) -> npt.NDArray[np.float64]:
        """BM25 of every text, (n)."""
        total = np.zeros(self.size)
        for term, trust in self._terms(query).items():
            where, count = self._where[term], self._count[term]
            rarity = math.log(1 + (self.size - len(where) + 0.5) / (len(where) + 0.5))
            total[where] += trust * rarity * count * (K1 + 1) / (count + self._relative[where])
        return total

    def search(self, query: str, count: int) -> list[int]:
        """Numbers of the best texts that share a word with the query, best first."""
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:count]
        return [int(number) for number in order if scores[number] > 0]

    def _terms(self, query: str) -> dict[str, float]:
        terms: dict[str, float] = {}
        for word in dict.fromkeys(words_in(query)):
            meant = [(word, _FULL_TRUST)] if word in self._known else self._speller.meant(word, 1)
            if stem(word) in self._where:
                meant = [(word, _FULL_TRUST)]
            for other, trust in meant:
                terms[stem(other)] = max(trust, terms.get(stem(other), 0.0))
        return terms
