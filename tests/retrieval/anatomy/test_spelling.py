"""The distance against a slow recursion, and the words a misspelt one may stand for."""

from functools import cache

import numpy as np
import pytest

from ostensor.retrieval.anatomy.spelling import Speller, distance, everyday_words, sound


def slow(a: str, b: str) -> int:
    """Optimal string alignment by its definition."""

    @cache
    def steps(i: int, j: int) -> int:
        if 0 in (i, j):
            return i + j
        ways = [steps(i - 1, j) + 1, steps(i, j - 1) + 1, steps(i - 1, j - 1) + (a[i - 1] != b[j - 1])]
        if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
            ways.append(steps(i - 2, j - 2) + 1)
        return min(ways)

    return steps(len(a), len(b))


def test_the_distance_is_that_of_the_definition_up_to_the_limit() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        a, b = ("".join(rng.choice(list("abc"), size=rng.integers(1, 8))) for _ in range(2))
        for most in (1, 2, 3):
            assert distance(a, b, most) == min(slow(a, b), most + 1), (a, b, most)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("kindey", "kidney"),
        ("diafragm", "diaphragm"),
        ("appendicks", "appendix"),
        ("femer", "femur"),
        ("larinx", "larynx"),
    ],
)
def test_a_misspelt_word_is_read_as_the_known_one(wrong: str, right: str) -> None:
    speller = Speller(["kidney", "diaphragm", "appendix", "femur", "larynx", "tibia"])
    assert speller.meant(wrong)[0][0] == right


def test_short_words_numbers_and_other_first_letters_stand_for_nothing() -> None:
    speller = Speller(["lung", "liver", "rib"])
    assert speller.meant("rb") == []
    assert speller.meant("12345") == []
    assert speller.meant("river") == []


def test_an_ordinary_word_is_hardly_taken_for_a_misspelt_one() -> None:
    assert "lever" in everyday_words()
    (meant, sure), *_ = Speller(["liver"]).meant("lever")
    assert (meant, sure) == ("liver", 0.6)


def test_words_that_sound_alike_have_one_sound() -> None:
    assert sound("pharynx") == sound("farinx")
    assert sound("oesophagus") == sound("esophagus")
