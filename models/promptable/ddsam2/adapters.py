"""DD-SAM2's adapters: narrow, look near and far, widen; added to what a block of SAM 2's encoder answers.

Paper: Xu et al. 2025, "Depthwise-Dilated Convolutional Adapters for Medical Object Tracking and Segmentation Using the Segment Anything
    Model 2", arXiv 2507.14613; apple1986/DD-SAM2 (no licence file; nothing is copied).
Takes: tokens (b h w c). Returns: what is to be added to them; there is no residual inside, and no start at zero.
Weights: none published.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def _conv(inside: int, outside: int, size: int, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    padding = dilation * (size // 2)
    return nn.Sequential(nn.Conv2d(inside, outside, size, padding=padding, dilation=dilation, groups=groups), nn.GELU())


class DilatedAdapter(nn.Module):
    """Two depthwise convolutions of different reach side by side, as in the paper."""

    def __init__(self, width: int, rates: tuple[int, int] = (1, 3)) -> None:
        super().__init__()
        inner = width // 2
        self.pw1, self.pw2 = _conv(width, inner, 1), _conv(inner, width, 1)
        self.dw2_1, self.dw2_2 = (_conv(inner, inner, 3, rate, inner) for rate in rates)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (b h w c)."""
        u = self.pw1(x.movedim(-1, 1))
        result: torch.Tensor = self.pw2(self.dw2_1(u) + self.dw2_2(u))
        return result.movedim(1, -1)


class ChainedDilatedAdapter(nn.Module):
    """One after the other, each added to what it read: the released variant for other rates, another function even for two of them."""

    def __init__(self, width: int, rates: Sequence[int] = (1, 3, 5)) -> None:
        super().__init__()
        inner = width // 2
        self.pw1, self.pw2 = _conv(width, inner, 1), _conv(inner, width, 1)
        self.blk = nn.ModuleList(_conv(inner, inner, 3, rate, inner) for rate in rates)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (b h w c)."""
        u = self.pw1(x.movedim(-1, 1))
        for block in self.blk:
            u = u + block(u)
        result: torch.Tensor = self.pw2(u)
        return result.movedim(1, -1)
