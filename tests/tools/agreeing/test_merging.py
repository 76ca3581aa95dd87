"""`merge_masks` as a client sees it: masks drawn by hand on the toy scan, counted by hand."""

import math
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk

from ...toys.desks import AFFINE, Ask, save

VOXEL_ML = 0.8 * 0.9 * 3 / 1000
A = (slice(8, 18), slice(10, 20), slice(5, 10))  # 500 voxels
B = (slice(9, 19), slice(10, 20), slice(5, 10))  # moved by one: 450 of both
C = (slice(8, 18), slice(10, 20), slice(5, 11))  # one slice more: 600
FAR = (slice(40, 50), slice(30, 40), slice(15, 20))


def drawn(desk: Desk, image_id: str, who: str, *where: slice, name: str | None = "liver", **facts: Any) -> str:
    """A mask by somebody; empty without a place."""
    grid = desk.store.image(image_id).grid
    array = np.zeros(grid.shape, np.bool_)
    if where:
        array[where] = True
    return desk.store.add_mask(Mask(array, grid), image_id=image_id, structure=name, made_by=who, facts=facts).mask_id


def test_three_people_are_merged_and_every_number_is_that_of_the_boxes(ask: Ask, desk: Desk, image_id: str) -> None:
    """Of 500, 500 and 600 voxels 450 are everybody's; more than half mark A and what B and C share in no other place: A."""
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, B, C))]
    reply = ask("merge_masks", mask_ids=ids, method="vote")
    result = reply.result
    assert result["voxels"] == 500
    np.testing.assert_array_equal(desk.store.mask(result["mask_id"]).array, desk.store.mask(ids[0]).array)
    assert result["volume_ml"] == pytest.approx(500 * VOXEL_ML)
    assert (result["agreed_voxels"], result["marked_voxels"]) == (450, 650)
    assert result["agreed_ml"] == pytest.approx(450 * VOXEL_ML)
    assert result["volume_between_ml"] == pytest.approx([500 * VOXEL_ML, 600 * VOXEL_ML])
    assert result["dice_between"] == pytest.approx([900 / 1100, 1000 / 1100], abs=1e-4)
    assert [row["dice_to_merged"] for row in result["inputs"]] == pytest.approx([1.0, 0.9, 1000 / 1100], abs=1e-4)
    assert [row["weight"] for row in result["inputs"]] == [1.0, 1.0, 1.0]
    assert result["structure"] == "liver"
    assert result["stands_apart"] is None
    assert "All 3 mark 0.972 ml, the part least in doubt" in result["trust"]
    assert "31% of what anybody marks is disputed" in result["trust"]
    assert reply.pictures == 1


def test_the_map_holds_the_entropy_of_the_votes_and_can_be_drawn(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, B, C))]
    result = ask("merge_masks", mask_ids=ids).result
    spread = desk.store.volume(result["disagreement_image_id"])
    third = math.log(3) - 2 / 3 * math.log(2)
    assert spread.grid == desk.store.image(image_id).grid
    assert spread.array[10, 12, 7] == 0  # everybody
    assert spread.array[8, 12, 7] == pytest.approx(third)  # A and C
    assert spread.array[18, 12, 7] == pytest.approx(third)  # B alone
    assert np.count_nonzero(spread.array) == 650 - 450
    shown = ask("render", image_id=result["disagreement_image_id"], window=[0.35, 0.7])
    assert (shown.is_error, shown.pictures) == (False, 1)


def test_staple_tells_how_good_each_is_and_who_stands_apart(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, A, C, FAR))]
    result = ask("merge_masks", mask_ids=ids).result
    assert result["method"] == "staple"
    assert result["stands_apart"] == ids[3]
    assert result["inputs"][3]["sensitivity"] < 0.1
    assert result["inputs"][0]["sensitivity"] > 0.8
    assert result["inputs"][3]["dice_to_others"] == 0
    assert result["voxels"] in (500, 600)
    assert all(row["weight"] is None for row in result["inputs"])


def test_the_same_masks_have_one_handle_in_whatever_order(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, B, C))]
    first = ask("merge_masks", mask_ids=ids).result
    again = ask("merge_masks", mask_ids=ids[::-1]).result
    assert first["mask_id"] == again["mask_id"]
    record = desk.store.mask_record(first["mask_id"])
    assert record.facts["verdict"] == "merged"
    assert record.facts["method"] == "staple"
    assert record.facts["provenance"]["inputs"] in ([*ids, image_id], [*ids[::-1], image_id])
    other = ask("merge_masks", mask_ids=ids, method="vote").result
    assert other["mask_id"] != first["mask_id"]


def test_weights_of_the_caller_decide(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, A, C))]
    assert ask("merge_masks", mask_ids=ids, method="weighted", weights=[1, 1, 3]).result["voxels"] == 600
    assert ask("merge_masks", mask_ids=ids, method="weighted", weights=[1, 1, 1]).result["voxels"] == 500
    estimated = ask("merge_masks", mask_ids=ids, method="weighted").result
    assert [row["weight"] for row in estimated["inputs"]] == [row["dice_to_others"] for row in estimated["inputs"]]
    assert any("estimated from these masks alone" in warning for warning in estimated["warnings"])


def test_of_two_masks_only_what_both_mark_is_kept_and_that_is_said(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, B))]
    result = ask("merge_masks", mask_ids=ids).result
    assert (result["method"], result["voxels"]) == ("vote", 450)
    assert "cannot tell which of them is wrong" in result["trust"]


