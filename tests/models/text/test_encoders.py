"""Vectors of words: the same for the same term, remembered, and the known ones are MiniLM's own."""

from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.text.encoders import (
    CachedEncoder,
    HashedWords,
    MiniLmEncoder,
    TransformerEncoder,
    known_vectors,
    minilm_folder,
    normalised_term,
)
from ostensor.retrieval.anatomy.structures import TABLE, StructureTable


def test_every_term_of_what_networks_are_trained_on_has_a_unit_vector() -> None:
    known = known_vectors()
    with TABLE.with_name("words_core.tsv").open(encoding="utf-8") as file:
        core = [line.split("\t")[0] for line in file][1:]
    assert len(core) == 106
    table = StructureTable.bundled()
    for row in map(table.resolve, core):
        for term in (row.name, *row.synonyms, *row.lay):
            assert normalised_term(term) in known, term
    own = [row.name for row in table.rows if row.source.startswith("ostensor")]
    assert {normalised_term(name) for name in own} <= set(known)
    assert np.allclose([np.linalg.norm(v) for v in known.values()], 1, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_known_vectors_are_those_of_the_real_encoder() -> None:
    terms = ["liver", "left kidney", "cerebral white matter"]
    fresh = MiniLmEncoder().encode([term.upper() for term in terms])
    assert np.abs(fresh - np.stack([known_vectors()[term] for term in terms])).max() < 1e-3, "half precision"


def test_padding_does_not_change_a_vector() -> None:
    encoder = MiniLmEncoder()
    alone = encoder.encode(["liver"])[0]
    beside = encoder.encode(["liver", "the long head of the biceps femoris muscle on the left side"])[0]
    assert np.abs(alone - beside).max() < 1e-5


def test_hashed_words_need_no_weights_and_ignore_case_and_order() -> None:
    encoder = HashedWords(32)
    one, two, other = encoder.encode(["Left  Kidney", "kidney left", "liver"])
    assert np.array_equal(one, two)
    assert abs(float(one @ other)) < 0.7
    assert np.linalg.norm(one) == pytest.approx(1)
    assert not encoder.encode(["!"]).any()


def test_a_cached_encoder_asks_once_and_remembers_over_restarts(tmp_path: Path) -> None:
    file = tmp_path / "vectors.npz"
    first = CachedEncoder(HashedWords(16), file)
    vectors = first.encode(["liver", "Liver", "spleen"])
    assert first.encoded == 2
    second = CachedEncoder(HashedWords(16), file)
    assert np.array_equal(second.encode(["liver", "liver", "spleen"]), vectors)
    assert second.encoded == 0
    other = CachedEncoder(HashedWords(8), file)
    assert other.encode(["liver"]).shape == (1, 8), "vectors of another encoder are not used"


def test_an_encoder_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="BioLORD"):
        TransformerEncoder(tmp_path / "none")
    with pytest.raises(Unavailable, match="not complete"):
        TransformerEncoder(tmp_path)


def test_weights_of_another_language_model_are_refused(tmp_path: Path) -> None:
    import torch

    with pytest.raises(BadCall, match="not of MiniLM"):
        TransformerEncoder(minilm_folder(), name="MiniLM", state={"x": torch.zeros(1)})


def test_our_pooling_is_that_of_sentence_transformers() -> None:
    """BioLORD comes with a checkpoint and is pooled here; on MiniLM, another library tells what the mean is."""
    terms = ["liver", "the long head of the biceps femoris muscle on the left side", "LEFT  kidney", "word " * 300]
    pooled = TransformerEncoder(minilm_folder(), name="MiniLM").encode(terms)
    assert np.abs(pooled / np.linalg.norm(pooled, axis=1, keepdims=True) - MiniLmEncoder().encode(terms)).max() < 1e-5
