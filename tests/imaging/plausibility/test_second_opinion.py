"""A mask against another maker's of known quality; distances, shares and ends are worked out by hand."""

import numpy as np
import pytest

from ostensor.imaging.plausibility.checks import Check
from ostensor.imaging.plausibility.second_opinion import MARGIN, Opinion, second_opinion
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

# Voxels of 1.5 x 2 x 3 mm; the first axis runs to the patient's left, the third to the head.
GRID = Grid((61, 53, 37), np.array([[-1.5, 0, 0, 40], [0, 2, 0, -30], [0, 0, 3, 11], [0, 0, 0, 1.0]]))
BODY = (slice(20, 31), slice(10, 27), slice(9, 22))  # 11 x 17 x 13


def block(*where: slice, grid: Grid = GRID) -> Region:
    array = np.zeros(grid.shape, bool)
    array[where] = True
    return Region.of(Mask(array, grid))


def moved(axis: int, steps: int) -> Region:
    where = list(BODY)
    where[axis] = slice(where[axis].start + steps, where[axis].stop + steps)
    return block(*where)


def opinion(region: Region, expected: float = 0.9) -> Opinion:
    return Opinion(region, expected, "the other")


def asked(region: Region, **kwargs: Opinion) -> Check:
    return second_opinion(region, "liver", {"liver": opinion(block(*BODY)), **kwargs})


def test_the_same_mask_passes_with_a_dice_of_one() -> None:
    check = asked(block(*BODY))
    assert (check.passed, check.value, check.reason) == (True, 1.0, "")
    assert check.low == pytest.approx(0.9 - MARGIN)
    assert "the other" in check.source


def test_an_ordinary_disagreement_passes() -> None:
    """Two of 11 planes off: 9 of 11 are shared."""
    check = asked(moved(0, 2))
    assert check.value == pytest.approx(9 / 11, abs=1e-4)
    assert check.passed


@pytest.mark.parametrize(
    ("axis", "steps", "words"),
    [(0, 16, "24 mm left of it"), (0, -16, "24 mm right"), (1, 20, "40 mm anterior"), (2, -8, "24 mm inferior")],
)
def test_a_moved_mask_is_said_to_lie_elsewhere_and_where(axis: int, steps: int, words: str) -> None:
    check = asked(moved(axis, steps))
    shared = max(0, (BODY[axis].stop - BODY[axis].start) - abs(steps)) / (BODY[axis].stop - BODY[axis].start)
    assert check.value == pytest.approx(shared, abs=1e-4)
    assert check.passed is False
    assert words in check.reason
    assert "the other, whose liver should have a Dice of 0.90" in check.reason


def test_half_a_mask_is_said_to_miss_its_end() -> None:
    """Six of 17 planes are left, the posterior ones: a Dice of 12/23, and 65 % missing in front."""
    check = asked(block(BODY[0], slice(10, 16), BODY[2]))
    assert check.value == pytest.approx(12 / 23, abs=1e-4)
    assert check.passed is False
    assert "65% of it is missing, at its anterior end" in check.reason


def test_a_worn_mask_misses_something_all_around() -> None:
    small = block(slice(22, 29), slice(12, 25), slice(11, 20))
    assert "66% of it is missing, all around" in asked(small).reason, "7 x 13 x 9 of 11 x 17 x 13 are left"


def test_too_large_a_mask_holds_more() -> None:
    check = asked(block(slice(20, 31), slice(10, 27), slice(0, 37)))
    assert check.passed is False
    assert "2.8 times as much" in check.reason


def test_another_structure_of_the_other_maker_is_named() -> None:
    spleen = block(slice(45, 56), slice(10, 27), slice(9, 22))
    check = asked(spleen, spleen=opinion(spleen))
    assert "it rather is the spleen (Dice 1.00)" in check.reason
    unsure = asked(spleen, spleen=opinion(spleen, expected=0.3))
    assert "spleen" not in unsure.reason, "the maker is not sure of its spleen"
    assert unsure.passed is False


@pytest.mark.parametrize(
    ("opinions", "fact"),
    [
        ({}, "No other model"),
        ({"spleen": opinion(block(*BODY))}, "No other model"),
        ({"liver": opinion(block(*BODY), expected=0.55)}, "expected Dice 0.55"),
        ({"liver": opinion(block(slice(0, 0), slice(0, 0), slice(0, 0)))}, "not sure enough"),
    ],
)
def test_who_is_not_sure_is_not_asked(opinions: dict[str, Opinion], fact: str) -> None:
    check = second_opinion(moved(0, 16), "liver", opinions)
    assert check.passed is None
    assert fact in check.reason


def test_without_a_voxel_size_distances_are_in_voxels() -> None:
    grid = Grid(GRID.shape, np.eye(4), spacing_known=False)
    mask = block(slice(36, 47), *BODY[1:], grid=grid)
    check = second_opinion(mask, "liver", {"liver": opinion(block(*BODY, grid=grid))})
    assert "16 voxels right" in check.reason
