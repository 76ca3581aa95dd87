"""Turning scans into the axes of an engine: nibabel's own reorientation is the oracle."""

from collections.abc import Iterator

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from ostensor.imaging.volume import Grid
from ostensor.models.external.orientation import Turn, every_turn, probe_orientations, turn_to

SHAPE = (5, 7, 11)
CODES = [
    "".join(pair[first > 0] for pair, first in zip(axes, signs, strict=True))
    for axes in (("RL", "AP", "IS"), ("AP", "RL", "IS"), ("IS", "AP", "RL"), ("RL", "IS", "AP"), ("AP", "IS", "RL"), ("IS", "RL", "AP"))
    for signs in np.ndindex(2, 2, 2)
]  # fmt: skip


def grids() -> Iterator[Grid]:
    """Straight, oblique by 17 and 30 degrees, and one whose axes are permuted."""
    spacing = np.diag([0.7, 0.9, 3.0])
    turn = lambda angle: np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])  # noqa: E731
    tilt = lambda angle: np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])  # noqa: E731
    swap = np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]])
    for matrix in (np.eye(3), turn(0.3), turn(-0.2) @ tilt(0.5), swap @ tilt(0.3)):
        affine = np.eye(4)
        affine[:3, :3] = matrix @ spacing
        affine[:3, 3] = (17, -40, 5)
        yield Grid(SHAPE, affine)


def numbered() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)


def test_the_list_of_codes_is_whole() -> None:
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("grid", list(grids()), ids=["straight", "oblique", "tilted", "permuted"])
def test_turning_agrees_with_nibabel_for_every_orientation(grid: Grid) -> None:
    image = nibabel.Nifti1Image(numbered(), grid.affine)
    for codes in CODES:
        theirs = image.as_reoriented(ornt_transform(io_orientation(grid.affine), axcodes2ornt(codes)))
        turn = turn_to(grid, codes)
        assert np.array_equal(turn.of(numbered()), np.asanyarray(theirs.dataobj)), codes
        turned = turn.grid(grid)
        assert turned.shape == theirs.shape
        assert np.allclose(turned.affine, theirs.affine, atol=1e-9), codes
        assert turned.axis_codes == codes


@pytest.mark.parametrize("grid", list(grids()), ids=["straight", "oblique", "tilted", "permuted"])
def test_every_voxel_stays_at_its_place(grid: Grid) -> None:
    for turn in every_turn():
        turned, moved = turn.of(numbered()), turn.grid(grid)
        for index in ((0, 0, 0), (4, 6, 10), (1, 5, 2), (3, 0, 9)):
            value = numbered()[index]
            (there,) = np.argwhere(turned == value)
            assert np.allclose(moved.affine @ (*there, 1), grid.affine @ (*index, 1), atol=1e-9), (turn, index)


def test_back_undoes_of_and_there_are_48() -> None:
    seen = set()
    for turn in every_turn():
        turned = turn.of(numbered())
        assert turned.flags.c_contiguous
        assert np.array_equal(turn.back(turned), numbered()), turn
        seen.add(turned.tobytes())
    assert len(seen) == 48


def test_as_stored_changes_nothing() -> None:
    for grid in grids():
        assert turn_to(grid, "as-stored") == Turn()
        assert Turn().grid(grid).same_as(grid)


def test_what_is_known_of_a_grid_is_kept() -> None:
    grid = Grid(SHAPE, np.diag([1.0, 2, 3, 1]), spacing_known=True, thickness_known=False, stated=True)
    turned = turn_to(grid, "PIR").grid(grid)
    assert (turned.spacing_known, turned.thickness_known, turned.stated) == (True, False, True)
    assert sorted(turned.spacing_mm) == sorted(grid.spacing_mm)


def test_the_probe_puts_the_best_order_first() -> None:
    (straight, *_) = grids()

    def dice_of(array: np.ndarray, grid: Grid, turn: Turn) -> float:
        assert np.array_equal(turn.back(array), numbered())
        return 0.9 if grid.axis_codes == "PIR" else 0.1

    found = probe_orientations(numbered(), straight, dice_of)
    assert (found[0].codes, found[0].dice, len(found)) == ("PIR", 0.9, 48)
    assert {one.codes for one in found} == set(CODES)
