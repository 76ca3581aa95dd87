"""Swin's encoder and the steps between its scales, for images and volumes.

Source: Liu et al. 2021, arXiv 2103.14030 (merging); Cao et al. 2021, arXiv 2105.05537 (expanding). Maps are channels-last: (b sides c).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from .windows import Sides, WindowBlock


class PatchMerging(nn.Module):
    """Half the sides, other channels: 2 neighbours per axis side by side, LayerNorm, linear.

    Args:
        first_fastest: neighbours along the first axis come first, as in Swin's code; else those along the last.
    """

    def __init__(self, dims: int, width: int, out: int, *, first_fastest: bool = False) -> None:
        super().__init__()
        self.dims, self.first_fastest = dims, first_fastest
        self.norm, self.reduction = nn.LayerNorm(2**dims * width), nn.Linear(2**dims * width, out, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b sides c), sides even, to (b sides/2 out)."""
        halves = [side // 2 for side in x.shape[1:-1]]
        places, parities = list(range(1, 2 * self.dims, 2)), list(range(2, 2 * self.dims + 1, 2))
        if self.first_fastest:
            parities.reverse()
        split = x.reshape(x.shape[0], *(part for half in halves for part in (half, 2)), x.shape[-1])
        beside = split.permute(0, *places, *parities, 2 * self.dims + 1).reshape(x.shape[0], *halves, -1)
        out: torch.Tensor = self.reduction(self.norm(beside))
        return out


class PatchExpand(nn.Module):
    """Larger sides, other channels: a linear map whose numbers become neighbours, then LayerNorm.

    Args:
        factors: by which each side grows.
    """

    def __init__(self, width: int, out: int, factors: Sides) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.expand, self.norm = nn.Linear(width, math.prod(factors) * out, bias=False), nn.LayerNorm(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b sides c) to (b sides·factors out)."""
        grown = self.expand(x)
        sides, dims = x.shape[1:-1], len(self.factors)
        split = grown.reshape(x.shape[0], *sides, *self.factors, -1)
        order = [axis for n in range(dims) for axis in (1 + n, 1 + dims + n)]
        beside = split.permute(0, *order, 2 * dims + 1)
        whole = [side * by for side, by in zip(sides, self.factors, strict=True)]
        out: torch.Tensor = self.norm(beside.reshape(x.shape[0], *whole, -1))
        return out


class SwinEncoder(nn.Module):
    """Maps at 1/patch, 1/(2 patch), ... of an image; none of them is normed.

    Args:
        widths: channels of each stage; Swin doubles them.
        depths: blocks of each stage; every other one has its windows shifted.
        windows: tokens on the sides of each stage's windows; one number where they are alike.
        patch: sides of an image are multiples of it times 2 ** (stages - 1).
        masked: see `windows.Layout`.
        first_fastest: see `PatchMerging`.
    """

    def __init__(
        self, dims: int, channels: int, widths: Sequence[int], depths: Sequence[int], heads: Sequence[int],
        windows: Sequence[int | Sides], *, patch: int = 4, ratio: float = 4, masked: bool = True, first_fastest: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if not len(widths) == len(depths) == len(heads) == len(windows):
            raise ValueError("widths, depths, heads and windows are given for every stage")
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.embed, self.norm = conv(channels, widths[0], patch, patch), nn.LayerNorm(widths[0])
        self.merge = nn.ModuleList(
            PatchMerging(dims, fine, coarse, first_fastest=first_fastest) for fine, coarse in pairwise(widths)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    WindowBlock(
                        width,
                        head,
                        [window] * dims if isinstance(window, int) else window,
                        ratio=ratio,
                        shifted=n % 2 == 1,
                        masked=masked,
                    )
                    for n in range(depth)
                )
            )
            for width, depth, head, window in zip(widths, depths, heads, windows, strict=True)
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Maps (b c ...) of an image (b channels ...), finest first."""
        x, maps = self.norm(self.embed(image).movedim(1, -1)), []
        for number, stage in enumerate(self.stages):
            x = stage(self.merge[number - 1](x) if number else x)
            maps.append(x.movedim(-1, 1))
        return maps
