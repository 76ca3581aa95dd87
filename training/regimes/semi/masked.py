"""Dice and cross-entropy of classes in which every voxel counts as much as a map of weights says.

Structures may overlap, so each is a problem of two classes of its own: `two_classes` brings the channels of a network there, and with
one structure that is the softmax over two classes of the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

Mode = Literal["paper", "released"]
"""Whose terms an objective has, where the paper and the released code differ."""
Pool = Literal["batch", "each"]
"""Over what Dice is taken: the whole batch, with squares in the denominator, or each image by itself, without."""
SMOOTH: dict[str, float] = {"batch": 1e-10, "each": 1e-5}  # Source: DeepMed-Lab-ECNU/BCP, for ACDC and the left atrium
_LEAST = 1e-16  # voxels, so that no voxel at all gives 0; Source: DeepMed-Lab-ECNU/BCP


@dataclass(frozen=True)
class DiceCe:
    """The two parts of a loss."""

    dice: torch.Tensor
    cross_entropy: torch.Tensor

    @property
    def half(self) -> torch.Tensor:
        """Their mean."""
        return (self.dice + self.cross_entropy) / 2

    def __add__(self, other: DiceCe) -> DiceCe:
        return DiceCe(self.dice + other.dice, self.cross_entropy + other.cross_entropy)

    def __mul__(self, weight: float) -> DiceCe:
        return DiceCe(self.dice * weight, self.cross_entropy * weight)


def two_classes(logits: torch.Tensor) -> torch.Tensor:
    """Logits (b*n 2 ...) of outside and inside for channels (b n ...) above 0 inside; outside is 0, so softmax is the sigmoid."""
    inside = logits.float().flatten(0, 1)
    return torch.stack([torch.zeros_like(inside), inside], dim=1)


def masked_dice_ce(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, *, pool: Pool = "each") -> DiceCe:
    """Dice, meaned over all classes, and cross-entropy, divided by the sum of the weights.

    Args:
        logits: (b k ...).
        labels: integers (b ...).
        weights: (b ...), 0 where a voxel does not count.

    Source: DeepMed-Lab-ECNU/BCP (MIT), with weights in place of a mask of 0 and 1.
    """
    each = F.cross_entropy(logits, labels.long(), reduction="none")
    dice = class_dice(logits, labels, weights, pool=pool).mean()
    return DiceCe(dice, (each * weights).sum() / (weights.sum() + _LEAST))


def class_dice(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, *, pool: Pool) -> torch.Tensor:
    """One minus Dice of every class: (k), or (b k) where each image is by itself. Arguments as of `masked_dice_ce`."""
    truth = F.one_hot(labels.long(), logits.shape[1]).movedim(-1, 1).to(logits)
    p, w, squares = logits.softmax(1), weights[:, None], pool == "batch"
    axes = [*([0] if squares else []), *range(2, logits.dim())]
    overlap = 2 * (w * p * truth).sum(axes) + SMOOTH[pool]
    size = (w * (p * p if squares else p)).sum(axes) + (w * truth).sum(axes) + SMOOTH[pool]
    return 1 - overlap / size


def dice_ce(logits: torch.Tensor, labels: torch.Tensor, *, pool: Pool = "each") -> DiceCe:
    """The same where all voxels count alike."""
    return masked_dice_ce(logits, labels, torch.ones_like(labels, dtype=logits.dtype), pool=pool)
