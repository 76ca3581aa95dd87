"""Sentences out of measurements: which of two is larger, parts each for itself, vessels across their course."""

from typing import Any

import pytest

from ostensor.agents.offline.answering.answers import measured
from ostensor.agents.offline.turn import Done


def row(mask_id: str, structure: str, volume_ml: float, **facts: Any) -> dict[str, Any]:
    return {"mask_id": mask_id, "structure": structure, "volume_ml": volume_ml, "volume_is": "complete", **facts}


def said(*rows: dict[str, Any], dice: float | None = None) -> str:
    seen = [
        {"mask_id": one["mask_id"], "structure": one["structure"], "verdict": "present", "confidence": dice,
         "confidence_is": "expected Dice (fitted)" if dice else "mean sigmoid inside the mask"}
        for one in rows
    ]  # fmt: skip
    segmented = Done("c1", "segment", {}, False, "", {"masks": seen})
    reply = measured([segmented], Done("c2", "measure", {}, False, "", {"measurements": list(rows)}))
    return " ".join(statement.text for statement in reply.statements)


@pytest.mark.parametrize(
    ("left_ml", "dice", "certain"),
    [(150, None, False), (190, None, True), (190, 0.9, False), (160, 0.98, True)],
)
def test_the_larger_of_two_is_named_only_beyond_the_error(left_ml: float, dice: float | None, certain: bool) -> None:
    """Against 148 ml. Without a Dice 20 % are the error; 0.9 allows each a factor of 1.22, both 1.33; 0.98 both 1.06."""
    text = said(row("msk_1", "left kidney", left_ml), row("msk_2", "right kidney", 148.0), dice=dice)
    assert ("The left kidney is larger than the right kidney." in text) is certain
    assert ("Which is larger is not certain" in text) is not certain


def test_parts_and_vessels_have_their_own_words() -> None:
    def part(mm: float) -> dict[str, Any]:
        return {"lengths": {"longest_3d_mm": mm}}

    whole = {"longest_axial_mm": 60.0, "perpendicular_mm": 50.0, "craniocaudal_mm": 110.0}
    text = said(row("msk_1", "kidneys", 300.0, diameters=whole, parts=[part(112), part(104)]))
    assert "the longest diameters of its 2 parts 112, 104 mm" in text
    across = {"median_mm": 23.1, "widest_mm": 27.7}
    text = said(row("msk_1", "aorta", 120.0, diameters=whole, across=across, parts=[]))
    assert "23.1 mm across its centre line, 27.7 mm at its widest" in text
    assert "axial" not in text
    assert "110 mm craniocaudally" in said(row("msk_1", "liver", 1500.0, diameters=whole, parts=[]))
