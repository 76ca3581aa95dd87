"""The anatomy table: one meaning per word, sides that match, and helpful refusals."""

import pytest

from ostensor.retrieval.structures import StructureTable, UnknownStructure

TABLE = StructureTable.bundled()


def test_no_term_means_two_things() -> None:
    owners: dict[str, str] = {}
    for row in TABLE.rows:
        for term in (row.name, *row.synonyms):
            assert owners.setdefault(term.lower(), row.name) == row.name, term


def test_parents_exist_where_they_are_rows_and_sides_come_in_pairs() -> None:
    for row in TABLE.rows:
        if row.side == "left":
            partner = TABLE.partner(row.name)
            assert partner is not None, row.name
            assert TABLE.partner(partner) == row.name
            assert row.name.replace("left", "right") == partner


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Liver", "liver"),
        ("the liver", "liver"),
        ("gall bladder", "gallbladder"),
        ("lt kidney", "left kidney"),
        ("kidney, right", "right kidney"),
        ("left_femur", "left femur"),
        ("brainstem", "brain stem"),
    ],
)
def test_words_people_use(asked: str, name: str) -> None:
    assert TABLE.resolve(asked).name == name


def test_a_pair_expands_to_its_sides_and_a_single_to_itself() -> None:
    assert set(TABLE.expand("kidneys")) == {"left kidney", "right kidney"}
    assert TABLE.expand("liver") == ("liver",)


def test_unknown_words_get_three_offers() -> None:
    with pytest.raises(UnknownStructure, match=r"Unknown structure 'lever'\. Closest: liver, .+, .+\. "):
        TABLE.resolve("lever")
    assert TABLE.get("lever") is None


def test_search_ranks_exact_terms_first_with_scores_up_to_one() -> None:
    found = TABLE.search("urinary bladder", 4)
    assert found[0][0].name == "urinary bladder"
    assert found[0][1] == 1.0
    scores = [score for _row, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
