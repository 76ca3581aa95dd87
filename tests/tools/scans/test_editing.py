"""`edit_mask` says where an edit did nothing."""

from ...toys.desks import Ask


def test_a_margin_below_the_voxels_is_said_to_do_nothing(ask: Ask, image_id: str) -> None:
    """Voxels of 0.8 x 0.9 x 3 mm: 0.7 mm reach no neighbour, 0.8 mm the ones along x."""
    liver = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    none = ask("edit_mask", operation="grow", mask_ids=[liver], amount_mm=0.7)
    assert none.result["warnings"] == [
        "Nothing changed: the mask is as it was. 0.7 mm reaches no next voxel (0.8 x 0.9 x 3 mm)."
    ]
    assert none.result["warnings"][0] in none.text
    some = ask("edit_mask", operation="grow", mask_ids=[liver], amount_mm=0.8).result
    assert (some["warnings"], some["voxels"]) == ([], 19 * 20 * 12)


def test_an_edit_that_finds_nothing_to_do_says_so_without_a_reason_it_does_not_know(ask: Ask, image_id: str) -> None:
    liver = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    for operation in ("largest_part", "fill_holes"):
        told = ask("edit_mask", operation=operation, mask_ids=[liver]).result["warnings"]
        assert told == ["Nothing changed: the mask is as it was."]


def test_an_iso_contour_without_a_place_is_told_how_to_say_the_whole_image(ask: Ask, image_id: str) -> None:
    shape = ask("open_image", path="ct.nii.gz").result["shape"]
    refused = ask("edit_mask", operation="threshold", image_id=image_id, at_least=90)
    assert refused.is_error
    assert "box_index=[[0, 0, 0], shape] is the whole image" in refused.text
    made = ask("edit_mask", operation="threshold", image_id=image_id, at_least=90, box_index=[[0, 0, 0], shape])
    assert not made.is_error, made.text


def test_a_word_that_is_not_allowed_is_answered_with_all_that_are(ask: Ask) -> None:
    refused = ask("derive", quantity="suv_max", mask_ids=["msk_000000000000"])
    assert "'suv', 'calcium_score', 'tissue_areas', 'vessel_diameters', 'stenosis' or 'percentile'" in refused.text
