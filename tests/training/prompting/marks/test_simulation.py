"""Made-up persons: every prompt lies where it must, and the published fault of boxes is not there."""

import numpy as np
import pytest

from ostensor.imaging.volume import BoolArray
from ostensor.training.prompting.marks import rounds, simulation, strokes


def _structure(shape: tuple[int, ...] = (61, 47)) -> BoolArray:
    """An L and a small block apart from it, away from the corners."""
    mask = np.zeros(shape, np.bool_)
    rest = (slice(2, 5),) * (len(shape) - 2)
    mask[(slice(20, 50), slice(12, 18), *rest)] = True
    mask[(slice(42, 50), slice(12, 38), *rest)] = True
    mask[(slice(8, 12), slice(30, 36), *rest)] = True
    return mask


@pytest.mark.parametrize("shape", [(61, 47), (61, 47, 7)])
@pytest.mark.parametrize("sort", simulation.SORTS)
def test_a_click_lies_in_its_region(shape: tuple[int, ...], sort: simulation.Sort) -> None:
    mask = _structure(shape)
    for seed in range(20):
        for positive in (True, False):
            region = mask if positive else ~mask
            found = simulation.click(region, positive, np.random.default_rng(seed), sort)
            assert region[found.at]
            assert found.positive is positive


def test_a_centre_click_is_as_deep_in_the_largest_part_as_a_disc_s_middle() -> None:
    """The deepest pixel of a disc is its middle, whatever else lies about."""
    rows, columns = np.ogrid[:61, :47]
    disc = (rows - 37) ** 2 + (columns - 20) ** 2 <= 11**2
    mask = disc | _structure()[::-1] & (rows < 15)
    assert simulation.centre_click(mask, True).at == (37, 20)
    assert simulation.centre_click(mask[..., None], True).at == (37, 20, 0), (
        "a scan of one slice has no depth of its own"
    )


def test_a_correction_goes_to_the_larger_error_and_says_which_kind_it_is() -> None:
    mask, answer = np.zeros((40, 40), np.bool_), np.zeros((40, 40), np.bool_)
    mask[5:20, 5:20] = True
    answer[5:20, 10:20] = True
    answer[30:33, 30:33] = True
    missed = simulation.error_click(mask, answer)
    assert missed is not None
    assert missed.positive
    assert (mask & ~answer)[missed.at]
    answer[25:38, 25:38] = True
    extra = simulation.error_click(mask, answer)
    assert extra is not None
    assert not extra.positive
    assert (answer & ~mask)[extra.at]
    assert simulation.error_click(mask, mask) is None


def test_a_box_is_the_structure_s_own_and_does_not_begin_in_the_corner() -> None:
    """The released code took the minimum over a map padded with zeros: every simulated box began at (0, 0)."""
    mask = np.zeros((128, 96), np.bool_)
    mask[50:90, 40:60] = True
    assert simulation.box(mask).box == ((50, 90), (40, 60))
    for seed in range(50):
        moved = simulation.box(mask, np.random.default_rng(seed)).box
        for (low, high), (start, stop) in zip(moved, ((50, 90), (40, 60)), strict=True):
            assert abs(low - start) <= simulation.JITTER
            assert abs(high - stop) <= simulation.JITTER
    assert len({simulation.box(mask, np.random.default_rng(seed)).box for seed in range(20)}) > 10


def test_a_jittered_box_of_a_structure_at_the_rim_stays_in_the_picture_and_is_never_empty() -> None:
    mask = np.zeros((30, 30), np.bool_)
    mask[0:2, 27:30] = True
    for seed in range(30):
        for low, high in simulation.box(mask, np.random.default_rng(seed)).box:
            assert 0 <= low < high <= 30


@pytest.mark.parametrize("sort", strokes.SORTS)
def test_a_scribble_lies_in_its_region_and_is_thinner_than_it(sort: strokes.Sort) -> None:
    mask = _structure()
    for seed in range(15):
        drawn = strokes.scribble(mask, True, np.random.default_rng(seed), sort).array
        assert drawn is not None
        assert drawn.any()
        assert not (drawn & ~mask).any()
        assert drawn.sum() < mask.sum()


def test_a_scribble_in_a_scan_lies_in_one_slice() -> None:
    mask = _structure((61, 47, 7))
    for seed in range(10):
        drawn = strokes.scribble(mask, False, np.random.default_rng(seed)).array
        assert drawn is not None
        assert not (drawn & ~mask).any()
        assert min(len(np.unique(axis)) for axis in np.nonzero(drawn)) == 1


def test_a_one_pixel_region_can_be_scribbled_in() -> None:
    mask = np.zeros((9, 11), np.bool_)
    mask[4, 10] = True
    for sort in strokes.SORTS:
        drawn = strokes.scribble(mask, True, np.random.default_rng(0), sort).array
        assert drawn is not None
        assert np.array_equal(drawn, mask)


def test_first_prompts_mean_the_structure_and_its_outside() -> None:
    mask = _structure()
    sorts = set()
    for seed in range(60):
        for one in rounds.first(mask, np.random.default_rng(seed)):
            sorts.add((one.kind, one.positive))
            if one.kind != "box":
                marked = np.zeros_like(mask)
                if one.kind == "point":
                    marked[one.at] = True
                else:
                    assert one.array is not None
                    marked = one.array
                assert not (marked & (~mask if one.positive else mask)).any()
    assert sorts == {("box", True), ("point", True), ("point", False), ("scribble", True), ("scribble", False)}


def test_corrections_lie_in_the_error_region_of_their_kind() -> None:
    mask = _structure()
    answer = np.roll(mask, 4, axis=1)
    for seed in range(60):
        for one in rounds.correct(mask, answer, np.random.default_rng(seed)):
            wrong = mask & ~answer if one.positive else answer & ~mask
            if one.kind == "point":
                assert wrong[one.at]
            else:
                assert one.array is not None
                assert not (one.array & ~wrong).any()
    assert rounds.correct(mask, mask, np.random.default_rng(0)) == []
