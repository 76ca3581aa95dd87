"""Limbs against anatomy: parts of the arm, the leg and the trunk, written down by hand."""

import pytest

from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.retrieval.reports.words.limbs import limb_of

TABLE = StructureTable.bundled()


@pytest.mark.parametrize(
    ("structure", "limb"),
    [
        ("scaphoid", "upper limb"), ("radius", "upper limb"), ("infraspinatus", "upper limb"), ("clavicles", "upper limb"), ("axilla", "upper limb"),
        ("medial meniscus", "lower limb"), ("talus", "lower limb"), ("hip joint", "lower limb"), ("popliteal vein", "lower limb"),
        ("kidneys", ""), ("hippocampi", ""), ("corona radiata", ""), ("ribs", ""), ("no such structure", ""),
    ],
)  # fmt: skip
def test_a_part_belongs_to_its_limb_and_the_trunk_to_none(structure: str, limb: str) -> None:
    assert limb_of(structure, TABLE) == limb
