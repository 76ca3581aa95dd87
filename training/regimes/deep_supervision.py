"""The loss SAT is trained with: cross-entropy and Dice at four scales, for the queries that are valid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ...models.language.sat.network import SCALE_WEIGHTS

_SMOOTH = 1e-7


def deep_supervision_loss(logits: Sequence[torch.Tensor], targets: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Weighted sum over scales of cross-entropy plus soft Dice, averaged over valid queries.

    Args:
        logits: (b n x y z) at strides 1, 2, 4, 8.
        targets: boolean (b n x y z) at stride 1; taken every 2, 4, 8 voxels for the others.
        valid: boolean (b n); padded queries cost nothing.

    Source: SAT (arXiv 2312.17183), squared denominator in the Dice term.
    """
    total = torch.zeros((), device=targets.device)
    for n, (logit, weight) in enumerate(zip(logits, SCALE_WEIGHTS, strict=True)):
        step = 2**n
        truth = targets[:, :, ::step, ::step, ::step].float()
        cross_entropy = F.binary_cross_entropy_with_logits(logit, truth, reduction="none").mean((2, 3, 4))
        p = torch.sigmoid(logit)
        overlap = 2 * (p * truth).sum((2, 3, 4)) + _SMOOTH
        dice = 1 - overlap / ((p * p).sum((2, 3, 4)) + truth.sum((2, 3, 4)) + _SMOOTH)
        total = total + weight * (cross_entropy + dice)[valid].mean()
    return total
