"""Codes of structures. Expected values: DICOM PS3.16 and SNOMED CT as pydicom lists them."""

from pydicom.sr.codedict import codes

from ostensor.imaging.formats.structure_codes import PRIVATE_SCHEME, _rows, structure_code
from ostensor.models.catalogue import catalogue


def test_an_organ_has_its_snomed_code() -> None:
    found = structure_code("liver")
    assert (found.type.scheme, found.type.value) == ("SCT", codes.SCT.Liver.value)
    assert found.category.value == codes.cid7150.AnatomicalStructure.value
    assert found.side is None


def test_a_side_is_a_modifier_and_a_chamber_of_the_heart_has_none() -> None:
    kidney = structure_code("left kidney")
    assert (kidney.type.value, kidney.side and kidney.side.value) == (codes.SCT.Kidney.value, codes.cid244.Left.value)
    assert structure_code("right kidney").side != kidney.side
    assert structure_code("kidneys").side is not None
    assert structure_code("left ventricle").side is None


def test_a_tumour_is_no_anatomy() -> None:
    assert structure_code("liver tumour").category.value == codes.cid7150.MorphologicallyAbnormalStructure.value


def test_what_has_no_code_is_named_privately_or_by_uberon() -> None:
    private = structure_code("a very long name of something nobody ever coded, and then some more words to be sure")
    assert private.type.scheme == PRIVATE_SCHEME
    assert len(private.type.value) <= 16
    assert len(private.type.meaning) <= 64
    assert structure_code("polyp", uberon="UBERON:0000123").type.value == "0000123"
    assert structure_code(None).type.meaning == "unnamed region"


def test_the_codes_in_the_table_are_pydicoms_where_it_knows_them() -> None:
    """A wrong digit in the table would name another organ."""
    known = {getattr(codes.SCT, word).value for word in codes.SCT.dir()}
    values = {code.value for _, code, _ in _rows().values()}
    assert len(values & known) > 50
    assert all(value.isdigit() and 6 <= len(value) <= 16 for value in values)


def test_most_structures_a_model_here_segments_have_a_snomed_code() -> None:
    names = sorted({name for card in catalogue() for name in card.vocabulary})
    coded = [name for name in names if structure_code(name).type.scheme == "SCT"]
    assert len(coded) / len(names) > 0.8, sorted(set(names) - set(coded))
