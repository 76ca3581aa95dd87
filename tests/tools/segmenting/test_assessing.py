"""`assess_mask` as a client sees it."""

from typing import Any

import numpy as np

from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk

from ...toys.desks import Ask


def keep(desk: Desk, image_id: str, structure: str | None, *where: slice) -> str:
    grid = desk.store.image(image_id).grid
    array = np.zeros(grid.shape, bool)
    array[where] = True
    return desk.store.add_mask(Mask(array, grid), image_id=image_id, structure=structure, made_by="test").mask_id


def checks(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in result["checks"]}


def test_a_mask_is_judged_with_its_neighbours(ask: Ask, desk: Desk, image_id: str) -> None:
    """The spleen's mask is put on the liver, which is at hand, too: 17 x 20 x 12 voxels, all shared."""
    keep(desk, image_id, "liver", slice(8, 25), slice(10, 30), slice(5, 17))
    spleen = keep(desk, image_id, "spleen", slice(8, 25), slice(10, 30), slice(5, 17))
    reply = ask("assess_mask", mask_id=spleen)
    found = checks(reply.result)
    assert reply.result["plausible"] is False
    assert (found["overlap"]["passed"], found["overlap"]["value"]) == (False, 1.0)
    assert "100% of the smaller one's voxels with the liver" in reply.text
    assert found["volume"]["value"] == 17 * 20 * 12 * 0.8 * 0.9 * 3 / 1000
    assert "UKBOB organ filter" in found["volume"]["allowed"]
    assert {row["method"] for row in reply.result["checks"]} == {"plausibility", "second_opinion"}
    assert found["second opinion"]["passed"] is None, "no toy is calibrated"
    assert len(reply.text) / 4 <= 400


def test_what_holds_a_structure_may_overlap_it(ask: Ask, desk: Desk, image_id: str) -> None:
    kidney = keep(desk, image_id, "left kidney", slice(40, 46), slice(10, 17), slice(3, 9))
    keep(desk, image_id, "kidneys", slice(40, 46), slice(10, 17), slice(3, 9))
    found = checks(ask("assess_mask", mask_id=kidney).result)
    assert found["overlap"]["passed"] is None
    assert "at hand" in found["overlap"]["reason"]


def test_a_mask_may_be_judged_as_another_structure(ask: Ask, desk: Desk, image_id: str) -> None:
    nameless = keep(desk, image_id, None, slice(8, 25), slice(10, 30), slice(5, 17))
    result = ask("assess_mask", mask_id=nameless, structure="hepar", methods=["plausibility"]).result
    assert result["structure"] == "liver"


def test_wrong_arguments_are_explained(ask: Ask, desk: Desk, image_id: str) -> None:
    nameless = keep(desk, image_id, None, slice(8, 25), slice(10, 30), slice(5, 17))
    for arguments, fact in (
        ({"mask_id": nameless}, "has no name"),
        ({"mask_id": nameless, "structure": "lever"}, "Closest: liver"),
        ({"mask_id": nameless, "methods": ["horoscope"]}, "'methods"),
        ({"mask_id": "msk_ffffffffffff"}, "Unknown mask"),
    ):
        reply = ask("assess_mask", **arguments)
        assert reply.is_error
        assert fact in reply.text


def test_views_that_agree_are_said_to_and_leave_an_entropy_map(ask: Ask, desk: Desk, image_id: str) -> None:
    """The toy finds a grey value, which brighter views hide: its masks agree where they are found at all."""
    mask = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    result = ask("assess_mask", mask_id=mask, methods=["agreement"]).result
    row = checks(result)["views agree"]
    assert 0 < row["value"] < 1
    assert row["passed"] is (row["value"] >= 0.7)
    entropy = desk.store.volume(result["entropy_image_id"])
    assert entropy.grid == desk.store.image(image_id).grid
    assert 0 < float(np.max(entropy.array)) <= np.log(2) + 1e-6
    drawn = keep(desk, image_id, "liver", slice(8, 25), slice(10, 30), slice(5, 17))
    assert "not made by segment" in ask("assess_mask", mask_id=drawn, methods=["agreement"]).text
