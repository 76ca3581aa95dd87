"""BM25 against the formula written out slowly."""

import math

import pytest

from ostensor.retrieval.passages.lexical import K1, B, LexicalIndex

TEXTS = [
    "The liver makes bile.",
    "The gallbladder stores bile; bile is bitter.",
    "The femur is the bone of the thigh.",
    "The tibia is a bone.",
    "The heart pumps blood through the whole of the body and the lungs.",
]


def slow(query: list[str], texts: list[list[str]]) -> list[float]:
    """Robertson and Zaragoza's eq. 3.15 with Lucene's idf, word by word."""
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for text in texts:
        total = 0.0
        for word in query:
            holders = sum(word in other for other in texts)
            count = text.count(word)
            rarity = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
            total += rarity * count * (K1 + 1) / (count + K1 * (1 - B + B * len(text) / mean))
        scores.append(total)
    return scores


def test_scores_are_those_of_the_formula() -> None:
    texts = ["bile duct", "bile bile liver", "femur bone tibia bone", "heart"]
    found = LexicalIndex(texts).scores("bile bone")
    assert found == pytest.approx(slow(["bile", "bone"], [text.split() for text in texts]))


def test_the_rarer_word_and_the_shorter_text_win() -> None:
    index = LexicalIndex(TEXTS)
    assert index.search("which bone is the tibia", 3)[0] == 3
    assert index.search("bile", 2) == [1, 0]


def test_a_misspelt_word_finds_what_the_right_one_finds() -> None:
    index = LexicalIndex(TEXTS)
    assert index.search("galbladder", 1) == index.search("gallbladder", 1) == [1]


def test_words_nobody_has_find_nothing() -> None:
    index = LexicalIndex(TEXTS)
    assert index.search("zzzz qqqq", 5) == []
    assert index.search("", 5) == []


def test_its_memory_is_counted() -> None:
    assert LexicalIndex(["bile duct"]).nbytes == 2 * (4 + 4)
