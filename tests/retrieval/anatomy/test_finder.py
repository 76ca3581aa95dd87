"""Scores of the finder: order, sides, rare words, and an index that holds what it was given."""

from ostensor.retrieval.anatomy.finder import SIDE_NOT_ASKED, Entry, Finder
from ostensor.retrieval.anatomy.words import read


def finder(*terms: str, pairs: tuple[str, ...] = (), place: str = "") -> Finder:
    about = frozenset(read(place).stems)
    return Finder([Entry(number, read(term), about, term in pairs) for number, term in enumerate(terms)])


def best(found: dict[int, float]) -> int:
    return max(found, key=lambda number: found[number])


def test_the_same_words_score_highest_whatever_their_order() -> None:
    index = finder("renal artery", "renal vein", "splenic artery")
    scores = index.scores("artery renal")
    assert best(scores) == 0
    assert scores[0] > 0.96 > max(scores[1], scores[2])


def test_the_other_side_is_never_found() -> None:
    scores = finder("left kidney", "right kidney").scores("right kidney")
    assert 0 not in scores
    assert scores[1] > 0.9


def test_a_side_that_was_not_asked_for_costs_a_little() -> None:
    scores = finder("left kidney", "kidneys", pairs=("kidneys",)).scores("kidney")
    assert scores[0] == scores[1] * SIDE_NOT_ASKED


def test_a_pair_fits_any_side_and_an_unpaired_structure_less() -> None:
    scores = finder("kidneys", "liver", pairs=("kidneys",)).scores("left kidney")
    assert scores[0] > 0.9
    assert finder("liver").scores("left liver")[0] < 0.9


def test_a_word_that_says_where_costs_less_than_a_foreign_one() -> None:
    index = finder("thalamus", "putamen", "pons", "insula", place="brain")
    assert index.scores("thalamus of the brain")[0] > index.scores("thalamus of the universe")[0]


def test_rare_words_weigh_more_than_common_ones() -> None:
    index = finder("popliteal artery", "renal artery", "splenic artery", "hepatic artery", "popliteal vein")
    scores = index.scores("popliteal nerve")
    assert best(scores) in (0, 4)
    assert scores[0] > scores.get(1, 0.0)


def test_split_and_joined_words_meet() -> None:
    assert finder("gallbladder", "liver").scores("gall bladder")[0] > 0.9


def test_nothing_asked_finds_nothing() -> None:
    assert finder("liver").scores("") == {}
    assert finder("liver").scores("the of") == {}
