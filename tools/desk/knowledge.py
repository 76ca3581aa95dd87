"""The passages about anatomy, ready to be searched: index folder, encoder process and retriever put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from ...imaging.guards.private import close_to_others, make_folder, make_private_folder
from ...retrieval.passages.corpus import bundled_passages
from ...retrieval.passages.index import IndexUnusable, Manifest, build_index
from ...retrieval.passages.search import Retriever
from ...workers.encoding import EncodingOptions, EncodingWorker, Vectors

ENCODER = "MiniLM"  # `name` of the encoder that EncodingWorker runs by default


def index_folder(store: Path) -> Path:
    """Where the index of a store lies."""
    return store / "index"


class Knowledge:
    """A retriever with the process that encodes its queries.

    Args:
        threads: of the encoder; one by default: a single query is too short to be shared (16 against 28 ms on two).
        remember: how many queries' vectors are kept.

    Attributes:
        retriever: both channels where the index is built, else the lexical one.
        lacking: why the dense channel is missing; "" when it is there.
    """

    def __init__(self, store: Path, *, threads: int | None = 1, remember: int = 512) -> None:
        folder = index_folder(store)
        self._remembered = lru_cache(remember)(lambda texts: self.worker.encode(texts))  # a query is often asked again
        self.worker = EncodingWorker(EncodingOptions(cache=folder, threads=threads))
        try:
            self.retriever = Retriever.open(folder, self._encode, ENCODER)
            self.lacking = ""
        except IndexUnusable as error:
            self.retriever, self.lacking = Retriever.lexical_only(), str(error)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        return self._remembered(tuple(texts))

    def close(self) -> None:
        """End the encoder's process."""
        self.worker.close()


def build(store: Path, *, threads: int | None = None, progress: Callable[[int], None] = lambda done: None) -> Manifest:
    """Encode every passage in a worker process and write the index of a store."""
    folder = index_folder(store)
    make_private_folder(store)
    make_folder(folder)
    worker = EncodingWorker(EncodingOptions(cache=folder, threads=threads))
    try:
        return build_index(bundled_passages(), worker.encode, ENCODER, folder, progress=progress)
    finally:
        worker.close()
        for path in folder.iterdir():
            close_to_others(path)
