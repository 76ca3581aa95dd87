"""DuPLUS' segmentation loss: adaptive Tversky plus half a cross-entropy, per sample and class.

Source: spec §4, read from the official code. Correction of ours: alpha is a weight, so no gradient
flows through it (the official code lets it). Padding classes count 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

_EPSILON = 1e-6
ALPHA_RANGE = (0.2, 0.8)


def tversky_alpha(sigmoid: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """FP / (FP + FN) clamped to 0.2 to 0.8, detached, (b n)."""
    false_positive = (sigmoid * (1 - truth)).flatten(2).sum(2)
    false_negative = ((1 - sigmoid) * truth).flatten(2).sum(2)
    share = false_positive / (false_positive + false_negative).clamp(min=_EPSILON)
    return share.clamp(*ALPHA_RANGE).detach()


def tversky_loss(sigmoid: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - TP / (TP + alpha FP + beta FN) per sample and class (b n); 0 for a perfect mask, an empty one included."""
    alpha = tversky_alpha(sigmoid, truth)
    both = (sigmoid * truth).flatten(2).sum(2)
    false_positive = (sigmoid * (1 - truth)).flatten(2).sum(2)
    false_negative = ((1 - sigmoid) * truth).flatten(2).sum(2)
    wrong = alpha * false_positive + (1 - alpha) * false_negative
    return 1 - (both + _EPSILON) / (both + wrong + _EPSILON)


def duplus_loss(logits: torch.Tensor, truth: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
    """Mean over the classes that are used.

    Args:
        logits, truth: (b n x y z), truth 0 or 1.
        used: (b n) booleans; False for padding.
    """
    truth = truth.to(logits.dtype)
    cross = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(2).mean(2)
    each = tversky_loss(torch.sigmoid(logits), truth) + 0.5 * cross
    return torch.where(used, each, 0.0).sum() / used.sum().clamp(min=1)
