"""Losses of networks that give every pixel one class, written so that pixels may count differently."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

SMOOTH = 1e-5  # on both sides of the Dice fraction. Source: monai DiceLoss, Apache-2.0
Chance = Literal["sigmoid", "softmax"]


def shrink_labels(labels: torch.Tensor, side: int) -> torch.Tensor:
    """Class numbers (b side side) of (b n n), nearest."""
    return F.interpolate(labels[:, None].float(), size=(side, side), mode="nearest")[:, 0].long()


def class_dice_loss(
    logits: torch.Tensor, labels: torch.Tensor, chance: Chance, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """One minus soft Dice with squares below, of every picture and class, what is nothing among them, averaged.

    Args:
        logits: (b classes n n).
        labels: class numbers (b n n).
        chance: what makes a probability of a logit; "sigmoid" is finetune-SAM's, though its cross-entropy takes them for a softmax's.
        weights: of pixels, (b n n); None counts all alike.

    Source: monai DiceLoss(squared_pred=True, to_onehot_y=True, reduction="mean"), as mazurowski-lab/finetune-SAM calls it, Apache-2.0.
    """
    p = logits.sigmoid() if chance == "sigmoid" else logits.softmax(1)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(p)
    counted = torch.ones_like(p[:, :1]) if weights is None else weights[:, None]
    overlap = 2 * (counted * p * truth).sum((2, 3)) + SMOOTH
    size = (counted * (p * p + truth)).sum((2, 3)) + SMOOTH
    return (1 - overlap / size).mean()


def class_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy of (b classes n n), averaged over all pixels, those that count nothing among them."""
    each = F.cross_entropy(logits, labels, reduction="none")
    return each.mean() if weights is None else (weights * each).mean()
