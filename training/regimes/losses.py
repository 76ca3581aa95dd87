"""Losses on logits and floating targets, written so that small and absent structures count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

SMOOTH = 1.0  # voxels added to both sides of the Dice fraction, so that an empty target is defined


def soft_dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One minus soft Dice per query, over batch and space together, averaged over queries.

    Source: Milletari et al. 2016 (V-Net), squared denominator as SAT uses it.
    """
    axes = [0, *range(2, logits.dim())]
    p = torch.sigmoid(logits)
    overlap = 2 * (p * targets).sum(axes) + SMOOTH
    size = (p * p).sum(axes) + targets.sum(axes) + SMOOTH
    return (1 - overlap / size).mean()


def balanced_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, balance: float) -> torch.Tensor:
    """Binary cross-entropy in which the voxels inside a structure count `balance` in all, those outside the rest.

    With the plain mean (balance 0) a structure of one voxel in a thousand is soon answered with
    "nowhere", and the sigmoid saturates there. Our choice; a query without a target counts its outside only.
    """
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if balance == 0:
        return each.mean()
    axes = [0, *range(2, logits.dim())]
    inside = (each * targets).sum(axes) / targets.sum(axes).clamp(min=1)
    outside = (each * (1 - targets)).sum(axes) / (1 - targets).sum(axes).clamp(min=1)
    return (balance * inside + (1 - balance) * outside).mean()


def over_scales(
    scales: Sequence[torch.Tensor],
    targets: Sequence[torch.Tensor],
    balance: float,
    weights: Sequence[float] = (),
) -> dict[str, torch.Tensor]:
    """Terms "cross_entropy" and "dice" of deep supervision: scales weighted and the weights normalised.

    Args:
        scales: logits (b n x y z), finest first.
        targets: for every scale, floats of the logits' shape.
        balance: see `balanced_cross_entropy`.
        weights: of the scales; 1, 1/2, 1/4 ... where there are none.

    Source: weights as nnU-Net (Isensee et al. 2021).
    """
    shares = np.array(weights or [0.5**n for n in range(len(scales))])
    shares /= shares.sum()
    cross_entropy = dice = torch.zeros((), device=scales[0].device)
    for logits, target, weight in zip(scales, targets, shares, strict=True):
        logits = logits.float()
        cross_entropy = cross_entropy + float(weight) * balanced_cross_entropy(logits, target, balance)
        dice = dice + float(weight) * soft_dice_loss(logits, target)
    return {"cross_entropy": cross_entropy, "dice": dice}


def at_sides(labels: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """Labels (b x y z) at other sides: of each place the label at its first corner, so of halves every second one."""
    for axis, side in enumerate(sides, start=1):
        if labels.shape[axis] != side:
            places = torch.arange(side, device=labels.device) * labels.shape[axis] // side
            labels = labels.index_select(axis, places)
    return labels
