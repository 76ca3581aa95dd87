"""Hi-End-MAE's network for segmenting: a plain vision transformer, and UNETR's convolutions that bring its maps to full size.

Paper: Tang et al. 2025, arXiv 2502.08347; code FengheTan9/Hi-End-MAE b0df9c6 (Apache-2.0); the decoder is UNETR, Hatamizadeh et al.
2022, arXiv 2103.10504, of MONAI's blocks.
Takes: volumes (b channels x y z). Returns: `SegOutput`; no side answers.
Weights: what `objective = "hiend-mae"` learns in its encoder; the authors' file is not read, as its layout was not seen.
Left out: stochastic depth. Positions are sines and cosines of any grid, where the authors fix the image's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import nn

from ..network import SegmentationNetwork, SegOutput, name_maps

EPS = 1e-6  # of every norm; Source: FengheTan9/Hi-End-MAE
TEMPERATURE = 10000.0  # of the slowest wave; Source: FengheTan9/Hi-End-MAE, as MoCo v3
RATIO = 4  # of the MLP


class Attention(nn.Module):
    """Every token looks at all of them. Names of layers are timm's."""

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads cannot share {width} channels")
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width)."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen: torch.Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return seen


class Mlp(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, RATIO * width), nn.Linear(RATIO * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width)."""
        found: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return found


class Block(nn.Module):
    """Attention, then the MLP, each behind a norm and beside what came in."""

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=EPS), Attention(width, heads, bias=bias)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=EPS), Mlp(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width)."""
        x = x + self.attn(self.norm1(x))
        found: torch.Tensor = x + self.mlp(self.norm2(x))
        return found


class _Patches(nn.Module):
    """Cubes as tokens."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(channels, width, patch, patch)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width) in the order of the axes."""
        found: torch.Tensor = self.proj(image).flatten(2).transpose(1, 2)
        return found


class Encoder(nn.Module):
    """The transformer. It may be given any of an image's tokens; their positions are the caller's.

    Args:
        width: a multiple of 6, as each axis has sines and cosines.
    """

    def __init__(self, channels: int, width: int, depth: int, heads: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.cls_token, std=0.02)
        self.patch_embed = _Patches(channels, width, patch)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What the last block says, normed, and what each block says; the class token comes first in all.

        Args:
            tokens: (b n width), positions added.
        """
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        each = []
        for block in self.blocks:
            x = block(x)
            each.append(x)
        return self.norm(x), each


def place_codes(grid: Sequence[int], width: int) -> torch.Tensor:
    """Sines and cosines of each axis's index, (1 n width), tokens in the order of the axes.

    Raises:
        ValueError: the width is no multiple of 6.

    Source: Vaswani et al. 2017, arXiv 1706.03762, for each axis as in Hi-End-MAE; the channels' order is ours.
    """
    if width % 6:
        raise ValueError(f"positions of three axes take a width that is a multiple of 6, not {width}")
    waves = TEMPERATURE ** -(torch.arange(width // 6, dtype=torch.float32) / (width // 6))
    places = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in grid), indexing="ij"), -1)
    angles = places.flatten(0, 2)[:, :, None] * waves
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)[None]


class HiEndUnetr(SegmentationNetwork):
    """The network; the transformer gives a map to every level below the finest.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        width, depth, heads: of the transformer.
        patch: side of a token's cube, a power of 2 from 4 up.
        feature: channels of the finest level.
    """

    def __init__(
        self, dims: int, channels: int, classes: int, *, width: int, depth: int, heads: int, patch: int, feature: int
    ) -> None:
        levels = patch.bit_length() - 1
        if patch != 2**levels or levels < 2:
            raise ValueError(f"patch is a power of 2 from 4 up, not {patch}")
        if depth < levels or width % 6:
            raise ValueError(f"depth is {levels} or more and width a multiple of 6, not {depth} and {width}")
        super().__init__(dims, channels, classes, [patch] * dims, [2 * patch] * dims)
        self.encoder = Encoder(channels, width, depth, heads, patch)
        self.taps = [depth * n // levels for n in range(1, levels)]  # 3, 6 and 9 of 12 at a patch of 16, as UNETR
        shape: dict[str, Any] = {"spatial_dims": 3, "kernel_size": 3, "norm_name": "instance", "res_block": True}
        widths = [feature * 2**n for n in range(levels)]
        self.skip0 = UnetrBasicBlock(in_channels=channels, out_channels=feature, stride=1, **shape)
        self.skips = nn.ModuleList(
            UnetrPrUpBlock(
                in_channels=width, out_channels=widths[n], num_layer=levels - 1 - n, stride=1,
                upsample_kernel_size=2, conv_block=True, **shape,
            )
            for n in range(1, levels)
        )  # fmt: skip
        self.ups = nn.ModuleList(
            UnetrUpBlock(in_channels=below, out_channels=one, upsample_kernel_size=2, **shape)
            for one, below in zip(widths, [*widths[1:], width], strict=True)
        )
        self.out = UnetOutBlock(spatial_dims=3, in_channels=feature, out_channels=classes)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        grid = [side // self.encoder.patch for side in image.shape[2:]]
        tokens = self.encoder.patch_embed(image)
        last, each = self.encoder(tokens + place_codes(grid, tokens.shape[2]).to(tokens))

        def as_map(some: torch.Tensor) -> torch.Tensor:
            return some[:, 1:].transpose(1, 2).reshape(len(some), -1, *grid)

        skips = [self.skip0(image), *(s(as_map(each[n])) for s, n in zip(self.skips, self.taps, strict=True))]
        x = as_map(last)
        features = name_maps([*skips, x])
        for level in reversed(range(len(self.ups))):
            x = self.ups[level](x, skips[level])
            features[f"decoder.{level}"] = x
        return SegOutput(self.out(x), (), features)


def build(
    dims: int, channels: int, classes: int, *, width: int, depth: int, heads: int, patch: int, feature: int
) -> HiEndUnetr:
    """The backbone "hiend-unetr"."""
    return HiEndUnetr(dims, channels, classes, width=width, depth=depth, heads=heads, patch=patch, feature=feature)
