"""Places and relations against bodies whose answers are known by construction; axes turned and spacing unequal."""

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient_mask
from ostensor.imaging.masks import relations
from ostensor.imaging.masks.relations import place
from ostensor.imaging.volume import Grid, Mask

# x grows to the patient's left here (L), y to the back (P), z to the head (S).
AFFINE = np.array([[-0.7, 0, 0, 20.0], [0, -0.9, 0, 30.0], [0, 0, 3.0, -50.0], [0, 0, 0, 1]])
GRID = Grid((41, 37, 23), AFFINE)


def block(*spans: tuple[int, int], grid: Grid = GRID) -> Mask:
    array = np.zeros(grid.shape, dtype=bool)
    array[tuple(slice(*span) for span in spans)] = True
    return Mask(array, grid)


def test_a_place_is_measured_along_the_patients_axes_in_mm() -> None:
    """A block by hand: 4 x 6 x 2 voxels; R counts from the file's last x, as x grows to the left."""
    where = place(block((3, 7), (10, 16), (5, 7)))
    assert where is not None
    assert where.voxels == 48
    assert where.size == pytest.approx(48 * 0.7 * 0.9 * 3.0 / 1000)
    assert where.low == pytest.approx(((41 - 7) * 0.7, (37 - 16) * 0.9, 15.0))
    assert where.high == pytest.approx(((41 - 3) * 0.7, (37 - 10) * 0.9, 21.0))
    assert where.centre == pytest.approx((36 * 0.7, 24 * 0.9, 18.0))
    assert relations.side_of(where) == "right"


def test_a_place_does_not_depend_on_the_files_axis_order() -> None:
    mask = block((3, 9), (10, 13), (5, 16))
    turned = place(reorient_mask(mask, "SAR"))
    assert turned is not None
    assert turned.centre == pytest.approx(place(mask).centre)  # type: ignore[union-attr]


def test_an_empty_mask_lies_nowhere() -> None:
    assert place(block((0, 0), (0, 0), (0, 0))) is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [("left", (0, -1)), ("front", (1, 1)), ("bottom", (2, -1)), ("picture left", (0, 1)), ("picture top", (2, 1))],
)
def test_directions_in_a_volume(word: str, expected: tuple[int, int]) -> None:
    """The picture's left is the patient's right, as radiologists look."""
    assert relations.axis_of(word, GRID) == expected


def test_directions_in_one_axial_slice() -> None:
    flat = Grid((41, 37, 1), AFFINE)
    assert relations.axis_of("top", flat) == (1, 1), "an axial picture's top is the patient's front"
    assert relations.axis_of("picture bottom", flat) == (1, -1)
    assert relations.axis_of("right", flat) == (0, 1)
    assert relations.axis_of("top", GRID, flat=True) == (1, 1)


def test_a_sagittal_slice_has_no_left() -> None:
    sagittal = Grid((41, 37, 1), np.array([[0, 0, 2.0, 0], [0.7, 0, 0, 0], [0, 0.9, 0, 0], [0, 0, 0, 1.0]]))
    assert relations.cut_axis(sagittal) == 0
    assert relations.axis_of("left", sagittal) is None
    assert relations.axis_of("picture left", sagittal) == (1, 1), "the front is on the left"


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(BadCall, match="'north'"):
        relations.axis_of("north", GRID)


def test_share_inside_counts_voxels() -> None:
    assert relations.share_inside(block((0, 4), (0, 5), (0, 3)), block((0, 3), (0, 5), (0, 3))) == pytest.approx(0.75)


def test_holes_are_closed_in_space_and_in_a_single_plane() -> None:
    """A hole of one plane is open in space; a ring by hand."""
    solid = block((3, 9), (10, 16), (5, 6)).array
    ring = solid & ~block((5, 7), (12, 14), (5, 6)).array
    assert np.array_equal(relations.without_holes(ring), solid)
    cube = block((3, 9), (10, 16), (5, 10)).array
    assert np.array_equal(relations.without_holes(cube & ~block((5, 7), (12, 14), (6, 8)).array), cube)


