"""The block of VMamba: scans of a map in several orders, and a feed-forward that may look at three scales.

Paper: Liu et al. 2024, arXiv 2401.10166, without gate ("v05_noz"); feed-forward of three scales: Chen et al. 2024, arXiv 2408.13735.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.scans.directions import directions_for
from ...blocks.scans.mamba import decay_logarithms, from_orders, in_orders, scan_groups, start_steps_, unit_skips

SCALES = (1, 3, 5)  # kernels of the feed-forward; Source: gndlwch2w/msvm-unet


@dataclass(frozen=True)
class BlockSizes:
    """Sizes of a block.

    Attributes:
        state: numbers that each scanned channel keeps.
        ratio: channels that are scanned for each of the block's.
        kernel, conv_bias: of the depthwise convolution before the scan.
        mlp_ratio: inner channels of the feed-forward for each of the block's.
    """

    state: int = 1
    ratio: float = 1.0
    kernel: int = 3
    conv_bias: bool = False
    mlp_ratio: float = 4.0


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of maps (b c ...)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class MapLinear(nn.Linear):
    """A linear map of the channels of maps (b c x y)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


class SS2D(nn.Module):
    """Scans of a map (b width x y) in several orders, each with its own projections, summed: no gate.

    Args:
        width: channels.
        sizes: see `BlockSizes`.
        directions: row of `DIRECTIONS`.
    """

    def __init__(self, width: int, sizes: BlockSizes, directions: str) -> None:
        super().__init__()
        inner, state, kernel = int(sizes.ratio * width), sizes.state, sizes.kernel
        self.rank, self.state, self.directions = math.ceil(width / 16), state, directions_for(directions, 2)
        passes = self.directions.passes
        self.in_proj = MapLinear(width, inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=inner, bias=sizes.conv_bias)
        self.x_proj_weight = nn.Parameter(torch.empty(passes, self.rank + 2 * state, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(passes, inner, self.rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(passes, inner))
        self.A_logs, self.Ds = decay_logarithms(passes * inner, state), unit_skips(passes * inner)
        self.out_norm = MapNorm(inner)
        self.out_proj = MapLinear(inner, width, bias=False)
        nn.init.uniform_(self.x_proj_weight, -(inner**-0.5), inner**-0.5)
        start_steps_(self.dt_projs_weight, self.dt_projs_bias, self.rank)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        seen, sides = F.silu(self.conv2d(self.in_proj(x))), tuple(x.shape[2:])
        u = in_orders(seen.flatten(2), self.directions.name, sides)
        parts = torch.einsum("b p d l, p r d -> b p r l", u, self.x_proj_weight)
        low, into, out = parts.split([self.rank, self.state, self.state], dim=2)
        weight, bias = self.dt_projs_weight.flatten(0, 1), self.dt_projs_bias.flatten()
        said = scan_groups(u.flatten(1, 2), low, into, out, weight, bias, self.A_logs, self.Ds)
        merged = from_orders(said, self.directions.name, sides).to(u.dtype).unflatten(2, sides)
        answer: torch.Tensor = self.out_proj(self.out_norm(merged))
        return answer


class _Scales(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dw_convs = nn.ModuleList(
            nn.Conv2d(width, width, size, padding=size // 2, groups=width, bias=False) for size in SCALES
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.stack([conv(x) for conv in self.dw_convs]).sum(0)


class FeedForward(nn.Module):
    """Two linear maps of the channels with GELU between, in the decoder also a look at three scales."""

    def __init__(self, width: int, inner: int, *, scales: bool) -> None:
        super().__init__()
        self.fc1, self.fc2 = MapLinear(width, inner), MapLinear(inner, width)
        self.multiscale_conv = _Scales(inner) if scales else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        told: torch.Tensor = self.fc2(self.multiscale_conv(F.gelu(self.fc1(x))))
        return told


class Block(nn.Module):
    """A scan and a feed-forward, each after a norm and added to what came in: (b width x y).

    Args:
        width: channels.
        sizes: see `BlockSizes`.
        directions: row of `DIRECTIONS`.
        scales: whether the feed-forward looks at three scales.
    """

    def __init__(self, width: int, sizes: BlockSizes, directions: str, *, scales: bool) -> None:
        super().__init__()
        self.norm, self.norm2 = MapNorm(width), MapNorm(width)
        self.op = SS2D(width, sizes, directions)
        self.mlp = FeedForward(width, int(sizes.mlp_ratio * width), scales=scales)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = x + self.op(self.norm(x))
        told: torch.Tensor = x + self.mlp(self.norm2(x))
        return told
