"""Sentences made from descriptions say the same when they are read again; figures of sets against hand counts."""

import random

import pytest

from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.retrieval.descriptions.description import Description
from ostensor.retrieval.descriptions.parser import parse
from ostensor.retrieval.descriptions.prompts import (
    agnostic_meanings,
    alike,
    distinct_2,
    leaked_names,
    near_duplicate_rate,
)
from ostensor.retrieval.descriptions.wording import say

TABLE = StructureTable.bundled()
SENTENCES = (
    "the liver",
    "the left kidney",
    "both kidneys",
    "the larger of the two kidneys",
    "the second smallest structure",
    "the uppermost structure on the patient's left",
    "the leftmost structure in the picture",
    "the low-density area near the top of the liver",
    "the smaller of the three bright areas in the spleen",
    "the lesion adjacent to the left kidney",
    "upper pole of the left kidney",
    "right lobe of the liver",
    "the largest organ other than the liver",
    "the lesion between the liver and the right kidney",
    "the darkest structure",
)


def claims(found: Description) -> set[object]:
    return {claim for claim in found.claims if not (found.kind == "structure" and claim.kind == "side")}


@pytest.mark.parametrize("audience", ["expert", "lay"])
@pytest.mark.parametrize("text", SENTENCES)
def test_other_words_keep_the_meaning(text: str, audience: str) -> None:
    """Round trip: read, say otherwise, read again."""
    meant, rng = parse(text, TABLE), random.Random(5)
    for _ in range(10):
        said = say(meant, TABLE, audience, rng)  # type: ignore[arg-type]
        found = parse(said.text, TABLE)
        assert (found.kind, found.structure, found.part) == (meant.kind, meant.structure, meant.part), said.text
        assert claims(found) == claims(meant), said.text
        assert found.understood == 1, said.text
        assert said.sources


def test_the_same_seed_says_the_same_and_another_seed_something_else() -> None:
    meant = parse("the left kidney", TABLE)
    one, again, other = (
        [say(meant, TABLE, "lay", rng).text for _ in range(6)] for rng in map(random.Random, (1, 1, 2))
    )
    assert one == again != other


def test_agnostic_meanings_say_nothing_twice_and_read_back() -> None:
    for family in ("position", "size"):
        found = agnostic_meanings(family)  # type: ignore[arg-type]
        assert len({one.claims for one in found}) == len(found)
        assert all(one.kind == "any" for one in found)


def test_names_that_leak_are_seen() -> None:
    assert "spleen" in leaked_names("the largest thing beside the spleen", TABLE)
    assert leaked_names("the largest thing on the patient's left", TABLE) == ()


def test_distinct_2_counts_word_pairs() -> None:
    """By hand: a b, b c | a b, b d -> 3 different of 4."""
    assert distinct_2(["a b c", "a b d"]) == 0.75
    assert distinct_2([]) == 1.0


def test_near_duplicates_share_most_word_pairs() -> None:
    """By hand: 5 of 6 pairs shared is 5/7 < 0.8; the same words with a full stop are the same."""
    assert not alike("one two three four five six seven", "one two three four five six eight")
    assert alike("Show the liver.", "show the liver")
    assert near_duplicate_rate(["a b c", "a b c.", "d e f"]) == pytest.approx(1 / 3)