def test_masks_of_other_grids_are_not_related() -> None:
    other = Grid((41, 37, 23), AFFINE + np.array([[0, 0, 0, 5.0], *[[0.0] * 4] * 3]))
    with pytest.raises(BadCall, match="different grids"):
        relations.gap(block((0, 2), (0, 2), (0, 2)), block((5, 7), (0, 2), (0, 2), grid=other))


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        (((10, 12), (0, 5), (0, 3)), 4.2),  # x: last voxel 3 to first voxel 10 is 7 steps short of one: 6 x 0.7
        (((0, 4), (0, 5), (5, 6)), 9.0),  # z: 2 to 5 is 3 steps of 3 mm
        (((3, 5), (2, 4), (1, 2)), 0.0),  # overlaps
    ],
)
def test_the_gap_is_the_shortest_way_between_voxel_centres(spans: tuple[tuple[int, int], ...], expected: float) -> None:
    """Against brute force over all pairs, and by hand."""
    one, other = block((0, 5), (0, 5), (0, 3)), block(*spans)
    points = [np.argwhere(mask.array) * GRID.spacing_mm for mask in (one, other)]
    brute = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1).min()
    assert relations.gap(one, other) == pytest.approx(brute, abs=1e-4)
    assert brute == pytest.approx(expected, abs=1e-6)


def test_between_needs_the_middle_and_something_that_fits_there() -> None:
    left, right = place(block((30, 33), (10, 14), (5, 9))), place(block((5, 8), (10, 14), (5, 9)))
    middle, off, shell = (
        place(block(*spans))
        for spans in (((17, 20), (11, 14), (5, 9)), ((17, 20), (30, 36), (5, 9)), ((0, 41), (0, 37), (0, 23)))
    )
    assert left
    assert right
    assert middle
    assert off
    assert shell
    assert relations.between(middle, left, right)
    assert not relations.between(off, left, right)
    assert not relations.between(shell, left, right)
    assert not relations.between(left, middle, right)


def test_the_upper_third_of_a_block_is_its_upper_third() -> None:
    whole = block((3, 9), (10, 13), (5, 17))
    assert np.array_equal(relations.end_part(whole, 2, 1).array, block((3, 9), (10, 13), (13, 17)).array)
    right = relations.end_part(whole, 0, 1)
    assert np.array_equal(right.array, block((3, 5), (10, 13), (5, 17)).array), "x grows to the left in this file"


def test_lobes_are_cut_at_the_plane_through_gallbladder_and_cava() -> None:
    """Gallbladder in front of the cava at the same x: the plane is sagittal, at their centre."""
    liver = block((5, 35), (8, 30), (4, 15))
    marks = {"gallbladder": block((20, 23), (9, 12), (4, 6)), "cava": block((20, 23), (26, 29), (2, 20))}
    right = relations.liver_lobe(liver, "right", **marks)
    left = relations.liver_lobe(liver, "left", **marks)
    assert np.array_equal(right.mask.array | left.mask.array, liver.array)
    assert not (right.mask.array & left.mask.array).any()
    assert right.mask.array[5:21].any()
    assert not right.mask.array[22:].any()
    assert "gallbladder" in right.how


def test_lobes_without_landmarks_follow_the_published_share() -> None:
    """Abdalla et al. 2004: 65 % of the liver lies in the right lobe; within one plane of voxels here."""
    liver = block((5, 35), (8, 30), (4, 15))
    right = relations.liver_lobe(liver, "right")
    assert right.mask.array.sum() / liver.array.sum() == pytest.approx(0.65, abs=1 / 30)
    assert right.mask.array[5:20].any(), "low x is the patient's right in this file"
    assert "no landmark" in right.how


def test_only_one_slice_is_kept_counted_from_the_feet() -> None:
    mask = reorient_mask(block((3, 9), (10, 13), (5, 17)), "RAI")
    kept = relations.only_slice(mask, 5)
    assert reorient_mask(kept, "LPS").array.any(axis=(0, 1)).nonzero()[0].tolist() == [5]
    with pytest.raises(BadCall, match="23 axial slices"):
        relations.only_slice(mask, 23)


def test_halves_of_the_scan_share_nothing() -> None:
    mask = block((0, 41), (10, 13), (5, 7))
    left, right = relations.half_of_scan(mask, "left"), relations.half_of_scan(mask, "right")
    assert not (left.array & right.array).any()
    assert np.array_equal(left.array | right.array, mask.array)
    assert left.array[-1].any()
    assert not left.array[0].any()
