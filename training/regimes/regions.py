"""MambaClinix's region-specific Tversky loss: each region of a patch weighs its own misses and false marks.

Paper: Bian et al. 2024, arXiv 2409.12533; code CYB08/MambaClinix-PyTorch ba1af65 (Apache-2.0). In every region of a grid, alpha grows
with the share of false marks among the errors and beta with that of misses, so that a region is pressed where it errs.
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

LEAST, SPAN = 0.3, 0.4  # alpha and beta lie in LEAST to LEAST + SPAN; Source: CYB08/MambaClinix-PyTorch
SMOOTH = 1e-5  # on means over a region, no sums; Source: CYB08/MambaClinix-PyTorch
WEIGHT = 0.8  # beside cross-entropy and Dice; Source: CYB08/MambaClinix-PyTorch


def region_tversky(
    p: torch.Tensor,
    targets: torch.Tensor,
    grid: Sequence[int],
    *,
    least: float = LEAST,
    span: float = SPAN,
    smooth: float = SMOOTH,
    together: bool = True,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Minus the mean Tversky index over regions and classes, in [-1, 0].

    Args:
        p, targets: probabilities and masks (b n ...).
        grid: regions along each axis; they overlap where they do not divide the side.
        least, span: alpha is least + span * (share of false marks); with 0.5 and 0 every region's index is its Dice.
        together: whether the batch counts as one picture.
        mask: (b 1 ...), 1 where voxels count.
    """
    hit, wrong, missed = p * targets, p * (1 - targets), (1 - p) * targets
    pooled = [_pool(one if mask is None else one * mask, grid) for one in (hit, wrong, missed)]
    if together:
        pooled = [one.sum(0) for one in pooled]
    tp, fp, fn = pooled
    alpha = least + span * (fp + smooth) / (fp + fn + smooth)
    beta = least + span * (fn + smooth) / (fp + fn + smooth)
    index: torch.Tensor = (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)
    return -index.mean()


def _pool(x: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    """Means over the regions."""
    if x.dim() == 4:
        return F.adaptive_avg_pool2d(x, (grid[0], grid[1]))
    return F.adaptive_avg_pool3d(x, (grid[0], grid[1], grid[2]))


@dataclass(frozen=True)
class RegionTversky(Objective):
    """Segment a fixed list of structures by cross-entropy and Dice, as "supervised", and the finest answer by regions.

    Attributes:
        structures: name -> label values, in the order of the channels.
        regions: along each axis, at most as many as the patch has voxels there.
        weight: of the regions' term.
        balance: see `balanced_cross_entropy`.
    """

    structures: Mapping[str, tuple[int, ...]]
    regions: int = 16
    weight: float = WEIGHT
    balance: float = 0.0

    name = "region-tversky"
    paper = "MambaClinix, arXiv 2409.12533"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy", "dice" and "regions"; the last lies below 0."""
        batch = batches[LABELLED]
        said: SegOutput = roles[MODEL](batch.images)
        scales = [said.logits, *(one.logits for one in said.aux)]
        values = list(self.structures.values())
        targets = [masks_of(at_sides(batch.labels, one.shape[2:]), values) for one in scales]
        terms = over_scales(scales, targets, self.balance, [1.0, *(one.weight for one in said.aux)])
        grid = [min(self.regions, side) for side in batch.labels.shape[1:]]
        return {**terms, "regions": self.weight * region_tversky(torch.sigmoid(scales[0].float()), targets[0], grid)}


def teach_region_tversky(lesson: Lesson) -> RegionTversky:
    """The objective "region-tversky".

    Raises:
        BadCall: a number of regions below 1.
    """
    regions = int(lesson.number("regions"))
    if regions < 1:
        raise BadCall(f"There are {regions} regions along each axis. Set `regions` to 1 or more; the authors take 16.")
    return RegionTversky(lesson.structures, regions, lesson.number("weight"), lesson.number("balance"))


def reproduce(fixture: Fixture) -> Tensors:
    """Our values on a fixture of the official loss, and the first one's gradient."""
    given, sizes = fixture.inputs, fixture.sizes
    logits = given["logits"].clone().requires_grad_()
    p = torch.softmax(logits, 1)
    targets = F.one_hot(given["label"][:, 0].long(), p.shape[1]).movedim(-1, 1).to(p)
    regions = sizes["num_region_per_axis"]
    grid = (regions,) * (p.dim() - 2) if isinstance(regions, int) else tuple(regions)
    least, span, smooth = float(sizes["alpha"]), float(sizes["beta"]), float(sizes["smooth"])
    together, start = bool(sizes["batch_dice"]), 0 if sizes["do_bg"] else 1

    def value(
        start: int = start,
        grid: tuple[int, ...] = grid,
        weights: tuple[float, float] = (least, span),
        together: bool = together,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return region_tversky(
            p[:, start:], targets[:, start:], grid, least=weights[0], span=weights[1], smooth=smooth,
            together=together, mask=mask,
        )  # fmt: skip

    dice = (0.5, 0.0)
    loss = value()
    found = {
        "loss": loss,
        "loss_background": value(start=0),
        "loss_per_sample": value(together=False),
        "loss_dice": value(weights=dice),
        "loss_masked": value(mask=given["mask"].float()),
        "loss_one_region_dice": value(grid=(1,) * len(grid), weights=dice),
    }
    grad = torch.autograd.grad(loss, logits)[0]
    return {"grad": grad} | {name: one.detach()[None] for name, one in found.items()}
