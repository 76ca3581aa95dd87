"""A small network that finds under which of the eight symmetries a square picture is.

Source: FLanS (arXiv 2410.12831) canonicalises by a learned subgroup of O(2). Its published code undoes
an element in the wrong order, which breaks mirrored odd quarter turns; here the inverse turns back
first and then mirrors (`square.py`). The scorer is one network run on all eight copies (spec §11), hence exactly
equivariant without steerable filters.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.square import ELEMENTS, undo_element


@dataclass(frozen=True)
class ScorerConfig:
    """The canonicaliser's network.

    Attributes:
        channels, kernel, layers: of its convolutions; pooled by two after the first two.
        pool: the picture is averaged over squares of so many pixels first.
        grid: cells per side of the map its answer is read from.
    """

    channels: int = 8
    kernel: int = 5
    layers: int = 3
    pool: int = 4
    grid: int = 8


class Canonicaliser(nn.Module):
    """Scores (b 8): how much each element looks like the one that was applied to an upright picture.

    One network f looks at the eight undone copies: s(g) = f(undo g x). Therefore s of a moved picture is
    s with its places moved, by construction. Straight-through: the choice is one-hot on the way forward,
    the softmax's gradient (beta 1) on the way back.
    """

    def __init__(self, config: ScorerConfig, in_channels: int = 1) -> None:
        super().__init__()
        self.config = config
        widths = [in_channels] + [config.channels] * config.layers
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, config.kernel, padding=config.kernel // 2) for a, b in itertools.pairwise(widths)
        )
        self.readout = nn.Linear(config.channels * config.grid**2, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Scores (b 8) of square pictures (b c h w); the first channels it was made for are used."""
        seen = pictures[:, : self.convs[0].in_channels]
        copies = torch.stack([undo_element(g, seen) for g in range(ELEMENTS)], dim=1)
        scores: torch.Tensor = self._one(copies.flatten(0, 1)).view(len(pictures), ELEMENTS)
        return scores

    def _one(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] >= 4 * self.config.pool * self.config.grid:
            x = F.avg_pool2d(x, self.config.pool)
        for number, conv in enumerate(self.convs):
            x = F.elu(conv(x))
            if number < 2 and len(self.convs) > 1:
                x = F.max_pool2d(x, 2)
        x = F.adaptive_avg_pool2d(x, self.config.grid)
        result: torch.Tensor = self.readout(x.flatten(1))
        return result


def chosen(scores: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """One-hot (b 8) of the best element, with the softmax's gradient.

    Args:
        allowed: boolean (b 8) or (8); others cannot be chosen (laterality known: only turns).
    """
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    soft = scores.softmax(1)
    hard = F.one_hot(scores.argmax(1), ELEMENTS).to(soft.dtype)
    return hard + soft - soft.detach()


def prior_loss(scores: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of scores (b 8) against the elements (b) that were applied to upright pictures.

    For untouched upright pictures the element is 0, the identity; for the others the equivariance
    of the scores makes it the same term. Source: FLanS, prior on the identity.
    """
    return F.cross_entropy(scores, elements)
