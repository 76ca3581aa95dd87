"""segment_described over MCP: the toy network knows structures by grey value; where each lies is known by hand.

x grows to the patient's left and y to the back in these scans; they are too narrow to show the body's sides.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostensor.tools.desk.desk import Desk

from ...toys.desks import Ask, save, toy_scan

ORGANS = {
    "liver": (slice(8, 34), slice(8, 32), slice(4, 20)),
    "spleen": (slice(40, 50), slice(30, 41), slice(20, 28)),
    "left_kidney": (slice(40, 46), slice(10, 17), slice(3, 9)),
    "right_kidney": (slice(10, 15), slice(36, 44), slice(3, 9)),
}
LARGE_TOP = (slice(10, 18), slice(11, 18), slice(15, 18))
SMALL_TOP = (slice(24, 29), slice(22, 27), slice(15, 18))
LOW_SPOT = (slice(14, 24), slice(14, 26), slice(6, 9))


@pytest.fixture
def scan(ask: Ask, root: Path) -> str:
    """Two dark areas near the top of the liver, a larger one near its bottom."""
    array = toy_scan(**ORGANS)
    for where in (LARGE_TOP, SMALL_TOP, LOW_SPOT):
        array[where] = 60
    save(root / "described.nii.gz", array)
    return str(ask("open_image", path="described.nii.gz").result["image_id"])


def described(ask: Ask, image: str, text: str, **more: Any) -> dict[str, Any]:
    reply = ask("segment_described", image_id=image, description=text, wait_s=60, **more)
    assert not reply.is_error, reply.text
    return reply.result


def dice(desk: Desk, candidate: dict[str, Any], where: tuple[slice, ...]) -> float:
    array = desk.store.mask(candidate["mask_id"]).array
    truth = np.zeros(array.shape, bool)
    truth[where] = True
    return float(2 * (array & truth).sum() / (array.sum() + truth.sum()))


def test_the_larger_of_two_dark_areas_near_the_top_of_the_liver(ask: Ask, desk: Desk, scan: str) -> None:
    """The largest dark area of all lies near the bottom and must not be taken."""
    found = described(ask, scan, "the larger of the two low-density areas near the top of the liver")
    best = found["candidates"][0]
    assert dice(desk, best, LARGE_TOP) > 0.8
    assert best["verdict"] == "unsure"
    assert any("largest" in claim for claim in best["matched"])
    assert any("no lesion model" in reason for reason in best["reasons"])
    assert found["ambiguous"] is False
    assert found["engine"] == "sat"
    assert best["max_affine_difference"] == 0


def test_the_smaller_one_and_the_lower_one(ask: Ask, desk: Desk, scan: str) -> None:
    small = described(ask, scan, "the smallest dark area in the liver")["candidates"][0]
    assert dice(desk, small, SMALL_TOP) > 0.7
    low = described(ask, scan, "the dark area near the bottom of the liver")["candidates"][0]
    assert dice(desk, low, LOW_SPOT) > 0.8


def test_one_word_for_several_areas_is_ambiguous(ask: Ask, scan: str) -> None:
    found = described(ask, scan, "a dark area near the top of the liver")
    assert found["ambiguous"] is True
    assert "do" in found["reason"]
    assert len([c for c in found["candidates"] if not c["failed"]]) == 2


def test_a_kidney_by_side_words_and_by_function(ask: Ask, scan: str) -> None:
    for text in ("the kidney on the patient's left", "the organ on the left that makes urine"):
        found = described(ask, scan, text)
        assert [c["structure"] for c in found["candidates"]] == ["left kidney"]
        assert found["verdict"] == "present"
    both = described(ask, scan, "the kidney")
    assert both["ambiguous"] is True
    assert {c["structure"] for c in both["candidates"]} == {"left kidney", "right kidney"}


def test_both_kidneys_are_one_mask(ask: Ask, desk: Desk, scan: str) -> None:
    found = described(ask, scan, "both kidneys")
    assert len(found["candidates"]) == 1
    voxels = desk.store.mask_record(found["candidates"][0]["mask_id"]).voxels
    assert voxels == 6 * 7 * 6 + 5 * 8 * 6


PLACES = (
    ("the largest structure", "liver"),
    ("the smallest structure", "right kidney"),  # 240 voxels against 252
    ("the structure farthest to the patient's left", "spleen"),
    ("the leftmost structure in the picture", "liver"),  # radiological: the patient's right is on the left
    ("the structure closest to the head", "spleen"),
    ("the second largest structure", "spleen"),
    ("the largest structure other than the liver", "spleen"),
    ("the brightest structure", "right kidney"),
)


def test_structures_known_only_by_place_size_or_brightness(ask: Ask, scan: str) -> None:
    """Boxes, counts and grey values of `ORGANS` by hand."""
    for text, structure in PLACES:
        assert described(ask, scan, text)["candidates"][0]["structure"] == structure, text


def test_a_relation_that_two_structures_have_is_ambiguous(ask: Ask, scan: str) -> None:
    """Liver and spleen reach higher than the left kidney, the right kidney lies level with it."""
    found = described(ask, scan, "the structure above the left kidney")
    assert {c["structure"] for c in found["candidates"]} == {"liver", "spleen"}
    assert found["ambiguous"] is True


def test_what_touches_goes_before_what_is_only_near(ask: Ask, root: Path) -> None:
    """Gaps by hand: the liver begins 2.4 mm from the left kidney, the spleen 9 mm; the spleen is the surer mask."""
    array = toy_scan(
        left_kidney=(slice(30, 36), slice(10, 17), slice(6, 12)),
        liver=(slice(10, 28), slice(8, 32), slice(4, 20)),
        spleen=(slice(30, 40), slice(26, 40), slice(6, 12)),
    )
    save(root / "near.nii.gz", array)
    image = ask("open_image", path="near.nii.gz").result["image_id"]
    found = described(ask, image, "the structure adjacent to the left kidney")
    best, *others = found["candidates"]
    assert best["structure"] == "liver"
    assert best["failed"] == []
    assert "2.4 mm from the left kidney" in best["matched"][0]
    assert found["ambiguous"] is False
    near = [one for one in others if one["structure"] == "spleen"]
    assert all("9.0 mm" in one["failed"][0] for one in near), "not adjacent"
    assert described(ask, image, "adjacent to the left kidney")["candidates"][0]["structure"] == "liver"


def test_relations_are_computed_on_masks(ask: Ask, desk: Desk, scan: str) -> None:
    """Nothing in this spleen differs from it; the areas of the liver's right lobe do."""
    nothing = described(ask, scan, "in the spleen")
    assert (nothing["verdict"], nothing["target"]) == ("unsure", "area")
    assert "proves nothing" in nothing["reason"]
    assert "inside the spleen" in nothing["reason"]
    lobe = described(ask, scan, "the largest in the right lobe")
    best = lobe["candidates"][0]
    assert any("in the right lobe of the liver" in claim for claim in best["matched"])
    assert any("largest (number 1 of" in claim for claim in best["matched"])
    assert "liver's" in lobe["assumed"][0]


