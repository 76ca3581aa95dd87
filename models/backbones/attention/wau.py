"""WAU: a U-Net that grows its maps by asking the skip's windows what the coarser map holds there.

Paper: "More than Encoder: Introducing Transformer Decoder to Upsample", Li et al. 2021, arXiv 2106.10637; no code was found.
Takes: images (b channels x y) or volumes (b channels x y z). Returns: `SegOutput`; no side answers.
Weights: none published. A reconstruction: the direction of the attention follows from the sizes; the window, the bias and the widths
are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.unet import conv_block
from ...blocks.windows import Sides, cut_tokens, join, pad_tokens, partition
from ..network import SegmentationNetwork, SegOutput, name_maps, resize


def cross_index(window: Sides, table: Sides) -> torch.Tensor:
    """Row of the table of biases for each fine token and each coarse one of a window: (fine coarse).

    A coarse token 2j of the fine grid and a fine one i lie i - 2j apart; the table has prod(4 side - 2) rows.

    Args:
        window: coarse tokens on each side, at most those of `table`.
    """
    index = torch.zeros(1, 1, dtype=torch.int64)
    for side, most in zip(window, table, strict=True):
        apart = torch.arange(2 * side)[:, None] - 2 * torch.arange(side)[None] + 2 * (most - 1)
        index = (index[:, None, :, None] * (4 * most - 2) + apart[None, :, None, :]).flatten(2).flatten(0, 1)
    return index


class WindowUpsample(nn.Module):
    """A map of twice the sides: tokens of the skip ask those of the coarser map in the same place; the resized map is added.

    Args:
        coarse, fine: channels of the two maps; the answer has those of the skip.
        window: coarse tokens on a side.
    """

    def __init__(self, dims: int, coarse: int, fine: int, heads: int, window: int) -> None:
        super().__init__()
        if fine % heads:
            raise ValueError(f"{heads} heads do not divide {fine} channels")
        self.heads, self.window = heads, (window,) * dims
        self.norm_fine, self.norm_coarse = nn.LayerNorm(fine), nn.LayerNorm(coarse)
        self.query, self.key_value, self.proj = (
            nn.Linear(fine, fine),
            nn.Linear(coarse, 2 * fine),
            nn.Linear(fine, fine),
        )
        self.table = nn.Parameter(torch.zeros((4 * window - 2) ** dims, heads))
        self.residual = (nn.Conv2d if dims == 2 else nn.Conv3d)(coarse, fine, 1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(b fine 2x 2y ..) of a map (b coarse x y ..) and a skip of the answer's shape."""
        sides = tuple(x.shape[2:])
        window = tuple(min(size, side) for size, side in zip(self.window, sides, strict=True))
        padded = [-(-side // size) * size for side, size in zip(sides, window, strict=True)]
        keys, values = self._cut(self.key_value(self.norm_coarse(x.movedim(1, -1))), padded, window, 2)
        double, twice = [2 * side for side in padded], [2 * size for size in window]
        (queries,) = self._cut(self.query(self.norm_fine(skip.movedim(1, -1))), double, twice, 1)
        told = F.scaled_dot_product_attention(queries, keys, values, self._bias(x, window, padded))
        grown = join(told.transpose(1, 2).flatten(2), twice, double)
        answer = self.proj(cut_tokens(grown, skip.shape[2:])).movedim(-1, 1)
        out: torch.Tensor = answer + resize(self.residual(x), skip.shape[2:])
        return out

    def _cut(self, x: torch.Tensor, padded: Sides, window: Sides, parts: int) -> torch.Tensor:
        """Windows of a map (b sides parts·c): (parts, b·windows, heads, tokens, c/heads)."""
        tokens = partition(pad_tokens(x, padded), window)
        return tokens.reshape(*tokens.shape[:2], parts, self.heads, -1).permute(2, 0, 3, 1, 4)

    def _bias(self, x: torch.Tensor, window: Sides, padded: Sides) -> torch.Tensor:
        """Added before the softmax: (1 or b·windows, heads, fine, coarse); minus infinity where a coarse token only pads."""
        bias = self.table[cross_index(window, self.window).to(x.device)].permute(2, 0, 1)[None]
        if list(x.shape[2:]) == list(padded):
            return bias
        real = pad_tokens(torch.ones(1, *x.shape[2:], 1, device=x.device), padded)
        pads = partition(real, window).squeeze(-1)[:, None, None] == 0
        return bias.masked_fill(pads, -math.inf).repeat(x.shape[0], 1, 1, 1)


class WAUNet(SegmentationNetwork):
    """A U-Net with `WindowUpsample` between its levels.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        features: channels of each level, finest first; each halves the resolution.
        heads: of the step up to each level but the coarsest, finest first.
        window: coarse tokens on a side; a fine window has twice as many.
    """

    def __init__(
        self, dims: int, channels: int, classes: int, *, features: Sequence[int], heads: Sequence[int], window: int
    ) -> None:
        if len(features) < 2 or len(heads) != len(features) - 1:
            raise ValueError("features has two levels or more, and heads one number less")
        if window < 1:
            raise ValueError(f"window is 1 or more, not {window}")
        divisor = 2 ** (len(features) - 1)
        super().__init__(dims, channels, classes, [divisor] * dims, [2 * divisor] * dims)
        before = [channels, *features[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(conv_block(dims, one, width, stride=2 if n else 1), conv_block(dims, width, width))
            for n, (one, width) in enumerate(zip(before, features, strict=True))
        )
        self.up = nn.ModuleList(
            WindowUpsample(dims, features[n + 1], features[n], heads[n], window) for n in range(len(heads))
        )
        self.merge = nn.ModuleList(
            nn.Sequential(conv_block(dims, 2 * width, width), conv_block(dims, width, width)) for width in features[:-1]
        )
        self.head = (nn.Conv2d if dims == 2 else nn.Conv3d)(features[0], classes, 1)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        x, down = image, []
        for stage in self.down:
            x = stage(x)
            down.append(x)
        up = []
        for grow, merge, skip in zip(reversed(self.up), reversed(self.merge), reversed(down[:-1]), strict=True):
            x = merge(torch.cat([grow(x, skip), skip], dim=1))
            up.append(x)
        features = name_maps(down, up)
        return SegOutput(self.head(x), features=features)


def build(
    dims: int, channels: int, classes: int, *, features: Sequence[int], heads: Sequence[int], window: int
) -> WAUNet:
    """The backbone "wau"."""
    return WAUNet(dims, channels, classes, features=features, heads=heads, window=window)
