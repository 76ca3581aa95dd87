"""Deformable attention in plain torch: a query looks at a few places of each map, which it chooses itself.

Source: Zhu et al. 2021, Deformable DETR, arXiv 2010.04159, equation 3; fundamentalvision/Deformable-DETR (Apache-2.0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def attend_at(
    value: torch.Tensor, sides: Sequence[tuple[int, int]], places: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted sums of values read between the pixels of maps, 0 outside them.

    Args:
        value: of every pixel of every map, row by row, one map after the other (b l h d).
        sides: of each map.
        places: (b q h levels points 2) in [0, 1] along the second and the first axis of a map; pixels' middles at (n + 0.5) / side.
        weights: (b q h levels points).

    Returns:
        (b q h*d).
    """
    batch, _, heads, width = value.shape
    maps = value.split([rows * columns for rows, columns in sides], dim=1)
    grids = (2 * places - 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)  # (b*h levels q points 2)
    shares = weights.permute(0, 2, 3, 1, 4).flatten(0, 1)
    total = value.new_zeros(batch * heads, width, places.shape[1])
    for level, (one, side) in enumerate(zip(maps, sides, strict=True)):
        flat = one.permute(0, 2, 3, 1).reshape(batch * heads, width, *side)
        read = F.grid_sample(flat, grids[:, level], mode="bilinear", padding_mode="zeros", align_corners=False)
        total = total + (read * shares[:, None, level]).sum(-1)
    return total.reshape(batch, heads * width, -1).transpose(1, 2)


class DeformableAttention(nn.Module):
    """Queries (b q width) read maps of as many channels; parameters bear Deformable DETR's names.

    Args:
        width: of queries, maps and answer.
        inner: channels that are read, a multiple of `heads`.
        heads, points: of each map a head reads `points` places.
        levels: maps.
    """

    def __init__(self, width: int, inner: int, heads: int, points: int, levels: int = 1) -> None:
        super().__init__()
        if inner % heads:
            raise ValueError(f"heads: a divisor of the {inner} channels that are read")
        self.layout = (heads, levels, points)
        self.sampling_offsets = nn.Linear(width, 2 * heads * levels * points)
        self.attention_weights = nn.Linear(width, heads * levels * points)
        self.value_proj, self.output_proj = nn.Linear(width, inner), nn.Linear(inner, width)
        self._start_()

    def _start_(self) -> None:
        """At first a head looks in a direction of its own, its points 1, 2, ... pixels away; all weights are equal."""
        heads, levels, points = self.layout
        with torch.no_grad():
            self.sampling_offsets.weight.zero_()
            self.attention_weights.weight.zero_()
            self.attention_weights.bias.zero_()
            angles = torch.arange(heads) * (2 * math.pi / heads)
            ring = torch.stack([angles.cos(), angles.sin()], dim=-1)
            ring = ring / ring.abs().amax(-1, keepdim=True)
            steps = torch.arange(1, points + 1)[:, None] * ring[:, None, None]  # (h 1 points 2)
            self.sampling_offsets.bias.copy_(steps.expand(heads, levels, points, 2).flatten())

    def forward(
        self, query: torch.Tensor, around: torch.Tensor, maps: torch.Tensor, sides: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        """What the queries read.

        Args:
            query: (b q width).
            around: places that offsets, in pixels of each map, start from (q 2), as `places` of `attend_at`.
            maps: (b l width).
            sides: of each map.
        """
        heads, levels, points = self.layout
        offsets = self.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
        weights = self.attention_weights(query).unflatten(-1, (heads, levels * points)).softmax(-1)
        pixels = torch.tensor([[columns, rows] for rows, columns in sides], dtype=query.dtype, device=query.device)
        places = around[None, :, None, None, None].to(query) + offsets / pixels[:, None]
        value = self.value_proj(maps).unflatten(-1, (heads, -1))
        read: torch.Tensor = self.output_proj(attend_at(value, sides, places, weights.unflatten(-1, (levels, points))))
        return read
