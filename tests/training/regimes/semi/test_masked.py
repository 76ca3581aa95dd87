"""Weighted Dice and cross-entropy against sums voxel by voxel, and monai's where all voxels count alike."""

import monai.losses
import numpy as np
import pytest
import torch

from ostensor.training.regimes.semi.masked import Pool, dice_ce, masked_dice_ce, two_classes


@pytest.mark.parametrize("pool", ["batch", "each"])
def test_weights_count_voxel_by_voxel(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 3, 5, 7)), rng.integers(0, 3, (2, 5, 7))
    weights = rng.random((2, 5, 7))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    entropy = sum(-w * np.log(p[b, labels[b, x, y], x, y]) for (b, x, y), w in np.ndenumerate(weights)) / weights.sum()
    losses = []
    for group in ([0, 1],) if pool == "batch" else ([0], [1]):
        for k in range(3):
            overlap = size = 0.0
            for b in group:
                for x, y in np.ndindex(5, 7):
                    t, q, w = float(labels[b, x, y] == k), p[b, k, x, y], weights[b, x, y]
                    overlap += 2 * w * q * t
                    size += w * (t + (q * q if pool == "batch" else q))
            smooth = 1e-10 if pool == "batch" else 1e-5
            losses.append(1 - (overlap + smooth) / (size + smooth))
    found = masked_dice_ce(*map(torch.from_numpy, (logits, labels, weights)), pool=pool)
    assert float(found.dice) == pytest.approx(np.mean(losses))
    assert float(found.cross_entropy) == pytest.approx(entropy)


def test_equal_weights_are_monais_dice_and_cross_entropy() -> None:
    logits = torch.randn(2, 3, 5, 7, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 3, (2, 5, 7, 4), generator=torch.Generator().manual_seed(1))
    theirs = monai.losses.DiceCELoss(to_onehot_y=True, softmax=True)(logits, labels[:, None])
    ours = dice_ce(logits, labels)
    assert float(ours.dice + ours.cross_entropy) == pytest.approx(float(theirs), rel=1e-5)


def test_no_weight_at_all_is_no_loss_and_no_error() -> None:
    logits = torch.randn(1, 2, 3, 5, requires_grad=True)
    found = masked_dice_ce(logits, torch.ones(1, 3, 5, dtype=torch.long), torch.zeros(1, 3, 5))
    assert float(found.half.detach()) == 0
    assert torch.equal(torch.autograd.grad(found.half, logits)[0], torch.zeros_like(logits))


def test_two_classes_are_the_sigmoid() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    found = two_classes(logits).softmax(1)[:, 1]
    assert torch.allclose(found, torch.sigmoid(logits).flatten(0, 1))
