"""Sentences and what a person reads in them; expected readings were written by hand."""

import pytest

from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.retrieval.descriptions.description import BadDescription, Claim, Reference
from ostensor.retrieval.descriptions.parser import parse

TABLE = StructureTable.bundled()
LIVER = (Reference("liver"),)
RIGHT_LOBE = (Reference("liver", "right"),)


@pytest.mark.parametrize(
    ("text", "kind", "target", "claims"),
    [
        ("the kidney on the patient's left", "structure", "left kidney", {Claim("side", "left")}),
        ("the kidney that is not on the left", "structure", "right kidney", {Claim("side", "left", negated=True)}),
        ("something is wrong with the organ that stores bile", "structure", "gallbladder", set()),
        ("the muscle that pumps blood", "structure", "heart", set()),
        ("the organ on the left that filters the blood", "structure", "left kidney", {Claim("side", "left")}),
        ("the larger of the two kidneys", "structure", "kidneys", {Claim("rank", "largest"), Claim("count", "2")}),
        ("both kidneys", "structure", "kidneys", {Claim("side", "both")}),
        ("left ventricle of the heart", "structure", "left ventricle", set()),
        ("the right kidney, next to the liver", "structure", "right kidney", {Claim("relation", "adjacent", of=LIVER)}),
        ("upper pole of the left kidney", "part", "top end of the left kidney", set()),
        ("the lower half of the spleen", "part", "bottom half of the spleen", set()),
        ("the right lobe of the liver", "part", "right lobe of the liver", set()),
        (
            "the larger of the two low-density areas near the top of the liver",
            "region",
            "low-density area",
            {
                Claim("rank", "largest"),
                Claim("count", "2"),
                Claim("position", "top", of=LIVER),
                Claim("relation", "in", of=LIVER),
            },
        ),
        ("a lesion in the spleen", "region", "area", {Claim("relation", "in", of=(Reference("spleen"),))}),
        (
            "a dark spot adjacent to the left kidney",
            "region",
            "low-density area",
            {Claim("relation", "adjacent", of=(Reference("left kidney"),))},
        ),
        (
            "the largest in the right lobe",
            "region",
            "area",
            {Claim("rank", "largest"), Claim("relation", "in", of=RIGHT_LOBE)},
        ),
        (
            "the lesion between the liver and the spleen",
            "region",
            "area",
            {Claim("relation", "between", of=(Reference("liver"), Reference("spleen")))},
        ),
        ("the left-most structure in the picture", "any", "structure", {Claim("extreme", "picture left")}),
        ("the structure closest to the patient's head", "any", "structure", {Claim("extreme", "top")}),
        ("the second largest structure", "any", "structure", {Claim("rank", "largest", rank=2)}),
        (
            "the largest structure other than the liver",
            "any",
            "structure",
            {Claim("rank", "largest"), Claim("exclude", "not", of=LIVER)},
        ),
        ("the darkest structure", "any", "structure", {Claim("density_rank", "low")}),
        ("the bone above the urinary bladder", "any", "structure",
         {Claim("class", "bone"), Claim("relation", "above", of=(Reference("urinary bladder"),))}),
    ],
)  # fmt: skip
def test_sentences_are_read_as_people_read_them(text: str, kind: str, target: str, claims: set[Claim]) -> None:
    found = parse(text, TABLE)
    assert (found.kind, found.target) == (kind, target)
    assert set(found.claims) == claims
    assert found.understood == 1
    assert found.unused == ()


