"""3DSAM-adapter's image encoder: SAM's transformer on a cube of tokens, with an adapter before every block.

Part of 3DSAM-adapter (network.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.sam.vit import EPS, Attention, Mlp, Patches, build_neck, cut_in_windows, join_windows
from ...blocks.sam.vit import EncoderConfig as FlatConfig

AXES = "hwd"  # rows, columns, slices
APART = -100.0  # added between tokens that a shift brought together
POOLED = 2  # the table of positions is SAM's, pooled by this


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes; the defaults are the published ones.

    Attributes:
        grid: tokens per side of the cube.
        patch: pixels per token side in a slice.
        thick: slices per token.
        tables: sides the tables of relative positions were made for, one for each block; they are interpolated to the window.
        window: tokens per side of a window; the first block and every second after it are shifted by half of it.
    """

    grid: int = 32
    patch: int = 16
    thick: int = 16
    width: int = 768
    heads: int = 12
    hidden: int = 3072
    inner: int = 384
    window: int = 8
    out: int = 256
    tables: tuple[int, ...] = (14, 14, 64, 14, 14, 64, 14, 14, 64, 14, 14, 64)

    @property
    def size(self) -> int:
        """Pixels per side of a slice, once it is enlarged."""
        return self.grid * self.patch

    @property
    def crop(self) -> int:
        """Voxels per side of the crop it takes: four for each token."""
        return 4 * self.grid


class Adapter(nn.Module):
    """Down, a depthwise convolution over the neighbours, up; ReLU after each, added to the input."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.conv = nn.Conv3d(inner, inner, 3, padding=1, groups=inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (b h w d c)."""
        small = F.relu(self.linear1(x)).movedim(-1, 1)
        small = F.relu(self.conv(small)).movedim(1, -1)
        return x + F.relu(self.linear2(small))


class Block(nn.Module):
    """An adapter, attention in (perhaps shifted) windows, an MLP."""

    attn_mask: torch.Tensor | None

    def __init__(self, config: EncoderConfig, table: int, *, shifted: bool) -> None:
        super().__init__()
        width = config.width
        self.window, self.shift = config.window, config.window // 2 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.attn = Attention(width, config.heads, [table] * len(AXES), AXES, scaled=True)
        self.mlp = Mlp(width, config.hidden, nn.GELU)
        self.adapter = Adapter(width, config.inner)
        self.register_buffer("attn_mask", mask_windows(config.grid, config.window, self.shift) if shifted else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (b h w d c)."""
        x = self.adapter(x)
        read = torch.roll(self.norm1(x), [-self.shift] * 3, (1, 2, 3))
        windows, counts = cut_in_windows(read, self.window)
        mask = None if self.attn_mask is None else self.attn_mask.repeat(len(x), 1, 1)
        read = join_windows(self.attn(windows, mask), counts, x.shape[1:-1])
        x = x + torch.roll(read, [self.shift] * 3, (1, 2, 3))
        result: torch.Tensor = x + self.mlp(self.norm2(x))
        return result


def mask_windows(grid: int, window: int, shift: int) -> torch.Tensor:
    """What is added to the attention of each window (windows n n): tokens from opposite ends of the cube do not see each other."""
    parts = torch.zeros(grid)
    parts[grid - window : grid - shift], parts[grid - shift :] = 1, 2
    cube = parts[:, None, None] * 9 + parts[None, :, None] * 3 + parts[None, None, :]
    windows = cut_in_windows(cube[None, ..., None], window)[0].flatten(1)
    return torch.where(windows[:, None] != windows[:, :, None], APART, 0.0)


class Encoder(nn.Module):
    """From a crop (b 3 d h w) of four voxels per token to four feature cubes (b out h w d)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.patch_embed = Patches(FlatConfig(size=config.size, patch=config.patch, width=width))
        self.slice_embed = nn.Conv3d(width, width, (1, 1, config.thick), stride=(1, 1, config.thick), groups=width)
        side = POOLED * config.grid
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, width))
        self.depth_embed = nn.Parameter(torch.ones(1, config.grid, width))
        self.blocks = nn.ModuleList(Block(config, table, shifted=n % 2 == 0) for n, table in enumerate(config.tables))
        self.neck_3d = nn.ModuleList(build_neck(3, width, config.out) for _ in range(4))

    def forward(self, crop: torch.Tensor) -> list[torch.Tensor]:
        """The features after each quarter of the blocks.

        Raises:
            ValueError: the crop is no cube of the configured size.
        """
        if tuple(crop.shape[1:]) != (3, *[self.config.crop] * 3):
            raise ValueError(
                f"the encoder takes crops of {self.config.crop} voxels per side, got {tuple(crop.shape[1:])}"
            )
        x = self._tokens(crop) + self._places()
        each = len(self.blocks) // len(self.neck_3d)
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if (number + 1) % each == 0:
                found.append(self.neck_3d[number // each](x.movedim(-1, 1)))
        return found

    def _tokens(self, crop: torch.Tensor) -> torch.Tensor:
        """(b h w d c): the crop is enlarged, its slices are cut into patches, and slices are joined."""
        large = F.interpolate(crop, size=[self.config.size] * 3, mode="trilinear")
        b, _, slices = large.shape[:3]
        flat = self.patch_embed(large.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, slices))
        tokens: torch.Tensor = self.slice_embed(flat.permute(0, 2, 3, 4, 1))
        return tokens.movedim(1, -1)

    def _places(self) -> torch.Tensor:
        plane = F.avg_pool2d(self.pos_embed.movedim(-1, 1), POOLED).movedim(1, -1)
        return plane[:, :, :, None] + self.depth_embed[:, None, None]


def read_sizes(state: dict[str, torch.Tensor]) -> EncoderConfig:
    """Sizes of the encoder's weights.

    Raises:
        KeyError: one that tells a size is missing.
    """
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    depth = sum(key.startswith("blocks.") and key.endswith(".attn.qkv.weight") for key in state)
    tables = [state[f"blocks.{n}.attn.rel_pos_h"].shape for n in range(depth)]
    hidden, inner = state["blocks.0.mlp.lin1.weight"].shape[0], state["blocks.0.adapter.linear1.weight"].shape[0]
    return EncoderConfig(
        grid=state["depth_embed"].shape[1],
        patch=patch,
        thick=state["slice_embed.weight"].shape[-1],
        width=width,
        heads=width // tables[0][1],
        hidden=hidden,
        inner=inner,
        window=_cube_root(state["blocks.0.attn_mask"].shape[-1]),
        out=state["neck_3d.0.0.weight"].shape[0],
        tables=tuple((rows + 1) // 2 for rows, _ in tables),
    )


def _cube_root(count: int) -> int:
    return round(math.pow(count, 1 / 3))


def count_bytes(parts: Sequence[torch.Tensor]) -> int:
    """Memory some tensors hold."""
    return sum(one.numel() * one.element_size() for one in parts)
