"""MambaClinix's loss: the Tversky index of each region of an image, which weighs misses and false marks by what is amiss there.

Paper: Bian et al. 2024, arXiv 2409.12533; code CYB08/MambaClinix-PyTorch, region_specific_tversky_losses.py (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ...imaging.errors import BadCall
from ...models.backbones.network import SegOutput
from ...models.checkpoints import Tensors
from ...models.parity import Fixture
from ..objective import LABELLED, MODEL, Batches, Objective, Roles, State
from .by_words import masks_of
from .losses import at_sides, over_scales
from .row import Lesson

LEAST, SPAN = 0.3, 0.4  # of both weights: 0.3 to 0.7; Source: released code
SMOOTH = 1e-5  # added to means; Source: released code
WEIGHT = 0.8  # beside cross-entropy and Dice; Source: released code
REGIONS = 16  # along each axis; Source: released code


def region_tversky(
    p: torch.Tensor,
    targets: torch.Tensor,
    regions: Sequence[int],
    *,
    least: float = LEAST,
    span: float = SPAN,
    per_image: bool = False,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Minus the mean Tversky index over regions and channels.

    Where marks are mostly false, these weigh more, and misses where there are more of them; both weights are taught through.

    Args:
        p, targets: probabilities and masks (b n ...).
        regions: how many there are along each axis; they overlap where sides do not divide.
        least, span: weights lie between `least` and `least + span`. 0.5 and 0 make it Dice.
        per_image: whether images have an index each, instead of one of the whole batch.
        counted: (b 1 ...), 1 where places count.
    """
    pool = F.adaptive_avg_pool2d if p.dim() == 4 else F.adaptive_avg_pool3d
    parts = torch.stack([p * targets, p * (1 - targets), (1 - p) * targets])
    if counted is not None:
        parts = parts * counted
    means = pool(parts.flatten(0, 1), tuple(regions)).unflatten(0, parts.shape[:2])  # type: ignore[arg-type]  # as many as axes
    hit, wrong, missed = means if per_image else means.sum(1)
    amiss = wrong + missed + SMOOTH
    of_wrong, of_missed = (least + span * (one + SMOOTH) / amiss for one in (wrong, missed))
    index = (hit + SMOOTH) / (hit + of_wrong * wrong + of_missed * missed + SMOOTH)
    mean: torch.Tensor = index.mean()
    return -mean


@dataclass(frozen=True)
class RegionTversky(Objective):
    """Segment a fixed list of structures by cross-entropy, Dice and the Tversky index of regions, at every scale that answers.

    Attributes:
        structures: name -> label values, in the order of the channels.
        balance: see `balanced_cross_entropy`.
        weight: of the index.
        regions: along each axis.
    """

    structures: Mapping[str, tuple[int, ...]]
    balance: float = 0.0
    weight: float = WEIGHT
    regions: int = REGIONS

    name = "region-tversky"
    paper = "MambaClinix, arXiv 2409.12533"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy", "dice" and "regions"; the last is below 0."""
        batch = batches[LABELLED]
        said: SegOutput = roles[MODEL](batch.images)
        scales = [said.logits, *(one.logits for one in said.aux)]
        if scales[0].shape[1] != len(self.structures):
            raise BadCall(
                f"The network has {scales[0].shape[1]} output channels, but {len(self.structures)} structures are "
                "taught. Make them equal."
            )
        values, weights = list(self.structures.values()), [1.0, *(one.weight for one in said.aux)]
        targets = [masks_of(at_sides(batch.labels, one.shape[2:]), values) for one in scales]
        terms = over_scales(scales, targets, self.balance, weights)
        regions = [self.regions] * (scales[0].dim() - 2)
        indices = [
            region_tversky(torch.sigmoid(one.float()), target, regions)
            for one, target in zip(scales, targets, strict=True)
        ]
        shares = torch.tensor(weights, device=scales[0].device) / sum(weights)
        return {**terms, "regions": self.weight * (shares * torch.stack(indices)).sum()}


def teach_regions(lesson: Lesson) -> RegionTversky:
    """The objective "region-tversky"."""
    given = lesson.options
    return RegionTversky(lesson.structures, float(given["balance"]), float(given["weight"]), int(given["regions"]))


def reproduce(fixture: Fixture) -> Tensors:
    """Our values on a fixture of the official code: the loss, its gradient, and its variants."""
    given, sizes = fixture.inputs, fixture.sizes
    logits, regions = given["logits"].requires_grad_(), sizes["num_region_per_axis"]
    targets = F.one_hot(given["label"].long().squeeze(1), logits.shape[1]).movedim(-1, 1).float()
    p = torch.softmax(logits, dim=1)
    weights = {"least": sizes["alpha"], "span": sizes["beta"]}

    first, per_image = 0 if sizes.get("do_bg", False) else 1, not sizes.get("batch_dice", True)

    def of(
        over: Sequence[int] = regions,
        *,
        first: int = first,
        per_image: bool = per_image,
        dice: bool = False,
        counted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        some = {"least": 0.5, "span": 0.0} if dice else weights
        return region_tversky(p[:, first:], targets[:, first:], over, per_image=per_image, counted=counted, **some)

    loss = of()
    (grad,) = torch.autograd.grad(loss, logits, retain_graph=True)
    values = {
        "loss": loss,
        "loss_background": of(first=0),
        "loss_per_sample": of(per_image=True),
        "loss_dice": of(dice=True),
        "loss_masked": of(counted=given["mask"]),
        "loss_one_region_dice": of([1] * len(regions), dice=True),
    }
    return {"grad": grad, **{name: value.detach().reshape(1) for name, value in values.items()}}