@pytest.mark.parametrize(
    ("text", "kind", "fact"),
    [
        ("", "empty", "empty"),
        ("  ?! ", "empty", "empty"),
        ("liver " * 2000, "long", "12000 characters"),
        ("x" * 10_000, "long", "10000 characters"),
        ("die linke Niere", "language", "German"),
        ("le rein gauche du patient", "language", "French"),
        ("el riñón izquierdo", "language", "Spanish"),
        ("左肾", "language", "another script"),
        ("левая почка", "language", "another script"),
        ("the left right kidney", "contradiction", "'left' and 'right'"),
        ("the left kidney on the patient's right", "contradiction", "'right' and 'left'"),
        ("the largest and smallest structure", "contradiction", "'largest' and 'smallest'"),
        ("the dark bright structure", "contradiction", "'low' and 'high'"),
        ("not the left kidney", "negation", "not there"),
        ("there is no lesion in the liver", "negation", "not there"),
        ("without the largest structure", "negation", "not there"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_own_reason(text: str, kind: str, fact: str) -> None:
    with pytest.raises(BadDescription, match=fact) as caught:
        parse(text, TABLE)
    assert caught.value.kind == kind


@pytest.mark.parametrize("text", ["hepar", "vesica biliaris", "os sacrum", "the LV cavity", "Liver!"])
def test_latin_and_abbreviations_are_no_other_language(text: str) -> None:
    assert parse(text, TABLE).kind == "structure"


@pytest.mark.parametrize(
    "text", ["the left engine of the aeroplane", "a kidney bean on my plate", "a bowl of fruit on the kitchen table"]
)
def test_what_was_not_understood_is_said(text: str) -> None:
    found = parse(text, TABLE)
    assert found.understood < 0.4
    assert found.unused


def test_a_misspelt_name_is_read_and_said() -> None:
    found = parse("the livr", TABLE)
    assert (found.structure, found.found_by) == ("liver", "spelling")
    assert "'livr' was read as 'liver'" in found.assumed[0]


def test_the_liver_is_said_to_be_assumed_for_a_bare_lobe() -> None:
    assert "liver's" in parse("the lesion in the left lobe", TABLE).assumed[0]


def test_what_a_thing_does_says_more_than_the_organ_it_is_part_of() -> None:
    assert parse("the heart chamber that pumps blood to the lungs", TABLE).structure == "right ventricle"


def test_a_second_target_is_not_swallowed() -> None:
    assert "spleen" in parse("the liver and the spleen", TABLE).unused[0]


def test_every_function_of_the_table_names_a_structure_and_is_found() -> None:
    """Each action with each object, as a person would say it; where two organs share a function, either will do."""
    from ostensor.retrieval.descriptions.words import functions

    for row in functions():
        assert TABLE.get(row.structure) is not None, row.structure
        for verb in row.verbs:
            for thing in row.objects:
                found = parse(f"the organ that can {verb} {' '.join(thing)}", TABLE)
                twins = {one.structure for one in functions() if thing in one.objects}
                assert found.structure in twins, (verb, thing, found)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("the largest vessel", {Claim("rank", "largest"), Claim("class", "vessel")}),
        ("the widest blood vessel", {Claim("rank", "widest"), Claim("class", "vessel")}),
        ("the longest bone", {Claim("rank", "longest"), Claim("class", "bone")}),
        ("the second longest nerve", {Claim("rank", "longest", rank=2), Claim("class", "nerve")}),
        ("the shorter of the two kidneys", {Claim("rank", "shortest"), Claim("count", "2")}),
        ("the brighter of the two kidneys", {Claim("density_rank", "high"), Claim("count", "2")}),
        ("the darker of the kidneys", {Claim("density_rank", "low")}),
    ],
)
def test_head_nouns_and_superlatives_are_claims(text: str, claims: set[Claim]) -> None:
    found = parse(text, TABLE)
    assert set(found.claims) == claims
    assert found.unused == ()


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("the widest part of the aorta", "widest part of the aorta"),
        ("the aorta at its widest", "widest part of the aorta"),
        ("the narrowest section of the trachea", "narrowest part of the trachea"),
        ("segment the thickest part of the inferior vena cava", "widest part of the inferior vena cava"),
    ],
)
def test_the_widest_part_of_a_structure_is_a_part(text: str, target: str) -> None:
    found = parse(text, TABLE)
    assert (found.kind, found.target, found.unused) == ("part", target, ())


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ("the outermost structure", ("outermost",)),
        ("the roundest organ", ("roundest",)),
        ("the most lateral structure", ("lateral",)),
        ("the swollen kidney", ("swollen",)),
        ("the wall of the aorta", ("wall",)),
        ("the tip of the spleen", ("tip",)),
        ("the middle third of the aorta", ("middle", "third")),
        ("the largest part of the liver", ("largest part",)),
        ("the liver's largest vessel", ("vessel",)),
        ("the liver segment", ("segment",)),
        ("the bone that pumps blood", ("bone",)),
        ("the organ closest to the spleen", ("closest",)),
        ("the liver and the spleen", ("spleen (a second target: ask on its own)",)),
    ],
)
def test_words_that_the_reading_does_not_hold_are_named(text: str, unused: tuple[str, ...]) -> None:
    found = parse(text, TABLE)
    assert found.unused == unused


@pytest.mark.parametrize(
    "text",
    [
        "segment the liver please",
        "Could you show me the spleen in this scan? Thanks!",
        "the vessel that carries blood away from the heart",
        "the muscle that pumps blood",
        "the gland that makes insulin",
        "the aorta, a vessel",
        "can you segment the upper pole of the left kidney",
        "the structure that is not the liver",
    ],
)
def test_what_is_said_politely_or_twice_leaves_nothing_over(text: str) -> None:
    assert parse(text, TABLE).unused == ()
