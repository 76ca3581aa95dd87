"""Where two masks differ, on boxes whose surplus is a slab of known thickness."""

import numpy as np
import pytest

from ostensor.imaging.plausibility.difference import surplus
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

SHAPE = (23, 19, 17)
LPS = np.array([[-0.7, 0, 0, 9.0], [0, -0.9, 0, 5.0], [0, 0, 3.0, -40.0], [0, 0, 0, 1.0]])  # x grows to the left


def box(*where: slice, affine: np.ndarray = LPS, known: bool = True) -> Region:
    array = np.zeros(SHAPE, np.bool_)
    array[where] = True
    return Region.of(Mask(array, Grid(SHAPE, affine, spacing_known=known)))


BODY = (slice(5, 14), slice(4, 11), slice(3, 9))  # 9 x 7 x 6


@pytest.mark.parametrize(
    ("more", "voxels", "reach_mm", "side"),
    [
        ((slice(5, 17), *BODY[1:]), 3 * 7 * 6, 2.1, "left"),
        ((slice(2, 14), *BODY[1:]), 3 * 7 * 6, 2.1, "right"),
        ((BODY[0], slice(4, 13), BODY[2]), 9 * 2 * 6, 1.8, "posterior"),
        ((*BODY[:2], slice(3, 10)), 9 * 7, 3.0, "superior"),
        ((slice(4, 15), slice(3, 12), BODY[2]), 11 * 9 * 6 - 9 * 7 * 6, np.hypot(0.7, 0.9), "all around"),
    ],
)
def test_a_slab_more_is_found_with_its_side_and_thickness(
    more: tuple[slice, ...], voxels: int, reach_mm: float, side: str
) -> None:
    found = surplus(box(*more), box(*BODY))
    assert (found.voxels, found.side) == (voxels, side)
    assert found.reach_mm == pytest.approx(reach_mm, abs=1e-5)
    back = surplus(box(*BODY), box(*more))
    assert (back.voxels, back.reach_mm, back.side) == (0, None, "")


def test_masks_apart_tell_how_far_the_farthest_voxel_is() -> None:
    """From the last plane of the body, x = 13, to the last of the other, x = 21."""
    found = surplus(box(slice(18, 22), *BODY[1:]), box(*BODY))
    assert found.reach_mm == pytest.approx(8 * 0.7, abs=1e-5)
    assert found.side == "left"


def test_no_length_is_invented() -> None:
    more = (slice(5, 17), *BODY[1:])
    unknown = surplus(box(*more, known=False), box(*BODY, known=False))
    assert (unknown.voxels, unknown.reach_mm, unknown.side) == (126, None, "left")
    sheared = LPS.copy()
    sheared[1, 2] = 1.5
    assert surplus(box(*more, affine=sheared), box(*BODY, affine=sheared)).reach_mm is None
    empty = box(slice(0, 0), slice(0, 0), slice(0, 0))
    assert surplus(box(*BODY), empty).side == ""
    assert surplus(empty, box(*BODY)).voxels == 0
