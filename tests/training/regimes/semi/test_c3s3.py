"""C3S3: who wins, what the winner teaches, and the contrast voxel by voxel."""

import numpy as np
import pytest
import torch

from ostensor.training.regimes.semi.c3s3 import class_agreement, contrast, lesson_loss, winner
from ostensor.training.regimes.semi.masked import DiceCe


def score(dice: float, cross_entropy: float) -> DiceCe:
    return DiceCe(torch.tensor(dice), torch.tensor(cross_entropy))


def test_the_lower_mean_of_both_losses_wins() -> None:
    assert winner([score(0.1, 0.5), score(0.4, 0.1)]) == 1
    assert winner([score(0.1, 0.3), score(0.4, 0.1)]) == 0


def test_a_lesson_is_sharp_and_one_way() -> None:
    loser, better = (torch.tensor([[[v], [w]]], requires_grad=True) for v, w in ((0.0, 0.0), (0.0, 0.2)))
    sharp = np.exp(2.0) / (1 + np.exp(2.0))
    found = lesson_loss(loser, better)
    assert float(found.detach()) == pytest.approx((sharp - 0.5) ** 2, rel=1e-4)
    slopes = torch.autograd.grad(found, [loser, better], allow_unused=True)
    assert slopes[0] is not None
    assert slopes[1] is None


def test_the_contrast_is_that_of_the_voxels_under_the_masks() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4, 5, 3)), rng.normal(size=(2, 4, 5, 3))
    a, b = rng.random((2, 5, 3)) > 0.4, rng.random((2, 5, 3)) > 0.4
    expected, released = [], []
    for n in range(2):
        sums = {"both": 0.0, "either": 0.0, "both of all": 0.0, "either of all": 0.0}
        for x, y in np.ndindex(5, 3):
            u, v = one[n, :, x, y], other[n, :, x, y]
            s = u @ v / np.linalg.norm(u) / np.linalg.norm(v) / 0.1
            both, either = a[n, x, y] and b[n, x, y], a[n, x, y] or b[n, x, y]
            sums["both"] += np.exp(s) * both
            sums["either"] += np.exp(s) * either
            sums["both of all"] += np.exp(s * both)
            sums["either of all"] += np.exp(s * either)
        expected.append(-np.log(sums["both"] / sums["either"]))
        released.append(-np.log(sums["both of all"] / sums["either of all"]))
    maps, masks = map(torch.from_numpy, (one, other)), (torch.from_numpy(a), torch.from_numpy(b))
    first, second = maps
    assert float(contrast(first, second, masks)) == pytest.approx(np.mean(expected))
    assert float(contrast(first, second, masks, "released")) == pytest.approx(np.mean(released))


def test_predictions_that_never_meet_give_no_contrast_and_no_error() -> None:
    maps = torch.randn(1, 4, 5, 3, requires_grad=True)
    nothing = torch.zeros(1, 5, 3, dtype=torch.bool)
    found = contrast(maps, maps * 2, (nothing, ~nothing))
    assert float(found.detach()) == 0
    assert bool(torch.isfinite(torch.autograd.grad(found, maps)[0]).all())


def test_equal_views_agree_and_opposite_ones_do_not() -> None:
    sure = torch.tensor([[[20.0], [0.0]]])
    assert float(class_agreement(sure, sure)) == pytest.approx(0, abs=1e-6)
    assert float(class_agreement(sure, sure.flip(1))) == pytest.approx(1, abs=1e-6)
