"""The dense index on disk: FAISS inner products over unit vectors, versioned and checked by hash.

A folder holds `manifest.json` and `dense.faiss`. Opening checks that both belong together and to the passages and the
encoder in use; anything else is refused with what to do. Exact: at a few thousand passages a flat index takes under a
millisecond (PERF.md §5), so nothing approximate is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .corpus import Passage, corpus_sha256

MAGIC, VERSION = "ostensor-passages", 1
MANIFEST, VECTORS = "manifest.json", "dense.faiss"
BATCH = 64
Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]


class IndexUnusable(RuntimeError):
    """There is no index here, or not the right one; the message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What an index is.

    Attributes:
        corpus_sha256: of the passages it was built from.
        encoder: name of what made the vectors.
        vectors_sha256: of the FAISS file.
    """

    magic: str
    version: int
    encoder: str
    passages: int
    size: int
    corpus_sha256: str
    vectors_sha256: str


class DenseIndex:
    """An opened index.

    Attributes:
        nbytes: of the vectors in memory.
    """

    def __init__(self, index: Any, manifest: Manifest) -> None:
        self._index, self.manifest = index, manifest
        self.nbytes = manifest.passages * manifest.size * 4

    def search(self, vector: Vectors, count: int) -> list[tuple[int, float]]:
        """Numbers of the nearest passages to a unit vector (d), with cosines, best first."""
        cosines, numbers = self._index.search(np.ascontiguousarray(vector.reshape(1, -1)), count)
        return [(int(n), float(c)) for n, c in zip(numbers[0], cosines[0], strict=True) if n >= 0]


def build_index(
    passages: tuple[Passage, ...],
    encode: Encode,
    encoder: str,
    folder: Path,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> Manifest:
    """Encode the passages and write the index; an old one stays usable until the new one is whole.

    Args:
        encode: texts -> unit vectors (n d).
        progress: is told how many passages are done.

    Raises:
        ValueError: the encoder's vectors are not of unit length.
    """
    import faiss

    order = sorted(range(len(passages)), key=lambda number: len(passages[number].text))  # like lengths pad little
    rows = []
    for first in range(0, len(order), BATCH):
        rows.append(encode([passages[number].text for number in order[first : first + BATCH]]))
        progress(min(first + BATCH, len(order)))
    size = len(rows[0][0])
    vectors: Vectors = np.empty((len(order), size), dtype=np.float32)
    vectors[order] = np.concatenate(rows)
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise ValueError(f"Vectors of '{encoder}' are not of unit length. Cosines need unit vectors.")
    index = faiss.IndexFlatIP(size)
    index.add(vectors)
    content = faiss.serialize_index(index).tobytes()
    manifest = Manifest(
        magic=MAGIC,
        version=VERSION,
        encoder=encoder,
        passages=len(passages),
        size=size,
        corpus_sha256=corpus_sha256(passages),
        vectors_sha256=hashlib.sha256(content).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / VECTORS, content)
    _replace(folder / MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What the index in a folder says it is.

    Raises:
        IndexUnusable: there is none, or it is of another kind or version.
    """
    try:
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**facts)
    except FileNotFoundError:
        raise IndexUnusable("There is no passage index yet. Run `ostensor index build`.") from None
    except (ValueError, TypeError):
        raise IndexUnusable("The passage index's manifest cannot be read. Run `ostensor index build` again.") from None
    if manifest.magic != MAGIC or manifest.version != VERSION:
        raise IndexUnusable(
            f"The passage index is '{manifest.magic}' version {manifest.version}, this program reads "
            f"'{MAGIC}' version {VERSION}. Run `ostensor index build`."
        )
    return manifest


def open_index(folder: Path, passages: tuple[Passage, ...], encoder: str) -> DenseIndex:
    """The index of these passages under this encoder.

    Raises:
        IndexUnusable: there is none, it is damaged, or it belongs to other passages or another encoder.
    """
    import faiss

    manifest = read_manifest(folder)
    if manifest.encoder != encoder:
        raise IndexUnusable(
            f"The passage index was made with the encoder '{manifest.encoder}', not '{encoder}'. Run `ostensor index build`."
        )
    if manifest.corpus_sha256 != corpus_sha256(passages):
        raise IndexUnusable("The passage index was made from other passages. Run `ostensor index build`.")
    try:
        content = (folder / VECTORS).read_bytes()
    except FileNotFoundError:
        raise IndexUnusable("The passage index has no vectors. Run `ostensor index build`.") from None
    if hashlib.sha256(content).hexdigest() != manifest.vectors_sha256:
        raise IndexUnusable("The passage index is damaged: its hash differs. Run `ostensor index build`.")
    return DenseIndex(faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8)), manifest)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
