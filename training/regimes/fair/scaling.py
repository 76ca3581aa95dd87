"""FairSeg's fair error-bound scaling: groups of patients the network serves worse are scaled in the Dice loss.

Paper: Tian et al. 2024, arXiv 2311.02189; code Harvard-Ophthalmology-AI-Lab/FairSeg (no licence at its top; the numbers alone are ours
to compare). A group's weight is tanh((least group loss / its loss)^gamma). It multiplies the group's probabilities before the Dice of
the batch, so that a group served badly cannot reach a loss of 0: a scaling of the error, no weight of a loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F

from ....imaging.errors import BadCall
from ....models.backbones.network import SegOutput
from ....models.checkpoints import Tensors
from ....models.parity import Fixture
from ...objective import LABELLED, MODEL, Batches, Objective, Roles, State
from ..by_words import masks_of
from ..losses import balanced_cross_entropy
from ..row import Lesson
from .groups import UNKNOWN

SMOOTH = 1e-5  # Source: Harvard-Ophthalmology-AI-Lab/FairSeg, DiceLoss
Mode = Literal["prediction", "loss"]


def dice_per_class(p: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One minus soft Dice of each class over batch and space together: of probabilities and masks (b n ...), (n).

    Source: V-Net's form with squares, as FairSeg's code has it.
    """
    axes = [0, *range(2, p.dim())]
    overlap = 2 * (p * targets).sum(axes) + SMOOTH
    return 1 - overlap / ((p * p).sum(axes) + (targets * targets).sum(axes) + SMOOTH)


def loss_of_groups(p: torch.Tensor, targets: torch.Tensor, groups: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """The classes' Dice losses added up, for the samples of each group that is there, (m); no gradient."""
    with torch.no_grad():
        return torch.stack([dice_per_class(p[groups == one], targets[groups == one]).sum() for one in present])


def scale_groups(p: torch.Tensor, targets: torch.Tensor, groups: torch.Tensor, gamma: float) -> torch.Tensor:
    """Weight (b) of every sample, tanh(1) for the group served best and less for the others; 1 where the group is unknown.

    Args:
        groups: number of each sample's group, `UNKNOWN` where nobody said.
    """
    weights = torch.ones(len(groups), dtype=torch.float64, device=p.device)
    present = torch.unique(groups[groups != UNKNOWN])
    if len(present):
        lost = loss_of_groups(p, targets, groups, present).double()
        for one, share in zip(present, lost.min() / lost, strict=True):
            weights[groups == one] = torch.tanh(share**gamma)
    return weights


def scale_as_released(
    p: torch.Tensor, targets: torch.Tensor, groups: torch.Tensor, gamma: float, count: int
) -> torch.Tensor:
    """As the authors' code: of `count` groups a missing one makes every weight 0, and an unknown one is the last."""
    present = torch.unique(groups)
    lost = torch.zeros(count, dtype=torch.float64, device=p.device)
    lost[present] = loss_of_groups(p, targets, groups, present).double()
    return torch.tanh((lost.min() / lost) ** gamma)[groups]


def scaled_dice(p: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The Dice loss of probabilities multiplied by their samples' weights, averaged over classes."""
    return dice_per_class(p * weights.reshape(-1, *[1] * (p.dim() - 1)), targets).mean()


def weighed_dice(p: torch.Tensor, targets: torch.Tensor, groups: torch.Tensor, gamma: float) -> torch.Tensor:
    """The groups' mean Dice losses, each weighed by (its loss / the least)^gamma; the weights' mean is 1. Ours.

    The unknown are one more group.
    """
    present = torch.unique(groups)
    lost = loss_of_groups(p, targets, groups, present)
    weights = (lost / lost.min().clamp(min=SMOOTH)) ** gamma
    each = torch.stack([dice_per_class(p[groups == one], targets[groups == one]).mean() for one in present])
    return (each * weights / weights.mean()).mean()


@dataclass(frozen=True)
class Fair(Objective):
    """Segment a fixed list of structures, cross-entropy beside the scaled Dice loss.

    Attributes:
        structures: name -> label values, in the order of the channels.
        share: of the Dice loss; cross-entropy has the rest. The authors take 0.5 for TransUNet, 0.8 for SAMed.
        gamma: power of the groups' ratio.
        mode: what is weighed, see the module.
        balance: see `balanced_cross_entropy`.
    """

    structures: Mapping[str, tuple[int, ...]]
    share: float = 0.5
    gamma: float = 1.0
    mode: Mode = "prediction"
    balance: float = 0.0

    name = "fair"
    paper = "FairSeg, arXiv 2311.02189"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy" and "dice"."""
        batch = batches[LABELLED]
        if batch.groups is None:
            raise BadCall("The objective 'fair' needs every scan's group. Name a table and its column in [groups].")
        said: SegOutput = roles[MODEL](batch.images)
        logits, groups = said.logits.float(), batch.groups
        targets = masks_of(batch.labels, list(self.structures.values()))
        p = torch.sigmoid(logits)
        if self.mode == "loss":
            dice = weighed_dice(p, targets, groups, self.gamma)
        else:
            dice = scaled_dice(p, targets, scale_groups(p, targets, groups, self.gamma).float())
        cross_entropy = balanced_cross_entropy(logits, targets, self.balance)
        return {"cross_entropy": (1 - self.share) * cross_entropy, "dice": self.share * dice}


def teach_fair(lesson: Lesson) -> Fair:
    """The objective "fair".

    Raises:
        BadCall: an unknown mode.
    """
    mode = lesson.word("mode")
    if mode not in get_args(Mode):
        raise BadCall(f"'{mode}' is no mode of 'fair'. Set one of {', '.join(get_args(Mode))}.")
    share, gamma, balance = (lesson.number(name) for name in ("share", "gamma", "balance"))
    return Fair(lesson.structures, share, gamma, cast(Mode, mode), balance)


def reproduce(fixture: Fixture) -> Tensors:
    """Our values and gradients on a fixture of the official losses, both of whose codes compute the same."""
    given, sizes = fixture.inputs, fixture.sizes
    count, classes = int(sizes["n_attr"]), int(sizes["n_classes"])
    found: Tensors = {}
    for name in fixture.expected:
        if not name.startswith("loss_samed"):
            continue
        variant = name.removeprefix("loss_samed")
        gamma = float(variant.removeprefix("_gamma")) if variant.startswith("_gamma") else float(sizes["gamma"])
        attribute = given["attribute_missing" if variant == "_missing_group" else "attribute"].long()
        logits = given["logits"].clone().requires_grad_()
        p = torch.softmax(logits, 1) if sizes.get("softmax", True) else logits
        targets = F.one_hot(given["target"].long(), classes).movedim(-1, 1).to(p)
        loss = scaled_dice(p, targets, scale_as_released(p, targets, attribute, gamma, count))
        found[f"grad{variant}"] = torch.autograd.grad(loss, logits)[0]
        found[name] = found[f"loss_transunet{variant}"] = loss.detach()[None]
    return found
