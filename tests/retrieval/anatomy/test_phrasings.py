"""The committed phrasings, half of which nobody looked at while the resolver was written (data/README.md)."""

import csv
from pathlib import Path

import pytest

from ostensor.retrieval.anatomy.structures import THRESHOLD, StructureTable
from ostensor.retrieval.passages.evaluate import resolve_phrasings

DATA = Path(__file__).parents[1] / "data"
TABLE = StructureTable.bundled()


def lines(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_lists_are_long_enough_and_expect_structures_that_exist() -> None:
    phrasings = lines("phrasings.tsv")
    assert len({line["phrasing"].lower() for line in phrasings}) == len(phrasings) >= 500
    assert {line["kind"] for line in phrasings} == {"synonym", "lay", "abbreviation", "latin_plural", "typo", "side"}
    names = {row.name for row in TABLE.rows}
    assert {line["expected"] for line in phrasings} <= names
    assert len(lines("not_anatomy.tsv")) >= 100


def test_at_least_95_percent_of_the_phrasings_find_their_structure_first() -> None:
    found = {line.kind: line for line in resolve_phrasings(TABLE, DATA / "phrasings.tsv")}
    for kind in ("all", "half: held"):
        assert found[kind].right / found[kind].phrasings >= 0.95, kind


@pytest.mark.parametrize("line", lines("not_anatomy.tsv"), ids=lambda line: line["phrasing"][:20])
def test_words_that_are_no_anatomy_find_nothing_above_the_threshold(line: dict[str, str]) -> None:
    assert [(row.name, score) for row, score in TABLE.find(line["phrasing"])] == []


def test_a_score_under_the_threshold_is_no_match() -> None:
    searched = TABLE.search("river", 3)
    assert len(searched) == 3
    assert all(score < THRESHOLD for _row, score in searched)
