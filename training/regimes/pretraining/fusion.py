"""Volume Fusion: two pictures mixed block by block in a few strengths, and the network tells the strength of every voxel.

Paper: Wang et al. 2023, arXiv 2306.16925 (MIS-FM); code HiLab-git/PyMIC 8bcebd6, `VolumeFusion` (Apache-2.0). What is learned needs no
labels and has the form of a segmentation, so the whole network learns, and only its heads are dropped afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ....models.backbones.network import SegOutput
from ....models.checkpoints import Tensors
from ....models.language.satmini.fixed_classes import FixedClasses
from ....models.parity import Fixture
from ...objective import LABELLED, MODEL, Batches, Objective, Roles, State
from ...start import carry_, heads_of
from ..losses import at_sides
from ..row import Lesson

GAMMA = (0.7, 1.5)  # Source: arXiv 2306.16925, as PyMIC's `Crop4VolumeFusion`
INVERTED = 0.25  # share of pairs; one draw for both. Source: HiLab-git/PyMIC
PERCENTILES = (10.0, 90.0)  # farthest inwards that the darkest and brightest grey value may be cut off; our choice
SMOOTH = 1.0


def draw_blocks(
    sides: Sequence[int], levels: int, share: float, least: Sequence[int], most: Sequence[int], chance: random.Random
) -> npt.NDArray[np.int64]:
    """Levels 0 to `levels` over an image, each block of a random grid having one.

    Args:
        share: of the blocks that have a level above 0; voxels outside whole blocks have 0.
        least, most: sides of a block, for each axis.
        chance: drawn in the order of the authors' code.
    """
    blocks = [chance.randint(low, high) for low, high in zip(least, most, strict=True)]
    starts = [chance.randint(0, side % block) for side, block in zip(sides, blocks, strict=True)]
    places = list(product(*(range(side // block) for side, block in zip(sides, blocks, strict=True))))
    fused = int(len(places) * share)
    chosen = [1] * fused + [0] * (len(places) - fused)
    chance.shuffle(chosen)
    found = np.zeros(tuple(sides), np.int64)
    for place, mixed in zip(places, chosen, strict=True):
        if mixed:
            where = tuple(
                slice(start + n * block, start + (n + 1) * block)
                for n, start, block in zip(place, starts, blocks, strict=True)
            )
            found[where] = chance.randint(1, levels)
    return found


def fuse(front: torch.Tensor, back: torch.Tensor, level: torch.Tensor, levels: int) -> torch.Tensor:
    """The front where the level is `levels`, the back where it is 0, and shares of both between; all of one shape."""
    share = level.double() / levels
    return (share * front + (1 - share) * back).to(front.dtype)


def vary_pair(front: torch.Tensor, back: torch.Tensor, chance: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images (1 ...) in other contrast: cut off, bent, and both inverted or none."""
    invert = chance.random() < INVERTED
    return _varied(front, chance, invert=invert), _varied(back, chance, invert=invert)


def _varied(image: torch.Tensor, chance: random.Random, *, invert: bool) -> torch.Tensor:
    grey = np.asarray(image.float().cpu())
    low, high = np.percentile(grey, (chance.uniform(0, PERCENTILES[0]), chance.uniform(PERCENTILES[1], 100)))
    lowest, highest = float(grey.min()), float(grey.max())
    unit = ((image - float(low)) / max(float(high - low), 1e-6)).clamp(0, 1)
    unit = unit ** chance.uniform(*GAMMA)
    if invert:
        unit = 1 - unit
    return unit * (highest - lowest) + lowest


