"""finetune-SAM's objective: cross-entropy and Dice of every class, on the weights its recipe teaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..objective import LABELLED, MODEL, Batches, Objective, Roles, State
from .losses import Chance, class_cross_entropy, class_dice_loss, shrink_labels


def taught_parameters(net: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Those that ask for a gradient; the others are in no group, so nothing changes them."""
    return [value for value in net.parameters() if value.requires_grad]


@dataclass(frozen=True)
class ByClasses(Objective):
    """Labels are brought to the size of the logits.

    Attributes:
        dice_of: see `losses.class_dice_loss`.
    """

    dice_of: Chance = "sigmoid"

    name = "by-classes"
    paper = "finetune-SAM, arXiv 2404.09957"

    def groups(self, roles: Roles) -> dict[str, list[torch.nn.Parameter]]:
        """What the recipe teaches."""
        return {"main": taught_parameters(roles[MODEL])}

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy" and "dice"."""
        batch = batches[LABELLED]
        logits = roles[MODEL](batch.images).float()
        labels = shrink_labels(batch.labels, logits.shape[-1])
        return {
            "cross_entropy": class_cross_entropy(logits, labels),
            "dice": class_dice_loss(logits, labels, self.dice_of),
        }
