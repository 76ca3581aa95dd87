"""The passages: enough, sourced, licensed, and composed of what the table says."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.retrieval.passages.corpus import Passage, bundled_passages, corpus_sha256, read_passages

HEADER = "id\tstructure\tkind\ttext\tsource\tlicence\n"


def test_there_are_five_thousand_passages_each_with_source_and_licence() -> None:
    passages = bundled_passages()
    assert len(passages) >= 5000
    assert len({passage.text for passage in passages}) >= 0.98 * len(passages)
    assert {passage.kind for passage in passages} == {"about", "names", "place", "parts", "sides", "size"}
    licences = {part for passage in passages for part in passage.licence.split(" AND ")}
    assert licences == {"Apache-2.0", "CC-BY-4.0", "CC-BY-SA-2.1-JP", "CC-BY-SA-4.0"}


def test_a_passage_never_has_a_freer_licence_than_its_structure() -> None:
    table = StructureTable.bundled()
    for passage in bundled_passages():
        if passage.kind in ("place", "names", "sides", "size"):
            assert passage.licence == table.resolve(passage.structure).licence, passage.id


def test_every_structure_has_a_passage_about_its_place() -> None:
    placed = {passage.structure for passage in bundled_passages() if passage.kind == "place"}
    assert placed == {row.name for row in StructureTable.bundled().rows}


def test_sides_and_wholes_in_the_passages_are_those_of_the_table() -> None:
    texts = {passage.id: passage.text for passage in bundled_passages()}
    assert "on the patient's left side" in texts["place:left renal artery"]
    assert texts["place:right tibia"].startswith("The right tibia is a bone in the limbs, on the patient's right side.")
    assert texts["sides:kidneys"].startswith("The kidneys come in a pair: left kidney and right kidney.")
    assert "1910 to 2440 ml in two reference bodies" in texts["size:liver"]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("a\tliver\tabout\tText.\tus\tCC0\na\tliver\tabout\tText.\tus\tCC0\n", "'a' occurs twice"),
        ("a\tliver\tabout\tText.\tus\t\n", "'a' lacks"),
        ("a\tliver\tabout\t\tus\tCC0\n", "'a' lacks"),
    ],
)
def test_a_file_with_doubled_or_unsourced_passages_is_refused(lines: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "p.tsv"
    file.write_text(HEADER + lines, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        read_passages(file)


def test_the_hash_changes_with_any_text_and_with_the_order() -> None:
    one, two = (Passage(f"p{n}", "liver", "about", f"Text {n}.", "us", "CC0") for n in range(2))
    hashes = {corpus_sha256((one, two)), corpus_sha256((two, one)), corpus_sha256((one, replace(two, text="Text 2.")))}
    assert len(hashes) == 3


@pytest.mark.data
def test_table_and_passages_are_what_the_scripts_make_of_the_sources(tmp_path: Path) -> None:
    from ostensor.retrieval.anatomy.structures import TABLE
    from ostensor.retrieval.building import corpus as build_corpus
    from ostensor.retrieval.building import structures as build_structures
    from ostensor.retrieval.passages.corpus import PASSAGES

    data = Path(os.environ.get("OSTENSOR_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not (data / "anatomy").is_dir():
        pytest.skip("needs the shared data folder")
    build_structures.write(build_structures.build(data), tmp_path / "structures.tsv")
    assert (tmp_path / "structures.tsv").read_bytes() == TABLE.read_bytes()
    build_corpus.write(build_corpus.build(data), tmp_path / "passages.tsv")
    assert (tmp_path / "passages.tsv").read_bytes() == PASSAGES.read_bytes()
