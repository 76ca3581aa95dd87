"""The passages that retrieval searches: short statements about structures, each with source and licence.

The file is `passages.tsv`, written by `build_corpus`; NOTICE.md says where its statements come from.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PASSAGES = Path(__file__).parent / "passages.tsv"


@dataclass(frozen=True)
class Passage:
    """One statement.

    Attributes:
        id: stable and readable, e.g. "place:left kidney".
        structure: canonical name it is about, or the source's own name where the table has none.
        kind: "about" (written by hand), "names", "place", "parts", "sides" or "size".
        licence: SPDX identifiers joined by AND where a statement draws on several sources.
    """

    id: str
    structure: str
    kind: str
    text: str
    source: str
    licence: str


@cache
def bundled_passages() -> tuple[Passage, ...]:
    """The passages that come with the package."""
    return read_passages(PASSAGES)


def read_passages(file: Path) -> tuple[Passage, ...]:
    """The passages of a file.

    Raises:
        ValueError: an id occurs twice, or a passage lacks text, source or licence.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        passages = tuple(Passage(**line) for line in csv.DictReader(lines, delimiter="\t"))
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            raise ValueError(f"Passage '{passage.id}' occurs twice. Ids must be unique.")
        if not (passage.text and passage.source and passage.licence):
            raise ValueError(f"Passage '{passage.id}' lacks text, source or licence. Every passage needs all three.")
        seen.add(passage.id)
    return passages


def corpus_sha256(passages: tuple[Passage, ...]) -> str:
    """What an index was built from: changes when any text or its order does."""
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(f"{passage.id}\t{passage.text}\n".encode())
    return digest.hexdigest()
