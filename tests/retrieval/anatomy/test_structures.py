"""The anatomy table: one meaning per word, sides that match, and helpful refusals."""

import csv
import os
from pathlib import Path

import pytest

from ostensor.retrieval.anatomy.structures import TABLE as FILE
from ostensor.retrieval.anatomy.structures import Structure, StructureTable, UnknownStructure

TABLE = StructureTable.bundled()


def test_no_term_means_two_things() -> None:
    owners: dict[str, str] = {}
    for row in TABLE.rows:
        for term in row.terms:
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


def test_the_names_networks_know_are_kept_as_they_were() -> None:
    """words_core.tsv is the table of the first edition: 106 rows."""
    with FILE.with_name("words_core.tsv").open(encoding="utf-8", newline="") as file:
        core = list(csv.DictReader(file, delimiter="\t"))
    assert len(core) == 106
    for line in core:
        row = TABLE.resolve(line["name"])
        assert (row.name, row.side, ",".join(row.regions), row.parent) == (
            line["name"], line["side"], line["region"], line["parent"],
        )  # fmt: skip
        assert set(filter(None, line["synonyms"].split("|"))) <= set(row.synonyms)


def test_there_are_over_a_thousand_structures_with_source_and_licence() -> None:
    unpaired = [row for row in TABLE.rows if row.side in ("", "both")]
    assert len(unpaired) >= 1000
    assert all(row.source and row.licence for row in TABLE.rows)
    assert sum(bool(row.lay) for row in TABLE.rows) >= 150
    assert sum(bool(row.part_of) for row in TABLE.rows) >= 1000
    licences = {part for row in TABLE.rows for part in row.licence.split(" AND ")}
    assert licences == {"Apache-2.0", "CC-BY-4.0", "CC-BY-SA-2.1-JP", "CC-BY-SA-4.0"}


def test_a_row_with_a_foreign_code_or_size_carries_the_licence_of_its_source() -> None:
    for row in TABLE.rows:
        assert not row.fma or "CC-BY-SA-2.1-JP" in row.licence, row.name
        assert not row.uberon or "CC-BY-4.0" in row.licence, row.name
        assert bool(row.volume_ml) == bool(row.volume_source), row.name


def test_every_pair_has_its_two_halves_with_a_side() -> None:
    for row in TABLE.rows:
        if row.side == "both":
            halves = [TABLE.resolve(name) for name in TABLE.expand(row.name)]
            assert {"left", "right"} <= {half.side for half in halves} or row.name == "hippocampi", row.name


def test_volumes_are_ranges_of_the_named_source() -> None:
    liver = TABLE.resolve("liver")
    assert liver.volume_ml == (1910, 2440), "Visible Human male 1911.5 ml, female 2437.4 ml"
    assert "two reference bodies" in liver.volume_source
    assert all(row.volume_ml[0] < row.volume_ml[1] for row in TABLE.rows if row.volume_ml)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("rt kidneys", "right kidney"),
        ("A. renalis sin.", "left renal artery"),
        ("both lungs", "lungs"),
        ("kidney on the left", "left kidney"),
        ("vertebrae_L3", "third lumbar vertebra"),
        ("L5/S1 disc", "intervertebral disk of fifth lumbar vertebra"),
        ("heart_atrium_left", "left atrium"),
    ],
)
def test_grammar_sides_and_latin_are_seen_through_without_guessing(asked: str, name: str) -> None:
    assert TABLE.resolve(asked).name == name


@pytest.mark.parametrize("asked", ["left kindey", "galbladder", "rigth kidney", "left spleen organ of stone", ""])
def test_resolving_never_guesses(asked: str) -> None:
    assert TABLE.get(asked) is None


def test_a_word_that_fits_two_structures_resolves_to_neither() -> None:
    rows = tuple(Structure(name, "", (), "", (), "") for name in ("splenic artery", "arteria splenica"))
    with pytest.raises(UnknownStructure):
        StructureTable(rows).resolve("arteriae splenicae")
    with pytest.raises(ValueError, match="names both"):
        StructureTable((*rows, Structure("x", "", (), "", ("splenic artery",), "")))


def test_a_query_with_a_side_finds_that_half_of_the_pair() -> None:
    assert TABLE.find("lt kindey", 1)[0][0].name == "left kidney"
    assert TABLE.find("radius of the right arm", 1)[0][0].name == "right radius"


def test_left_and_right_parts_of_one_organ_have_no_side() -> None:
    assert TABLE.resolve("left lobe of liver").side == ""
    assert TABLE.partner("left lobe of liver") is None
    assert TABLE.partner("left renal artery") == "right renal artery"


@pytest.mark.data
def test_nearly_all_names_of_totalsegmentator_resolve() -> None:
    """A list from outside: its classes, beside infiltrates and implants."""
    data = Path(os.environ.get("OSTENSOR_DATA", Path(__file__).parents[4] / "shared" / "data"))
    file = data / "anatomy" / "totalsegmentator_snomed_mapping.csv"
    if not file.exists():
        pytest.skip("needs the shared data folder")
    with file.open(encoding="utf-8", newline="") as lines:
        names = [line[0] for line in csv.reader(lines)][1:]
    missing = [name for name in names if TABLE.get(name) is None]
    assert set(missing) == {"lung_covid_infiltrate", "hip_implant", "lung_trachea_bronchia"}


def test_what_stands_above_a_structure_and_whether_it_is_a_tube() -> None:
    assert TABLE.above("left common iliac artery") == ("common iliac artery", "artery")
    assert TABLE.above("aorta") == ("artery",)
    assert TABLE.above("no such thing") == ()
    tubes = (
        "aorta",
        "inferior vena cava",
        "left common iliac artery",
        "right internal carotid artery",
        "trachea",
        "bile duct",
    )
    assert all(TABLE.is_tube(name) for name in tubes)
    assert not any(TABLE.is_tube(name) for name in ("liver", "larynx", "left kidney", "spinal cord", "artery", "heart"))
