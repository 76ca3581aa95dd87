"""Words for lesions of any kind, as people say them."""

import pytest

from ostensor.retrieval.anatomy.lesions import is_generic_lesion, is_lesion, lesion_rows, names_lesion
from ostensor.retrieval.anatomy.structures import StructureTable


@pytest.mark.parametrize(
    "words", ["tumour", "the Tumor", "lesions", "a mass", "the main tumour", "all metastases", "neoplasm"]
)
def test_words_that_say_no_more_than_lesion(words: str) -> None:
    assert is_generic_lesion(words)


@pytest.mark.parametrize("words", ["liver", "kidney tumour", "massive effusion", "masseter", "growth plate", "body"])
def test_other_words_say_which_or_mean_something_else(words: str) -> None:
    assert not is_generic_lesion(words)


def test_a_sentence_may_say_more() -> None:
    assert names_lesion("the larger lesion near the top of the liver")
    assert not names_lesion("the dark area near the top of the liver")


def test_rows_of_lesions_are_no_parts_of_a_healthy_body() -> None:
    names = {row.name for row in lesion_rows(StructureTable.bundled())}
    assert {"soft tissue sarcoma", "kidney tumour", "pleural effusion"} <= names
    assert not names & {"liver", "masseter", "kidneys"}


@pytest.mark.parametrize(
    ("name", "lesion"),
    [
        ("pleural effusion", True),
        ("intracerebral hemorrhage", True),
        ("white matter hyperintensity", True),
        ("left kidney cyst", True),  # the half of a pair
        ("liver lesion of unknown kind", False),  # no row, and its last word says no lesion
        ("odd liver lesion", True),
        ("left kidney", False),
        ("pleural cavity", False),
    ],
)
def test_a_lesion_is_told_from_a_part_of_the_body(name: str, lesion: bool) -> None:
    assert is_lesion(StructureTable.bundled(), name) is lesion
