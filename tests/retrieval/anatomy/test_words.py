"""Reading phrases: what means the same reads the same, what differs does not."""

import pytest

from ostensor.retrieval.anatomy.words import plain, read, words_in


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A. carotis int. sin.", "left internal carotid artery"),
        ("internal carotid arteries, lt", "left internal carotid artery"),
        ("vertebrae_L3", "third lumbar vertebra"),
        ("L3", "third lumbar vertebra"),
        ("Th7", "seventh thoracic vertebra"),
        ("7th rib left", "left seventh rib"),
        ("kidney on the patient's right side", "right kidney"),
        ("left-hand side lung", "left lung"),
        ("ren dexter", "right kidney"),
        ("oesophagus", "esophagus"),
        ("both kidneys", "bilateral kidneys"),
        ("b/l lungs", "both lungs"),
        ("patella (L)", "left patella"),
        ("hepatic veins", "vena hepatica"),
        ("lymph nodes", "nodus lymph"),
    ],
)
def test_different_writings_read_the_same(one: str, other: str) -> None:
    a, b = read(one), read(other)
    assert (a.side, a.stems) == (b.side, b.stems)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("left kidney", "right kidney"),
        ("L3", "L4"),
        ("ileum", "ilium"),
        ("first rib", "first toe"),
        ("trapezius", "trapezium"),
        ("renal artery", "renal vein"),
        ("spinalis cervicis", "cervical spine"),
    ],
)
def test_different_structures_read_differently(one: str, other: str) -> None:
    a, b = read(one), read(other)
    assert (a.side, a.stems) != (b.side, b.stems)


def test_left_and_right_together_are_both() -> None:
    assert read("left and right kidney").side == "both"
    assert read("the left right kidney").side == "both"
    assert read("kidney").side == ""


def test_plain_keeps_words_and_drops_case_article_and_joints() -> None:
    assert plain("  The  Gall_Bladder ") == "gall bladder"
    assert plain("the") == "the"


@pytest.mark.parametrize("text", ["", "   ", "!!!", "(,)"])
def test_a_text_without_words_reads_as_nothing(text: str) -> None:
    assert words_in(text) == []
    assert read(text).stems == frozenset()


def test_a_very_long_phrase_is_read_only_in_part() -> None:
    assert len(read("kidney " + "abc " * 5000).words) == 40
