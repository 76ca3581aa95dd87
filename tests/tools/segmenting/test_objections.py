"""What our own checks hold against a mask before it is called present."""

import numpy as np
import pytest

from ostensor.imaging.phantoms import torso_ct
from ostensor.imaging.volume import Mask
from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.tools.segmenting.objections import objections

from ...toys.desks import Ask

TABLE = StructureTable.bundled()


@pytest.fixture(scope="module")
def torso() -> object:
    return torso_ct(spacing_mm=(4.0, 4.0, 4.0))


def test_the_phantoms_own_organs_are_not_vetoed(torso) -> None:  # type: ignore[no-untyped-def]
    found = objections(TABLE, torso.volume, torso.masks)
    assert {name: one.reasons for name, one in found.items() if one.vetoes} == {}


def test_a_femur_that_lies_in_the_hip_bone_is_vetoed(torso) -> None:  # type: ignore[no-untyped-def]
    """Found on a real scan: Dice 0.41, 59 % of it inside the hip bone, and still called present."""
    masks = dict(torso.masks)
    bone, hip = "right femur", "right hip bone"
    masks[bone] = Mask(masks[bone].array | masks[hip].array, torso.volume.grid)
    found = objections(TABLE, torso.volume, masks)
    assert found[bone].vetoes
    assert any("hip bone" in reason for reason in found[bone].reasons)


def test_an_unusual_size_warns_and_is_no_veto(torso) -> None:  # type: ignore[no-untyped-def]
    """Abnormal size is what people look for."""
    spleen = torso.masks["spleen"]
    few = np.zeros_like(spleen.array)
    few[tuple(np.argwhere(spleen.array).mean(axis=0).astype(int))] = True
    found = objections(TABLE, torso.volume, {"spleen": Mask(few, torso.volume.grid)})["spleen"]
    assert any("outside" in reason for reason in found.reasons)
    assert not found.vetoes


def test_what_holds_a_structure_is_its_kin() -> None:
    assert {"right kidney", "left kidney"} <= TABLE.kin("kidneys")
    assert "kidneys" in TABLE.kin("left kidney")
    assert "spleen" not in TABLE.kin("left kidney")


def test_warnings_of_the_checks_stand_in_the_answer_of_segment(ask: Ask, image_id: str) -> None:
    """The toy liver has 8.8 ml, which no liver has: it warns."""
    (row,) = ask("segment", image_id=image_id, structures=["liver"], wait_s=60).result["masks"]
    assert row["verdict"] == "present"
    assert any("8.8 ml is outside" in warning for warning in row["warnings"])