def test_an_end_of_an_organ_is_cut_from_its_mask(ask: Ask, desk: Desk, scan: str) -> None:
    best = described(ask, scan, "the lower half of the spleen")["candidates"][0]
    assert dice(desk, best, (slice(40, 50), slice(30, 41), slice(20, 24))) == 1
    assert best["verdict"] == "unsure"


def test_what_is_not_there_gets_a_verdict_and_a_reason(ask: Ask, scan: str) -> None:
    for text, verdict, fact in (
        ("the organ that stores urine", "absent", "No voxel came near"),
        ("the organ that stores bile", "unsupported", "No model here segments the gallbladder"),
        ("a bright area in the spleen", "unsure", "clearly brighter"),
        ("a lesion in the gallbladder", "unsupported", "gallbladder, in which to look"),
        ("the left engine of the aeroplane", "unsupported", "'engine', 'aeroplane'"),
        ("blorf", "unsupported", "'blorf'"),
    ):
        found = described(ask, scan, text)
        assert found["candidates"] == [], text
        assert found["verdict"] == verdict, text
        assert fact in found["reason"], text


def test_a_structure_the_scan_does_not_cover(ask: Ask, root: Path) -> None:
    save(root / "empty.nii.gz", toy_scan())
    image = ask("open_image", path="empty.nii.gz").result["image_id"]
    assert described(ask, image, "the spleen")["verdict"] == "outside_view"


def test_claims_that_fail_are_told(ask: Ask, scan: str) -> None:
    best = described(ask, scan, "the spleen below the liver")
    assert best["verdict"] in ("absent", "unsure")
    told = best["reason"] + " ".join(claim for c in best["candidates"] for claim in c["failed"])
    assert "below the liver" in told


def test_one_slice_alone(ask: Ask, desk: Desk, scan: str) -> None:
    """Slice 16 cuts both upper areas and not the lower one; largest is by area there."""
    found = described(ask, scan, "the largest dark area in the liver", scope="slice", slice=16)
    best = found["candidates"][0]
    array = desk.store.mask(best["mask_id"]).array
    assert array.any(axis=(0, 1)).nonzero()[0].tolist() == [16]
    truth = np.zeros(array.shape, bool)
    truth[LARGE_TOP[0], LARGE_TOP[1], 16] = True
    assert 2 * (array & truth).sum() / (array.sum() + truth.sum()) > 0.8
    assert best["volume_is"] == "cut by the edge"


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"description": ""}, "empty"),
        ({"description": "x" * 10_000}, "10000 characters"),
        ({"description": "die linke Niere"}, "German"),
        ({"description": "the left right kidney"}, "contradicts itself"),
        ({"description": "there is no spleen"}, "not there"),
        ({"description": "the liver", "slice": 3}, "scope='volume'"),
        ({"description": "the liver", "scope": "slice"}, "without a slice"),
        ({"description": "the liver", "scope": "slice", "slice": 400}, "29 axial slices"),
        ({"description": "the liver", "model": "flans"}, "The weights of 'flans' are not here"),
        ({"description": "the liver", "model": "lsms"}, "ostensor"),
        ({"description": "the liver", "model": "dice"}, "'model'"),
        ({"description": "the liver", "max_candidates": 0}, "'max_candidates'"),
        ({"description": "the liver", "image_id": "img_ffffffffffff"}, "Unknown image"),
    ],
)
def test_calls_that_make_no_sense(ask: Ask, scan: str, arguments: dict[str, Any], fact: str) -> None:
    reply = ask("segment_described", **{"image_id": scan, **arguments})
    assert reply.is_error
    assert fact in reply.text
    assert len(reply.text) < 1000


def test_the_next_sentence_does_not_look_again(
    ask: Ask, desk: Desk, scan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    described(ask, scan, "the largest structure")
    monkeypatch.setattr(desk.workers, "run", lambda *a, **k: pytest.fail("the worker was asked again"))
    assert described(ask, scan, "the smallest structure")["candidates"]
