"""Votes on voxels: counted by hand on rows of voxels, and against loops over whole grids."""

import itertools
import math

import numpy as np
import pytest

from ostensor.imaging.consensus.votes import NEIGHBOURHOOD, Votes, entropy
from ostensor.imaging.errors import BadCall
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

SHAPE = (17, 13, 11)
OBLIQUE = np.array([[0.68, 0.1, 0.4, -20.0], [-0.16, 0.88, 0.2, 7.0], [-0.1, -0.12, 2.9, 3.0], [0, 0, 0, 1.0]])
GRID = Grid(SHAPE, OBLIQUE)


def region(*voxels: int, grid: Grid = GRID) -> Region:
    """Some of the voxels (n, 4, 5) with n counted along x."""
    array = np.zeros(grid.shape, np.bool_)
    array[list(voxels), 4, 5] = True
    return Region.of(Mask(array, grid))


def body() -> np.ndarray:
    """A block without one corner."""
    block = np.zeros(SHAPE, np.bool_)
    block[4:11, 3:9, 2:8] = True
    block[4:7, 3:5, 2:4] = False
    return block


def blobs(seed: int, count: int) -> list[np.ndarray]:
    """The body, 6 % of all voxels wrong."""
    random = np.random.default_rng(seed)
    return [body() ^ (random.random(SHAPE) < 0.06) for _ in range(count)]


def test_voxels_are_counted_as_by_hand() -> None:
    """Marked: 3 4 5, 4 5 6 7, 5: all share 5; any is 3 to 7."""
    votes = Votes.of([region(3, 4, 5), region(4, 5, 6, 7), region(5)])
    assert votes.voxels == (3, 4, 1)
    assert (votes.voxels_of_all, votes.voxels_of_any) == (1, 5)
    assert votes.pairs == {(0, 1): 4 / 7, (0, 2): 2 / 4, (1, 2): 2 / 5}
    thirds = np.round(votes.share[votes.share > 0] * 3).astype(int).tolist()
    assert thirds == [1, 2, 3, 1, 1]  # along x: voxels 3, 4, 5, 6, 7


def test_the_dice_with_the_others_counts_voxels_by_their_share() -> None:
    """The first mask (3 4 5) against shares 4: 1/2, 5: 1, 6: 1/2, 7: 1/2: 2 (1/2 + 1) / (3 + 5/2)."""
    votes = Votes.of([region(3, 4, 5), region(4, 5, 6, 7), region(5)])
    assert votes.dice_to_others(0) == pytest.approx(3 / 5.5)
    two = Votes.of([region(3, 4, 5), region(4, 5, 6, 7)])
    assert two.dice_to_others(0) == pytest.approx(two.pairs[0, 1])


def test_everything_agrees_with_loops_over_the_whole_grid() -> None:
    masks = blobs(3, 4)
    votes = Votes.of([Region.of(Mask(mask, GRID)) for mask in masks])
    whole = np.array(masks)
    assert votes.voxels_of_all == int(whole.all(0).sum())
    assert votes.voxels_of_any == int(whole.any(0).sum())
    for (a, b), value in votes.pairs.items():
        assert value == pytest.approx(2 * (masks[a] & masks[b]).sum() / (masks[a].sum() + masks[b].sum()))
    np.testing.assert_allclose(votes.on_grid(votes.share), whole.mean(0), atol=1e-6)


def test_the_neighbourhood_ends_two_steps_from_what_anybody_marks() -> None:
    """By brute force: the number of steps along the axes to the nearest marked voxel."""
    votes = Votes.of([region(3, 4), region(16)])
    marked = [(3, 4, 5), (4, 4, 5), (16, 4, 5)]
    near = votes.on_grid(np.ones(votes.marks.shape[1], np.bool_))
    for index in itertools.product(*map(range, SHAPE)):
        steps = min(sum(abs(a - b) for a, b in zip(index, one, strict=True)) for one in marked)
        assert near[index] == (steps <= NEIGHBOURHOOD), index


def test_who_stands_apart_is_named_only_when_the_others_agree_clearly_better() -> None:
    like = [region(3, 4, 5, 6), region(3, 4, 5, 6, 7), region(3, 4, 5)]
    assert Votes.of([*like, region(11, 12)]).stands_apart() == 3
    assert Votes.of([region(11, 12), *like]).stands_apart() == 0
    assert Votes.of(like).stands_apart() is None  # 8/9, 6/7, 6/8: no gap of a tenth
    camps = [region(3, 4), region(3, 4), region(11, 12), region(11, 12)]
    assert Votes.of(camps).stands_apart() is None
    loners = [region(3, 4), region(3, 4), region(8, 9), region(11, 12)]
    assert Votes.of(loners).stands_apart() is None
    assert Votes.of([region(3), region(5), region(7)]).stands_apart() is None
    assert Votes.of([region(3, 4), region(11)]).stands_apart() is None


def test_empty_masks_vote_for_nothing() -> None:
    votes = Votes.of([region(), region(), region()])
    assert (votes.box, votes.voxels_of_any, votes.dice_to_others(1)) == (None, 0, 1.0)
    assert not votes.on_grid(votes.share).any()
    one = Votes.of([region(), region(3, 4)])
    assert (one.voxels, one.voxels_of_all, one.pairs[0, 1]) == ((0, 2), 0, 0.0)


def test_the_entropy_is_that_of_the_votes() -> None:
    """ln 2 where half mark a voxel, ln 3 - 2/3 ln 2 where a third does, 0 where all agree."""
    found = entropy(np.array([0, 1 / 3, 0.5, 2 / 3, 1]))
    third = math.log(3) - 2 / 3 * math.log(2)
    np.testing.assert_allclose(found, [0, third, math.log(2), third, 0], atol=1e-6)


def test_what_cannot_be_merged_is_refused() -> None:
    with pytest.raises(BadCall, match="two or more"):
        Votes.of([region(3)])
    with pytest.raises(BadCall, match="different grids"):
        Votes.of([region(3), region(3, grid=Grid((17, 13, 12), OBLIQUE))])
