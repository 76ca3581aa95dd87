"""Marks that travel, contradict each other, and are said otherwise; and growing by grey values on a body of known voxels."""

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.interface import NotUnderstood, Prompt
from ostensor.models.promptable.adapting import ALONG, adapted, deepest
from ostensor.models.promptable.seeds import SeedGrower
from ostensor.models.promptable.steps import Bits, Mark, prompts_of, settled

SHAPE = (23, 19, 17)
GRID = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))


def bits(array: np.ndarray) -> Bits:
    found = Bits.of(array)
    assert found is not None
    return found


def some(seed: int, share: float = 0.1) -> np.ndarray:
    array = np.zeros(SHAPE, np.bool_)
    array[3:17, 2:9, 5:16] = np.random.default_rng(seed).random((14, 7, 11)) < share
    return array


def test_voxels_come_back_from_their_bits() -> None:
    array = some(0)
    assert np.array_equal(bits(array).on(SHAPE), array)
    assert Bits.of(np.zeros(SHAPE, np.bool_)) is None


def test_bits_without_others_agree_with_whole_arrays() -> None:
    a, b = some(1), some(2)
    left, at = bits(a).without(bits(b))
    assert left is not None
    assert np.array_equal(left.on(SHAPE), a & ~b)
    assert at is not None
    assert a[at]
    assert b[at]
    far = np.zeros(SHAPE, np.bool_)
    far[20, 15, 2] = True
    assert bits(a).without(bits(far)) == (bits(a), None)


def test_the_later_of_two_opposite_marks_counts_where_they_meet() -> None:
    line = np.zeros(SHAPE, np.bool_)
    line[2:9, 4, 6] = True
    marks = [Mark("scribble", bits=bits(line)), Mark("point", False, at=(5, 4, 6)), Mark("point", at=(1, 1, 1)),
             Mark("point", False, at=(1, 1, 1)), Mark("point", at=(5, 4, 6))]  # fmt: skip
    kept, clashes = settled(marks)
    assert [(one.earlier, one.later, one.at) for one in clashes] == [
        (0, 1, (5, 4, 6)),
        (2, 3, (1, 1, 1)),
        (1, 4, (5, 4, 6)),
    ]
    line[5, 4, 6] = False
    assert np.array_equal(kept[0].bits.on(SHAPE), line)
    assert kept[1:] == (marks[3], marks[4])


def test_strokes_of_one_sign_become_one_prompt() -> None:
    a, b = some(1), some(2)
    found = prompts_of([Mark("scribble", bits=bits(a)), Mark("point", at=(1, 2, 3)), Mark("scribble", bits=bits(b)),
                        Mark("scribble", False, bits=bits(a))], SHAPE)  # fmt: skip
    assert [(one.kind, one.positive) for one in found] == [("point", True), ("scribble", True), ("scribble", False)]
    assert found[1].array is not None
    assert np.array_equal(found[1].array, a | b)


def test_what_a_network_does_not_take_is_said_otherwise_or_refused() -> None:
    line = np.zeros(SHAPE, np.bool_)
    line[2:20, 4, 6] = True
    area = np.zeros(SHAPE, np.bool_)
    area[3:10, 2:13, 8] = True
    points, told = adapted([Mark("scribble", bits=bits(line))], frozenset({"point"}), "m")
    assert len(points) == ALONG
    assert all(line[one.at] for one in points)
    assert "takes no scribble" in told[0]
    (box, middle), _ = adapted([Mark("lasso", bits=bits(area))], frozenset({"point", "box"}), "m")
    assert (box.kind, box.box) == ("box", ((3, 10), (2, 13), (8, 9)))
    assert middle.at == (6, 5, 8) or area[middle.at]
    with pytest.raises(NotUnderstood, match="'m' does not understand a point that says what is not meant"):
        adapted([Mark("point", False, at=(1, 1, 1))], frozenset({"point", "box"}), "m")


def test_the_deepest_voxel_is_farthest_from_the_border() -> None:
    """By brute force: the largest smallest distance to any voxel outside; a flat area counts in its slice."""
    array = np.zeros(SHAPE, np.bool_)
    array[3:14, 2:9, 8] = True
    array[3:6, 2:16, 8] = True
    at = deepest(bits(array))
    inside, outside = np.argwhere(array[:, :, 8]), np.argwhere(~array[:, :, 8])
    depth = {tuple(one): np.min(np.hypot(*(outside - one).T)) for one in inside}
    assert depth[at[:2]] == max(depth.values())
    assert at[2] == 8


def body() -> tuple[Volume, np.ndarray, np.ndarray]:
    """Two blocks of unlike grey that touch, in noise of 3."""
    grey = np.random.default_rng(5).normal(0, 3, SHAPE)
    one, two = np.zeros(SHAPE, np.bool_), np.zeros(SHAPE, np.bool_)
    one[4:12, 3:14, 4:13], two[12:19, 3:14, 4:13] = True, True
    grey[one] += 100
    grey[two] += 150
    return Volume(grey.astype(np.int16), GRID, "mr"), one, two


def grow(volume: Volume, *prompts: Prompt) -> np.ndarray:
    grower = SeedGrower()
    seen = grower.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    return grower.decode(seen, prompts).array


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


def test_grey_values_find_what_a_click_or_a_box_means() -> None:
    volume, one, two = body()
    click = grow(volume, Prompt("point", at=(7, 8, 8)))
    assert alike(click, one) > 0.95
    assert not (click & two).any()
    around = grow(volume, Prompt("box", box=((10, 21), (1, 16), (2, 15))), Prompt("point", False, at=(10, 8, 8)))
    assert alike(around, two) > 0.85
    assert not around[10, 8, 8]


def test_a_mark_of_what_is_not_meant_takes_its_part_and_leaves_the_rest() -> None:
    volume, one, two = body()
    left = grow(volume, Prompt("mask", array=one | two), Prompt("point", False, at=(15, 8, 8)))
    assert alike(left, one) > 0.95
    both = grow(
        volume, Prompt("mask", array=one | two), Prompt("point", at=(7, 8, 8)), Prompt("point", False, at=(15, 8, 8))
    )
    assert alike(both, one) > 0.95


def test_growing_needs_something_that_is_meant() -> None:
    volume, *_ = body()
    with pytest.raises(BadCall, match="Only what is not meant"):
        grow(volume, Prompt("point", False, at=(7, 8, 8)))
