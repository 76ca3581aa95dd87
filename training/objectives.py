"""What a step of training optimises. An objective turns a batch into named losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from ..models.late_fusion import SatMini

SMOOTH = 1.0  # voxels added to both sides of the Dice fraction, so that an empty target is defined


@dataclass(frozen=True)
class Batch:
    """Images (b 1 x y z) and their integer labels (b x y z)."""

    images: torch.Tensor
    labels: torch.Tensor


class Objective(Protocol):
    """A way to train. It owns no optimiser; the trainer does."""

    def losses(self, model: torch.nn.Module, batch: Batch, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Named terms; the trainer minimises their sum."""


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


@dataclass(frozen=True)
class TextPrompted:
    """Segment by words: each step asks for every structure by a random one of its names.

    Also asks for structures that are certainly absent, whose mask must stay empty. Loss per
    scale: binary cross-entropy + soft Dice, scales weighted 1, 1/2, 1/4 (normalised).
    Source: SAT (arXiv 2312.17183), losses and positive/negative queries.

    Attributes:
        structures: name -> label values.
        vectors: every name and synonym -> its unit text vector.
        names: structure -> itself and its synonyms.
        absent: structures to ask for in vain.
        negatives: how many absent ones per step.
        queries: at most so many structures per step, drawn at random; 0 asks for all.
        balance: see `balanced_cross_entropy`.
    """

    structures: Mapping[str, tuple[int, ...]]
    vectors: Mapping[str, torch.Tensor]
    names: Mapping[str, Sequence[str]]
    absent: Sequence[str] = ()
    negatives: int = 2
    queries: int = 0
    balance: float = 0.0

    def losses(self, model: torch.nn.Module, batch: Batch, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy" and "dice"."""
        if not isinstance(model, SatMini):
            raise TypeError(f"text-prompted training needs a SatMini, got {type(model).__name__}")
        wanted = list(self.structures)
        if 0 < self.queries < len(wanted):
            wanted = [wanted[i] for i in rng.permutation(len(wanted))[: self.queries]]
        asked = [str(rng.choice(self.names[name])) for name in wanted]
        drawn = rng.permutation(len(self.absent))[: self.negatives]
        asked += [str(rng.choice(self.names[self.absent[i]])) for i in drawn]
        text = torch.stack([self.vectors[term] for term in asked]).to(batch.images.device)
        scales = model.supervised(batch.images, text)
        weights = np.array([0.5**n for n in range(len(scales))])
        weights /= weights.sum()
        cross_entropy = dice = torch.zeros((), device=batch.images.device)
        for n, (logits, weight) in enumerate(zip(scales, weights, strict=True)):
            targets = self._targets(batch.labels, wanted, 2**n, len(drawn))
            logits = logits.float()
            cross_entropy = cross_entropy + float(weight) * balanced_cross_entropy(logits, targets, self.balance)
            dice = dice + float(weight) * soft_dice_loss(logits, targets)
        return {"cross_entropy": cross_entropy, "dice": dice}

    def _targets(self, labels: torch.Tensor, wanted: Sequence[str], stride: int, empty: int) -> torch.Tensor:
        """Boolean targets as floats (b n x y z), nearest-downsampled; the last `empty` are all zero."""
        picked = labels[(slice(None), *([slice(None, None, stride)] * (labels.dim() - 1)))]
        masks = [torch.isin(picked, torch.tensor(self.structures[name], device=picked.device)) for name in wanted]
        masks += [torch.zeros_like(picked, dtype=torch.bool)] * empty
        return torch.stack(masks, dim=1).float()
