"""Views of a scan bring their masks back, and agreement is counted as defined."""

import math

import numpy as np
import pytest

from ostensor.imaging.volume import Grid, Volume
from ostensor.models.inference.views import VIEWS, agreement, seen_as

GRID = Grid((23, 19, 11), np.diag([0.7, 0.9, 3.0, 1.0]))


def test_a_mask_found_in_a_view_comes_back_to_its_place() -> None:
    """A bright block well inside: cut out by its grey value in the view, moved back, it is where it was."""
    array = np.zeros(GRID.shape, dtype=np.float32)
    array[7:13, 8:12, 3:6] = 100
    for view in VIEWS:
        changed = seen_as(view, Volume(array, GRID, "mr"))
        assert changed.grid == GRID
        back = view.back(np.asarray(changed.array) > 50)
        assert np.count_nonzero(back ^ (array > 50)) <= 0.3 * np.count_nonzero(array), view.name
    moved = seen_as(VIEWS[1], Volume(array, GRID, "mr"))
    assert np.flatnonzero((np.asarray(moved.array) > 50).any(axis=(1, 2))).tolist() == list(range(10, 16))


def test_agreement_is_the_mean_dice_of_all_pairs() -> None:
    """By hand: Dice 2*1/(2+1), 0 and 0 over three pairs."""
    one, two, three = (np.zeros((2, 2, 1), dtype=np.bool_) for _ in range(3))
    one[0, 0], one[0, 1], two[0, 0], three[1, 1] = True, True, True, True
    found = agreement([one, two, three])
    assert found.dice == pytest.approx((2 / 3) / 3)
    assert found.voxels == (2, 1, 1)
    share = 2 / 3
    assert found.entropy[0, 0, 0] == pytest.approx(
        -share * math.log(share) - (1 - share) * math.log(1 - share), rel=1e-4
    )
    assert found.entropy[1, 0, 0] == 0
    assert float(agreement([one, ~one]).entropy.max()) == pytest.approx(math.log(2), rel=1e-5)


def test_empty_masks_agree_and_a_single_one_is_refused() -> None:
    empty = np.zeros((2, 3, 1), dtype=np.bool_)
    assert agreement([empty, empty]).dice == 1
    with pytest.raises(ValueError, match="1 masks cannot agree"):
        agreement([empty])
