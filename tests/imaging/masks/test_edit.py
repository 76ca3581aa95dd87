"""Mask edits: set algebra, and distances by brute force."""

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.masks.edit import OPERATIONS, edit
from ostensor.imaging.volume import Grid, Mask, Volume

SHAPE, SPACING = (17, 19, 13), (0.7, 0.9, 3.0)
GRID = Grid(SHAPE, np.diag([*SPACING, 1.0]))


def _random(seed: int, share: float = 0.5) -> Mask:
    return Mask(np.random.default_rng(seed).random(SHAPE) < share, GRID)


def _block() -> Mask:
    array = np.zeros(SHAPE, bool)
    array[5:12, 4:13, 3:9] = True
    return Mask(array, GRID)


def test_set_operations_follow_de_morgan() -> None:
    a, b = _random(0), _random(1)
    union = edit("union", [a, b]).array
    np.testing.assert_array_equal(~union, ~a.array & ~b.array)
    np.testing.assert_array_equal(edit("intersect", [a, b]).array, a.array & b.array)
    np.testing.assert_array_equal(edit("subtract", [a, b, _random(2)]).array, a.array & ~b.array & ~_random(2).array)


def test_growing_reaches_exactly_so_far_in_mm() -> None:
    array = np.zeros(SHAPE, bool)
    array[8, 9, 6] = True
    found = edit("grow", [Mask(array, GRID)], amount_mm=3.0).array
    distance = np.linalg.norm((np.indices(SHAPE).T - (8, 9, 6)) * SPACING, axis=-1).T
    np.testing.assert_array_equal(found, distance <= 3.0 + 1e-5)


def test_shrinking_is_growing_of_the_outside() -> None:
    outside = edit("grow", [Mask(~_block().array, GRID)], amount_mm=1.5).array
    np.testing.assert_array_equal(edit("shrink", [_block()], amount_mm=1.5).array, ~outside)


def test_shrinking_does_not_eat_at_the_scans_border() -> None:
    array = np.zeros(SHAPE, bool)
    array[:9] = True
    assert edit("shrink", [Mask(array, GRID)], amount_mm=1.5).array[0].all()


def test_the_largest_part_stays_and_holes_close() -> None:
    array = _block().array.copy()
    array[8, 8, 5] = False
    array[0, 0, 0] = True
    np.testing.assert_array_equal(edit("largest_part", [Mask(array, GRID)]).array.sum(), _block().array.sum() - 1)
    assert edit("fill_holes", [Mask(array, GRID)]).array[8, 8, 5]
    empty = Mask(np.zeros(SHAPE, bool), GRID)
    assert not edit("largest_part", [empty]).array.any()


def test_snapping_moves_a_rough_border_to_the_edge_of_the_picture() -> None:
    true = _block()
    picture = np.where(true.array, 100.0, 0.0).astype(np.float32)
    picture += np.random.default_rng(0).normal(0, 2, SHAPE).astype(np.float32)
    rough = np.zeros(SHAPE, bool)
    rough[6:13, 5:14, 3:9] = True
    before = (rough & true.array).sum() * 2 / (rough.sum() + true.array.sum())
    found = edit("snap_to_edges", [Mask(rough, GRID)], amount_mm=1.9, image=Volume(picture, GRID)).array
    after = (found & true.array).sum() * 2 / (found.sum() + true.array.sum())
    assert after > before
    assert after > 0.9


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_refuses_the_wrong_number_of_masks(operation: str) -> None:
    masks = [_random(0)] if operation in ("union", "intersect", "subtract") else [_random(0), _random(1)]
    with pytest.raises(BadCall, match="It takes"):
        edit(operation, masks, amount_mm=1.0)


def test_unusable_requests_are_refused() -> None:
    with pytest.raises(BadCall, match="Unknown operation"):
        edit("explode", [_block()])
    with pytest.raises(BadCall, match="needs a length"):
        edit("grow", [_block()])
    other = Grid(SHAPE, np.diag([0.7, 0.9, 2.0, 1.0]))
    with pytest.raises(BadCall, match="different grids"):
        edit("union", [_block(), Mask(_block().array, other)])
    unknown = Mask(_block().array, Grid(SHAPE, np.eye(4), False))
    with pytest.raises(BadCall, match="known voxel size"):
        edit("grow", [unknown], amount_mm=1.0)
    with pytest.raises(BadCall, match="own image"):
        edit("snap_to_edges", [_block()], amount_mm=1.0)
    thin = np.zeros(SHAPE, bool)
    thin[8, 4:13, 3:9] = True
    with pytest.raises(BadCall, match="thinner"):
        edit("snap_to_edges", [Mask(thin, GRID)], amount_mm=2.0, image=Volume(np.zeros(SHAPE), GRID))
