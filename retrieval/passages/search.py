"""Retrieval of passages: a lexical and a dense channel, fused by reciprocal rank.

`Retriever.open(folder, encode, encoder)` uses the built index; `Retriever.lexical_only()` needs neither index nor
encoder. Source: Cormack, Clarke and Buettcher 2009, reciprocal rank fusion with k = 60.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .corpus import Passage, bundled_passages
from .index import DenseIndex, Encode, open_index
from .lexical import LexicalIndex

Channel = Literal["lexical", "dense", "fused"]
FUSION_K = 60
_DEPTH = 60  # ranks of a channel that take part in the fusion
MAX_QUERY = 1000  # letters of a query that count


@dataclass(frozen=True)
class Found:
    """A passage with its fused score and its rank (from 1) in each channel that found it."""

    passage: Passage
    score: float
    lexical_rank: int | None
    dense_rank: int | None


class Retriever:
    """Finds passages for a query. Thread-safe as long as `encode` is.

    Args:
        encode: texts -> unit vectors of the index's encoder; only with `dense`.
    """

    def __init__(
        self, passages: tuple[Passage, ...], *, dense: DenseIndex | None = None, encode: Encode | None = None
    ) -> None:
        if (dense is None) != (encode is None):
            raise ValueError("A dense index needs its encoder, and the encoder its index. Give both or neither.")
        self.passages, self._dense, self._encode = passages, dense, encode
        self._lexical = LexicalIndex([passage.text for passage in passages])

    @classmethod
    def open(cls, folder: Path, encode: Encode, encoder: str) -> Retriever:
        """Both channels over the bundled passages.

        Raises:
            IndexUnusable: the index is missing, damaged, or of other passages or another encoder.
        """
        passages = bundled_passages()
        return cls(passages, dense=open_index(folder, passages, encoder), encode=encode)

    @classmethod
    def lexical_only(cls) -> Retriever:
        """The lexical channel over the bundled passages."""
        return cls(bundled_passages())

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What this retriever can do."""
        return ("lexical",) if self._dense is None else ("lexical", "dense", "fused")

    @property
    def nbytes(self) -> int:
        """Bytes of vectors and inverted lists."""
        return self._lexical.nbytes + (0 if self._dense is None else self._dense.nbytes)

    def search(self, query: str, k: int = 10, *, channel: Channel | None = None) -> list[Found]:
        """The best `k` passages, best first; fewer when little matches, none for a query without words.

        Args:
            query: any text; what exceeds 1,000 letters is not looked at.
            channel: by default the fused one where there is an index, else the lexical one.

        Raises:
            ValueError: `k` is below 1, or the channel needs an index that is not there.
        """
        if k < 1:
            raise ValueError(f"k is {k}. Ask for at least one passage.")
        channel = channel or self.channels[-1]
        if channel not in self.channels:
            raise ValueError(f"The channel '{channel}' needs an index. Run `ostensor index build`.")
        text = query[:MAX_QUERY].strip()
        if not text:
            return []
        depth = max(k, _DEPTH)
        lexical = _ranks(self._lexical.search(text, depth)) if channel != "dense" else {}
        dense = _ranks(self._nearest(text, depth)) if channel != "lexical" else {}
        scores = {number: _fused(lexical.get(number), dense.get(number)) for number in lexical | dense}
        best = sorted(scores, key=lambda number: (-scores[number], number))[:k]
        return [Found(self.passages[n], round(scores[n], 6), lexical.get(n), dense.get(n)) for n in best]

    def _nearest(self, text: str, count: int) -> list[int]:
        assert self._dense is not None
        assert self._encode is not None
        return [number for number, _cosine in self._dense.search(self._encode([text])[0], count)]


def _ranks(numbers: list[int]) -> dict[int, int]:
    return {number: rank for rank, number in enumerate(numbers, start=1)}


def _fused(*ranks: int | None) -> float:
    return sum(1 / (FUSION_K + rank) for rank in ranks if rank is not None)
