"""Dice of two masks, against MONAI and SimpleITK, which count in their own way."""

import numpy as np
import pytest
import SimpleITK as sitk

from ostensor.imaging.errors import BadCall
from ostensor.imaging.masks.dice import dice, dice_of_counts, dice_of_regions
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

SHAPE = (5, 7, 11)
EMPTY = np.zeros(SHAPE, dtype=np.bool_)


def _corner() -> np.ndarray:
    """An L: without symmetry, and only in one corner of the grid."""
    mask = EMPTY.copy()
    mask[0:2, 1:6, 2:4] = True
    mask[1, 5, 4:9] = True
    return mask


def _noise(seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE) < share


PAIRS = {
    "noise": (_noise(0, 0.4), _noise(1, 0.2)),
    "corner and noise": (_corner(), _noise(2, 0.5)),
    "corner and itself": (_corner(), _corner()),
    "apart": (_corner(), np.flip(_corner(), axis=(0, 2)).copy()),
    "nothing found": (EMPTY, _corner()),
    "nothing there": (_corner(), EMPTY),
    "both empty": (EMPTY, EMPTY),
}


@pytest.mark.parametrize("name", PAIRS)
def test_masks_score_as_in_monai_when_empty_truths_are_counted(name: str) -> None:
    import torch
    from monai.metrics.meandice import compute_dice  # seconds, which no other test should wait for

    one, other = (torch.from_numpy(mask)[None, None].float() for mask in PAIRS[name])
    theirs = compute_dice(one, other, ignore_empty=False).item()
    assert dice(*PAIRS[name]) == pytest.approx(theirs, abs=1e-6)  # theirs is float32


@pytest.mark.parametrize("name", ["noise", "corner and noise", "corner and itself", "apart"])
def test_masks_score_as_in_simpleitk(name: str) -> None:
    """SimpleITK has no answer for an empty mask."""
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in PAIRS[name]))
    assert dice(*PAIRS[name]) == pytest.approx(overlap.GetDiceCoefficient(1), abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_cut_out_regions_score_as_the_masks_they_were_cut_from(name: str) -> None:
    grid = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))
    regions = [Region.of(Mask(mask, grid)) for mask in PAIRS[name]]
    assert dice_of_regions(regions[0], regions[1]) == dice(*PAIRS[name])


def test_counts_by_hand() -> None:
    """Three and four pixels with two in common: 4/7."""
    one, other = np.zeros((2, 5), bool), np.zeros((2, 5), bool)
    one[0, :3], other[0, 1:5] = True, True
    assert dice(one, other) == dice_of_counts((2, 3, 4)) == pytest.approx(4 / 7)


def test_shapes_that_numpy_would_stretch_are_refused() -> None:
    with pytest.raises(BadCall, match=r"\(5, 7, 11\) and \(5, 7, 1\)"):
        dice(EMPTY, EMPTY[:, :, :1])
