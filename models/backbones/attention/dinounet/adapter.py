"""The adapter beside a frozen transformer: maps at 1/4 to 1/32 of an image that read the transformer's tokens.

Paper: ViT-Adapter, Chen et al. 2023, arXiv 2205.08534; the form of Dino U-Net (arXiv 2508.20909), in which the transformer reads nothing back.
Written from its description; parameters bear the names of the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ....blocks.deformable import DeformableAttention
from ...network import resize

LEVELS = 3  # of the tokens that ask: 1/8, 1/16 and 1/32
EXTRAS = 2  # extractors after the last interaction's; Source: released code
NORM_EPS = 1e-6  # Source: released code
Sides = Sequence[tuple[int, int]]


def _conv_norm(inside: int, outside: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]


class SpatialPrior(nn.Module):
    """Convolutions from (b 3 x y) to four maps of `width` channels, at 1/4, 1/8, 1/16 and 1/32."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        stem = [*_conv_norm(3, inner, 2), *_conv_norm(inner, inner, 1), *_conv_norm(inner, inner, 1)]
        self.stem = nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1))
        self.conv2 = nn.Sequential(*_conv_norm(inner, 2 * inner, 2))
        self.conv3 = nn.Sequential(*_conv_norm(2 * inner, 4 * inner, 2))
        self.conv4 = nn.Sequential(*_conv_norm(4 * inner, 4 * inner, 2))
        self.fc1, self.fc2 = nn.Conv2d(inner, width, 1), nn.Conv2d(2 * inner, width, 1)
        self.fc3, self.fc4 = nn.Conv2d(4 * inner, width, 1), nn.Conv2d(4 * inner, width, 1)

    def forward(self, picture: torch.Tensor) -> list[torch.Tensor]:
        """See the class."""
        quarter = self.stem(picture)
        eighth = self.conv2(quarter)
        sixteenth = self.conv3(eighth)
        last = self.conv4(sixteenth)
        return [self.fc1(quarter), self.fc2(eighth), self.fc3(sixteenth), self.fc4(last)]


class _Depthwise(nn.Module):
    """A depthwise convolution, the same for every level of the tokens (b l c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, tokens: torch.Tensor, sides: Sides) -> torch.Tensor:
        parts = tokens.transpose(1, 2).split([rows * columns for rows, columns in sides], dim=2)
        seen = [self.dwconv(part.unflatten(2, side)).flatten(2) for part, side in zip(parts, sides, strict=True)]
        return torch.cat(seen, dim=2).transpose(1, 2)


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.dwconv, self.fc2 = nn.Linear(width, inner), _Depthwise(inner), nn.Linear(inner, width)

    def forward(self, tokens: torch.Tensor, sides: Sides) -> torch.Tensor:
        told: torch.Tensor = self.fc2(F.gelu(self.dwconv(self.fc1(tokens), sides)))
        return told


class Extractor(nn.Module):
    """Tokens of the maps read a map of the transformer, then pass a feed-forward with a convolution."""

    def __init__(self, width: int, heads: int, points: int, ffn: int, value: int) -> None:
        super().__init__()
        self.query_norm, self.feat_norm, self.ffn_norm = (nn.LayerNorm(width, NORM_EPS) for _ in range(3))
        self.attn = DeformableAttention(width, value, heads, points)
        self.ffn = _FeedForward(width, ffn)

    def forward(
        self, tokens: torch.Tensor, around: torch.Tensor, sides: Sides, seen: torch.Tensor, grid: tuple[int, int]
    ) -> torch.Tensor:
        """Tokens (b l width) of maps with these sides, from `seen` (b n width) with the sides `grid`; see `DeformableAttention`."""
        tokens = tokens + self.attn(self.query_norm(tokens), around, self.feat_norm(seen), [grid])
        told: torch.Tensor = tokens + self.ffn(self.ffn_norm(tokens), sides)
        return told


class Interaction(nn.Module):
    """An extractor, and where `extras` more of them."""

    def __init__(self, width: int, heads: int, points: int, ffn: int, value: int, extras: int) -> None:
        super().__init__()
        self.extractor = Extractor(width, heads, points, ffn, value)
        if extras:
            self.extra_extractors = nn.ModuleList(Extractor(width, heads, points, ffn, value) for _ in range(extras))
        self.extras = extras

    def forward(
        self, tokens: torch.Tensor, around: torch.Tensor, sides: Sides, seen: torch.Tensor, grid: tuple[int, int]
    ) -> torch.Tensor:
        """See `Extractor`."""
        for extractor in [self.extractor, *(self.extra_extractors if self.extras else [])]:
            tokens = extractor(tokens, around, sides, seen, grid)
        return tokens


class Adapter(nn.Module):
    """Four maps of `width` channels from an image and the tokens of four of a transformer's layers.

    Args:
        width: of the transformer's tokens.
        inner: channels of the first convolutions.
        heads, points: of deformable attention.
        ffn, value: channels inside its feed-forward, and that it reads.
    """

    def __init__(self, width: int, inner: int, heads: int, points: int, ffn: int, value: int) -> None:
        super().__init__()
        self.level_embed = nn.Parameter(torch.randn(LEVELS, width))
        self.spm = SpatialPrior(inner, width)
        self.interactions = nn.ModuleList(
            Interaction(width, heads, points, ffn, value, EXTRAS if n == LEVELS else 0) for n in range(LEVELS + 1)
        )
        self.up = nn.ConvTranspose2d(width, width, 2, 2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.BatchNorm2d(width) for _ in range(LEVELS + 1))

    def forward(
        self, picture: torch.Tensor, layers: Sequence[torch.Tensor], grid: tuple[int, int]
    ) -> list[torch.Tensor]:
        """Maps at 1/4, 1/8, 1/16 and 1/32.

        Args:
            picture: (b 3 x y), sides multiples of 32.
            layers: tokens of each of the four layers (b rows*columns width), row by row.
            grid: their rows and columns.
        """
        quarter, *maps = self.spm(picture)
        sides = [(one.shape[2], one.shape[3]) for one in maps]
        flat = [one.flatten(2).transpose(1, 2) + place for one, place in zip(maps, self.level_embed, strict=True)]
        tokens, around = torch.cat(flat, dim=1), torch.cat([pixel_middles(side, picture.device) for side in sides])
        for interaction, seen in zip(self.interactions, layers, strict=True):
            tokens = interaction(tokens, around, sides, seen, grid)
        parts = tokens.transpose(1, 2).split([rows * columns for rows, columns in sides], dim=2)
        maps = [part.unflatten(2, side) for part, side in zip(parts, sides, strict=True)]
        maps = [quarter + self.up(maps[0]), *maps]
        norms = (self.norm1, self.norm2, self.norm3, self.norm4)
        shown = [seen.transpose(1, 2).unflatten(2, grid) for seen in layers]
        return [norm(one + resize(seen, one.shape[2:])) for norm, one, seen in zip(norms, maps, shown, strict=True)]


def pixel_middles(side: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Middles of a map's pixels, row by row: (n 2) in [0, 1], along the second and the first axis."""
    first, second = (torch.arange(n, device=device, dtype=torch.float32).add(0.5) / n for n in side)
    return torch.stack([second.repeat(side[0]), first.repeat_interleave(side[1])], dim=-1)
