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
