"""Outlines and back: exact for every mask; keyholes and degenerate lines."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from ostensor.imaging.dicom.contours import fill, is_degenerate, joined, outline, signed_area


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.7, 0.97])
def test_filling_the_outlines_of_any_mask_gives_the_mask(share: float) -> None:
    """Random voxels: every way two voxels can touch occurs."""
    mask = np.random.default_rng(round(share * 100)).random((23, 31)) < share
    np.testing.assert_array_equal(fill(outline(mask).polygons, mask.shape), mask)


def test_a_ring_is_one_line_with_a_keyhole_that_another_library_fills_alike() -> None:
    """Matplotlib's point-in-polygon on the single closed line; two holes of unequal size."""
    mask = np.zeros((17, 23), dtype=np.bool_)
    mask[2:15, 3:20] = True
    mask[4:9, 5:8] = False
    mask[6:8, 12:18] = False
    found = outline(mask)
    assert (len(found.polygons), found.holes, found.dropped) == (1, 2, 0)
    centres = np.argwhere(np.ones_like(mask))
    inside = Outline(found.polygons[0]).contains_points(centres).reshape(mask.shape)
    np.testing.assert_array_equal(inside, mask)
    np.testing.assert_array_equal(fill(found.polygons, mask.shape), mask)


def test_an_island_in_a_hole_is_a_line_of_its_own() -> None:
    mask = np.zeros((19, 17), dtype=np.bool_)
    mask[2:17, 2:15] = True
    mask[4:14, 4:12] = False
    mask[7:9, 6:9] = True
    found = outline(mask)
    assert (len(found.polygons), found.holes) == (2, 1)
    np.testing.assert_array_equal(fill(found.polygons, mask.shape), mask)


def test_lines_that_enclose_nothing_are_dropped_and_counted() -> None:
    square = np.array([[1.5, 1.0], [3.5, 1.0], [3.5, 4.0], [1.5, 4.0]])
    point, stroke = np.full((4, 2), 2.0), np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [2.0, 2.0]])
    pair = np.array([[1.0, 1.0], [4.0, 5.0]])
    found = joined([point, square, stroke, pair])
    assert found.dropped == 3
    assert len(found.polygons) == 1
    assert is_degenerate(stroke)
    assert not is_degenerate(square)


def test_a_single_voxel_is_kept() -> None:
    """Its outline is a diamond of half a voxel."""
    mask = np.zeros((5, 7), dtype=np.bool_)
    mask[2, 3] = True
    found = outline(mask)
    assert found.dropped == 0
    assert signed_area(found.polygons[0]) == pytest.approx(0.5)


def test_the_border_of_the_slice_is_outlined_too() -> None:
    mask = np.ones((5, 7), dtype=np.bool_)
    np.testing.assert_array_equal(fill(outline(mask).polygons, mask.shape), mask)


def test_lines_that_reach_outside_the_slice_are_cut() -> None:
    """Another program's contour: the rectangle from -3 to 2.5 along x and 1.5 to 40 along y."""
    line = np.array([[-3.0, 1.5], [2.5, 1.5], [2.5, 40.0], [-3.0, 40.0]])
    wanted = np.zeros((5, 7), dtype=np.bool_)
    wanted[:3, 2:] = True
    np.testing.assert_array_equal(fill([line], (5, 7)), wanted)
