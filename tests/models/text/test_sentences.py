"""Sentences become token states, and their kind is told from their wording."""

import numpy as np
import pytest

from ostensor.models.text.encoders import MiniLmEncoder
from ostensor.models.text.sentences import TOKENS, SentenceEncoder, family_of, names_a_side
from ostensor.training.referring.pairs import words


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_wording_of_the_data_file_is_told_apart(part: str) -> None:
    """The families stand in the file, not in the rules."""
    told = words(part)  # type: ignore[arg-type]
    for name in told.names:
        for sentence in told.named(name):
            assert family_of(sentence) == "anatomy", sentence
    for table in (told.positions, {k: v for k, v in told.ranks.items() if k in ("left", "right", "top", "bottom")}):
        for phrase in (phrase for phrases in table.values() for phrase in phrases):
            assert family_of(phrase.format("kidney")) == "position", phrase
    for table in (told.sizes, {k: v for k, v in told.ranks.items() if k in ("largest", "smallest")}):
        for phrase in (phrase for phrases in table.values() for phrase in phrases):
            assert family_of(phrase.format("kidney")) == "size", phrase


@pytest.mark.parametrize(
    ("sentence", "family", "sided"),
    [
        ("The LEFT kidney", "anatomy", True),
        ("kidney on the left of the picture", "position", False),
        ("the larger of the two kidneys", "size", False),
        ("organ that makes bile", "anatomy", False),
        ("lower lobe of the left lung", "anatomy", True),
    ],
)
def test_place_size_and_side_of_a_sentence(sentence: str, family: str, sided: bool) -> None:
    assert family_of(sentence) == family
    assert names_a_side(sentence) is sided


def test_states_are_padded_with_zeros_and_know_word_order() -> None:
    encoder = SentenceEncoder()
    found = encoder.states(["the left kidney", "kidney left the", "The  Left KIDNEY", "", "word " * 60])
    assert found.values.shape == (5, TOKENS, 384)
    assert found.valid.sum(1).tolist() == [5, 5, 5, 2, TOKENS]
    assert found.cut.tolist() == [False, False, False, False, True]
    assert (found.values[~found.valid] == 0).all()
    assert np.abs(found.values[0, 2] - found.values[1, 2]).max() > 0.1
    assert np.allclose(found.values[0], found.values[2], atol=1e-5), "case and spaces do not matter"
    pooled = MiniLmEncoder().encode(["the left kidney"])[0]
    mean = found.values[0, :5].mean(0)
    assert np.allclose(mean / np.linalg.norm(mean), pooled, atol=1e-5), "sentence-transformers' vector is their mean"
