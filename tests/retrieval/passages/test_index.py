"""The index on disk: exact against numpy, whole or not there, refused when it does not fit."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ostensor.retrieval.passages.corpus import Passage
from ostensor.retrieval.passages.index import MANIFEST, VECTORS, IndexUnusable, build_index, open_index, read_manifest

PASSAGES = tuple(Passage(f"p{n}", "liver", "about", f"Text number {n * n}.", "us", "CC0") for n in range(131))
SIZE = 23


def encode(texts: Sequence[str]) -> np.ndarray:
    """A fixed random direction per text."""
    rows = [np.random.default_rng(list(text.encode())).standard_normal(SIZE) for text in texts]
    array = np.array(rows, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(PASSAGES, encode, "toy", tmp_path / "index")
    return tmp_path / "index"


def test_faiss_finds_exactly_what_numpy_finds(folder: Path) -> None:
    """The exact twin: all inner products, sorted."""
    index = open_index(folder, PASSAGES, "toy")
    vectors = encode([passage.text for passage in PASSAGES])
    for query in ("Text number 49.", "something else", "Text"):
        vector = encode([query])[0]
        cosines = vectors @ vector
        found = index.search(vector, 10)
        assert [number for number, _c in found] == np.argsort(-cosines)[:10].tolist()
        assert [cosine for _n, cosine in found] == pytest.approx(np.sort(cosines)[::-1][:10].tolist(), abs=1e-6)
    assert index.nbytes == 131 * SIZE * 4


def test_progress_counts_every_passage_once(tmp_path: Path) -> None:
    told: list[int] = []
    build_index(PASSAGES, encode, "toy", tmp_path, progress=told.append)
    assert told == [64, 128, 131]


def test_the_manifest_says_what_it_is(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert (manifest.encoder, manifest.passages, manifest.size) == ("toy", 131, SIZE)


def test_a_folder_without_an_index_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(IndexUnusable, match=r"no passage index yet\. Run `ostensor index build`"):
        open_index(tmp_path, PASSAGES, "toy")


def test_an_index_of_other_passages_or_another_encoder_is_refused(folder: Path) -> None:
    with pytest.raises(IndexUnusable, match="other passages"):
        open_index(folder, PASSAGES[:-1], "toy")
    with pytest.raises(IndexUnusable, match="'toy', not 'MiniLM'"):
        open_index(folder, PASSAGES, "MiniLM")


def test_a_damaged_index_is_refused(folder: Path) -> None:
    content = bytearray((folder / VECTORS).read_bytes())
    content[-1] ^= 1
    (folder / VECTORS).write_bytes(content)
    with pytest.raises(IndexUnusable, match="damaged"):
        open_index(folder, PASSAGES, "toy")
    (folder / VECTORS).unlink()
    with pytest.raises(IndexUnusable, match="no vectors"):
        open_index(folder, PASSAGES, "toy")


def test_another_version_or_a_broken_manifest_is_refused(folder: Path) -> None:
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(facts | {"version": 99}), encoding="utf-8")
    with pytest.raises(IndexUnusable, match="version 99"):
        read_manifest(folder)
    for broken in ("{", "[]", '{"magic": 1}'):
        (folder / MANIFEST).write_text(broken, encoding="utf-8")
        with pytest.raises(IndexUnusable, match="cannot be read"):
            read_manifest(folder)


def test_vectors_that_are_not_of_unit_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unit length"):
        build_index(PASSAGES, lambda texts: 2 * encode(texts), "toy", tmp_path)
    assert not (tmp_path / MANIFEST).exists()