@pytest.mark.parametrize(
    ("places", "has_mask", "said"),
    [
        (((), (), ()), False, "no proof that the structure is not there"),
        ((A, ()), False, "whether the structure is there at all"),
        ((A, FAR), False, "mark different places"),
        ((A, B, FAR), True, "No voxel is marked by all 3"),
        ((A, A, A), True, "equal voxel by voxel"),
    ],
)
def test_what_cannot_be_trusted_is_said(
    ask: Ask, desk: Desk, image_id: str, places: tuple[tuple[slice, ...], ...], has_mask: bool, said: str
) -> None:
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate(places)]
    reply = ask("merge_masks", mask_ids=ids)
    assert not reply.is_error, reply.text
    assert said in reply.result["trust"]
    assert said in reply.text
    assert (reply.result["mask_id"] is not None) is has_mask
    assert (reply.result["geometry"] is not None) is has_mask


def test_an_empty_mask_counts_as_a_vote_and_is_named(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, A, ()))]
    result = ask("merge_masks", mask_ids=ids).result
    assert result["voxels"] == 500
    assert any(warning.startswith(ids[2]) and "vote that nothing is there" in warning for warning in result["warnings"])


def test_masks_of_one_model_are_no_independent_opinions(ask: Ask, image_id: str) -> None:
    own = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    edited = ask("edit_mask", operation="grow", mask_ids=[own], amount_mm=1).result["mask_id"]
    result = ask("merge_masks", mask_ids=[own, edited]).result
    assert any("toy-ct" in warning and "one opinion, not two" in warning for warning in result["warnings"])
    assert any("made from another of these masks" in warning for warning in result["warnings"])
    assert result["inputs"][0]["source"] == "toy-ct"
    assert result["provenance"]["licence"] == "CC0"


def test_without_a_voxel_size_sizes_are_voxels(ask: Ask, desk: Desk, image_id: str, tmp_path: Any) -> None:
    flat = np.full((40, 50), 60, np.uint8)
    Image.fromarray(flat).save(tmp_path / "scans" / "flat.png")
    picture = ask("open_image", path="flat.png", modality="photo").result["image_id"]
    x, y, z = slice(5, 15), slice(5, 15), slice(0, 1)
    ids = [drawn(desk, picture, "a", x, y, z), drawn(desk, picture, "b", slice(6, 15), y, z)]
    reply = ask("merge_masks", mask_ids=ids)
    result = reply.result
    assert (result["voxels"], result["volume_ml"], result["agreed_ml"], result["volume_between_ml"]) == (
        90,
        None,
        None,
        None,
    )
    assert "90 voxels" in result["trust"]
    assert "100 voxels" in reply.text


def test_what_is_no_merging_is_refused_with_a_way_out(ask: Ask, desk: Desk, image_id: str, tmp_path: Any) -> None:
    scan = np.asarray(nibabel.load(tmp_path / "scans" / "ct.nii.gz").dataobj)
    save(tmp_path / "scans" / "other.nii.gz", scan + 1, AFFINE)
    other = ask("open_image", path="other.nii.gz").result["image_id"]
    a, b = drawn(desk, image_id, "a", *A), drawn(desk, image_id, "b", *B)
    cases = [
        ({"mask_ids": [a, drawn(desk, other, "a", *A)]}, "import_mask"),
        ({"mask_ids": [a, a]}, "given twice"),
        ({"mask_ids": [a]}, "at least 2"),
        ({"mask_ids": [a, drawn(desk, image_id, "s", *FAR, name="spleen")]}, "operation='union'"),
        ({"mask_ids": [a, b], "method": "staple"}, "method='vote'"),
        ({"mask_ids": [a, b], "method": "weighted"}, "Give weights"),
        ({"mask_ids": [a, b], "method": "weighted", "weights": [1]}, "1 weights were given for 2"),
        ({"mask_ids": [a, b], "weights": [1, 2]}, "method='weighted'"),
        ({"mask_ids": [a, "msk_ffffffffffff"]}, "Unknown mask"),
    ]
    for arguments, fact in cases:
        reply = ask("merge_masks", **arguments)
        assert reply.is_error, arguments
        assert fact in reply.text, reply.text


def test_masks_that_hardly_overlap_are_not_called_settled(ask: Ask, desk: Desk, image_id: str) -> None:
    """Ten voxels long, moved by seven: 3 of 10 are shared. Beside two like ones a third that is far away is named instead."""
    moved = (slice(15, 25), *A[1:])
    ids = [drawn(desk, image_id, str(n), *where) for n, where in enumerate((A, moved))]
    assert "hardly mark the same thing (Dice 0.30)" in ask("merge_masks", mask_ids=ids).result["trust"]
    like = [drawn(desk, image_id, f"like {n}", *where) for n, where in enumerate((A, B, FAR))]
    result = ask("merge_masks", mask_ids=like, method="vote").result
    assert result["stands_apart"] == like[2]
    assert "hardly" not in result["trust"]


def test_a_mask_that_is_unsure_stays_so_in_company(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, "a", *A, verdict="unsure"), drawn(desk, image_id, "b", *B)]
    reply = ask("merge_masks", mask_ids=ids)
    assert f"{ids[0]} is unsure itself" in reply.text


def test_names_of_raters_are_no_structures(ask: Ask, desk: Desk, image_id: str) -> None:
    ids = [drawn(desk, image_id, "a", *A, name="liver"), drawn(desk, image_id, "b", *B, name="rater two")]
    result = ask("merge_masks", mask_ids=ids).result
    assert result["structure"] == "liver"
    assert "different names (liver, rater two)" in result["warnings"][0]