@dataclass(frozen=True)
class VolumeFusion(Objective):
    """Tell how much of the front each voxel shows, by cross-entropy and Dice over levels.

    Fronts are the batch's images, backs the same images one further on. The network given is built anew with a channel for each
    level; what does not depend on their number keeps its weights.

    Attributes:
        levels: K; there are K + 1 classes.
        share: of blocks with a level above 0.
        least, most: sides of a block in voxels, no longer than half the image.
    """

    levels: int = 4
    share: float = 0.7
    least: int = 8
    most: int = 32

    name = "volume-fusion"
    paper = "MIS-FM, arXiv 2306.16925"

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network with a channel for each level."""
        if not isinstance(model, FixedClasses):
            raise TypeError(f"Volume Fusion trains a backbone of a fixed list, got {type(model).__name__}")
        net = FixedClasses(model.config, [f"level {n}" for n in range(self.levels + 1)])
        carry_(net, model.state_dict(), heads_of(model.config))
        return {MODEL: net}

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy" and "dice"; labels are not looked at."""
        images = batches[LABELLED].images
        if len(images) < 2:
            raise BadCall("Volume Fusion mixes two images of a batch. Set batch to 2 or more.")
        mixed, level = self.mix(images, random.Random(int(state.rng.integers(2**63))))
        said: SegOutput = roles[MODEL](mixed)
        scales = [(said.logits, 1.0), *((one.logits, one.weight) for one in said.aux)]
        whole = sum(weight for _, weight in scales)
        cross_entropy = dice = torch.zeros((), device=images.device)
        for logits, weight in scales:
            logits, target = logits.float(), at_sides(level, logits.shape[2:])
            cross_entropy = cross_entropy + weight / whole * F.cross_entropy(logits, target)
            dice = dice + weight / whole * _dice_loss(logits, target)
        return {"cross_entropy": cross_entropy, "dice": dice}

    def mix(self, images: torch.Tensor, chance: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        """Fused images (b c ...) and their levels (b ...)."""
        sides = images.shape[2:]
        most = [max(1, min(self.most, side // 2)) for side in sides]
        least = [min(self.least, one) for one in most]
        mixed, levels = [], []
        for front, back in zip(images, images.roll(-1, 0), strict=True):
            front, back = vary_pair(front, back, chance)
            level = torch.from_numpy(draw_blocks(sides, self.levels, self.share, least, most, chance)).to(images.device)
            mixed.append(fuse(front, back, level.expand_as(front), self.levels))
            levels.append(level)
        return torch.stack(mixed), torch.stack(levels)


def _dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One minus soft Dice of each class of a softmax, over batch and space, averaged over classes."""
    p = torch.softmax(logits, 1)
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(p)
    axes = [0, *range(2, p.dim())]
    overlap = 2 * (p * truth).sum(axes) + SMOOTH
    return (1 - overlap / (p.sum(axes) + truth.sum(axes) + SMOOTH)).mean()


def teach_volume_fusion(lesson: Lesson) -> VolumeFusion:
    """The objective "volume-fusion".

    Raises:
        BadCall: options that make no blocks or no levels.
    """
    levels, share = int(lesson.number("levels")), lesson.number("share")
    least, most = int(lesson.number("least")), int(lesson.number("most"))
    if levels < 1 or not 0 < share <= 1 or not 1 <= least <= most:
        raise BadCall(
            f"Volume Fusion has {levels} levels in a share of {share:g} of blocks of {least} to {most} voxels. Set levels to 1 or "
            "more, share above 0 and at most 1, and least to 1 or more and at most `most`."
        )
    return VolumeFusion(levels, share, least, most)


def reproduce(fixture: Fixture) -> Tensors:
    """Our levels and fused volume on a fixture of the official transform, chance seeded alike."""
    given, sizes = fixture.inputs, fixture.sizes
    front, back, levels = given["foreground"], given["background"], int(sizes["cls"]) - 1
    level = torch.from_numpy(
        draw_blocks(
            front.shape[1:], levels, float(sizes["ratio"]), sizes["lo"], sizes["hi"],
            random.Random(int(sizes["python_random_seed"])),
        )
    )[None]  # fmt: skip
    return {"label": level.float(), "fused": fuse(front, back, level.expand_as(front), levels)}
