"""What people call structures, by hand."""

import pytest

from ostensor.retrieval.anatomy.kinds import is_kind
from ostensor.retrieval.anatomy.structures import StructureTable

TABLE = StructureTable.bundled()


@pytest.mark.parametrize(
    ("word", "yes", "no"),
    [
        (
            "vessel",
            ("aorta", "inferior vena cava", "left renal vein", "portal and splenic vein"),
            ("liver", "esophagus", "heart"),
        ),
        ("artery", ("aorta", "left common iliac artery"), ("inferior vena cava", "trachea")),
        ("vein", ("inferior vena cava", "portal and splenic vein"), ("aorta", "gallbladder")),
        (
            "bone",
            ("left femur", "vertebral column", "ribs", "left hip bone"),
            ("spinal cord", "bone marrow cavity", "liver"),
        ),
        ("muscle", ("left iliopsoas muscle", "diaphragm", "heart"), ("liver", "left femur", "aorta")),
        ("organ", ("liver", "heart", "left kidney", "esophagus"), ("aorta", "left femur", "diaphragm")),
        ("gland", ("left adrenal gland", "thyroid gland", "pancreas"), ("spleen", "aorta")),
        ("nerve", ("left femoral nerve",), ("left femur",)),
    ],
)
def test_a_structure_is_what_people_call_it(word: str, yes: tuple[str, ...], no: tuple[str, ...]) -> None:
    def held(name: str) -> bool:
        row = TABLE.get(name)
        return is_kind((row.name, *TABLE.above(row.name)) if row else (name,), word)

    assert [name for name in yes if not held(name)] == []
    assert [name for name in no if held(name) and TABLE.get(name)] == []
