"""Slices of a mask's region against slices of the whole mask, for every way a grid can lie."""

import itertools
import tracemalloc

import numpy as np
import pytest

from ostensor.imaging.geometry import reorient_array
from ostensor.imaging.pictures.planes import PLANES, RegionPlanes, cut
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

ORDERS = list(itertools.permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1), (1, -1, 1)], ids=str)
def test_a_region_is_cut_as_its_mask_is(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    """The slow way (turn the whole mask, then cut) is the expected value; an L without symmetry."""
    shape = (5, 7, 11)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[list(order)] * np.array(signs) * (0.7, 0.9, 3.0)
    array = np.zeros(shape, dtype=bool)
    array[1:3, 2:6, 3:5] = True
    array[1, 2, 3:9] = True
    mask = Mask(array, Grid(shape, affine))
    whole = reorient_array(mask.array, mask.grid, "RAS")[0]
    planes = RegionPlanes(Region.of(mask))
    assert planes.shape == whole.shape
    for plane in PLANES.values():
        for index in range(whole.shape[plane.axis]):
            np.testing.assert_array_equal(planes.cut(plane, index), cut(whole, plane, index))


def test_an_empty_mask_has_empty_slices() -> None:
    mask = Mask(np.zeros((5, 7, 11), dtype=bool), Grid((5, 7, 11), np.eye(4)))
    planes = RegionPlanes(Region.of(mask))
    assert planes.empty
    assert planes.cut(PLANES["axial"], 3).shape == (7, 5)
    assert not planes.cut(PLANES["axial"], 0).any()


@pytest.mark.parametrize("view", list(PLANES))
def test_a_slice_of_a_turned_scan_takes_no_copy_of_the_scan(view: str) -> None:
    """Counted by Python itself: what is taken meanwhile is less than a tenth of the scan, which 31 slices or more make up."""
    turned = np.zeros((41, 37, 31), np.int16)[::-1, ::-1]
    tracemalloc.start()
    cut(turned, PLANES[view], 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < turned.nbytes / 10
