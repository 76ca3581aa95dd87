"""SAM's image encoder: a vision transformer with windows, a few global blocks and a convolutional neck.

Names of layers are those of the published checkpoints, so that they load.
Source: Kirillov et al. 2023, Segment Anything, arXiv 2304.02643; facebookresearch/segment-anything, Apache-2.0. In three dimensions
as SAM-Med3D (uni-medical/SAM-Med3D, Apache-2.0): a third table of relative positions, windows that are cubes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..windows import cut_tokens, join, pad_tokens, partition

EPS = 1e-6  # of every norm over channels, and of those over tokens where a system says nothing else
AXES = {2: "hw", 3: "dhw"}  # tables of relative positions, in the order of the token axes


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder; the defaults are SAM ViT-B.

    Attributes:
        size: pixels per side of the square picture, or the cube.
        patch: pixels per token side.
        global_blocks: indices of blocks that attend over the whole picture; the others within windows.
        window: tokens per window side.
        out: channels of the embedding.
        dims: 2 or 3.
        channels: of the picture.
        crossed: in 3-D, the terms of the relative positions are added as SAM-Med3D's released code does: each with its distances
            along the last key axis, the second and third with the query's last place in the key's first and second. Its weights were
            taught so; it needs cubes.
        eps: of the norms over tokens.
    """

    size: int = 1024
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    window: int = 14
    out: int = 256
    dims: int = 2
    channels: int = 3
    crossed: bool = False
    eps: float = EPS

    @property
    def grid(self) -> int:
        """Tokens per side."""
        return self.size // self.patch


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (b c ...)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        centred = x - x.mean(1, keepdim=True)
        scaled = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + EPS)
        shape = (-1, *[1] * (x.dim() - 2))
        return self.weight.view(shape) * scaled + self.bias.view(shape)


class Mlp(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, width: int, hidden: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.act = activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        result: torch.Tensor = self.lin2(self.act(self.lin1(x)))
        return result


class Attention(nn.Module):
    """Self-attention over (b ... c) with decomposed relative positions along every token axis.

    Args:
        sides: tokens the table of each axis is made for; others are interpolated.
        axes: letters of the tables, in the order of the token axes.
        scaled: the positions' terms have a learned factor `lr`.
        crossed: see `EncoderConfig`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        sides: Sequence[int],
        axes: str,
        *,
        scaled: bool = False,
        crossed: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self._axes, self._crossed = heads, axes, crossed
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        for axis, side in zip(axes, sides, strict=True):
            setattr(self, f"rel_pos_{axis}", nn.Parameter(torch.zeros(2 * side - 1, width // heads)))
        if scaled:
            self.lr = nn.Parameter(torch.tensor(1.0))
        self._scaled = scaled

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Same shape; `mask` (b n n) is added before the softmax."""
        b, *grid, c = x.shape
        q, k, v = self.qkv(x).reshape(b, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        bias = self._positions(q, grid)
        if mask is not None:
            bias = bias + mask[:, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        result: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(b, *grid, c))
        return result

    def _positions(self, q: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
        """What the relative positions add, (b heads n n)."""
        b, heads, n, _ = q.shape
        placed = q.unflatten(2, list(grid))
        total: torch.Tensor | None = None
        for axis, (letter, side) in enumerate(zip(self._axes, grid, strict=True)):
            table = pick_relative(getattr(self, f"rel_pos_{letter}"), side)
            letters = "xyz"[: len(grid)]
            one = torch.einsum(f"bn{letters}c,{letters[axis]}kc->bn{letters}k", placed, table)
            if self._crossed:
                shape = [*grid[:2], *([grid[2], 1, 1], [1, grid[2], 1], [1, 1, grid[2]])[axis], side]
            else:
                shape = [*grid, *(side if n == axis else 1 for n in range(len(grid)))]
            one = one.reshape(b, heads, *shape)
            total = one if total is None else total + one
        assert total is not None
        total = total.reshape(b, heads, n, n)
        return self.lr * total if self._scaled else total


def pick_relative(table: torch.Tensor, side: int) -> torch.Tensor:
    """Rows (side side c) of the table by signed distance, from -(side - 1) on; a table of another length is interpolated."""
    wanted = 2 * side - 1
    if len(table) != wanted:
        table = F.interpolate(table.T[None], size=wanted, mode="linear")[0].T
    at = torch.arange(side, device=table.device)
    return table[at[:, None] - at[None, :] + side - 1]


def cut_in_windows(x: torch.Tensor, side: int) -> tuple[torch.Tensor, list[int]]:
    """Windows (b*windows side ... c) of (b ... c), filled up with zeros, and how many windows there are along each axis."""
    window = [side] * (x.dim() - 2)
    counts = [-(-n // side) for n in x.shape[1:-1]]
    windows = partition(pad_tokens(x, [count * side for count in counts]), window)
    found: torch.Tensor = windows.unflatten(1, window)
    return found, counts


def join_windows(x: torch.Tensor, counts: Sequence[int], grid: Sequence[int]) -> torch.Tensor:
    """The tokens (b ... c) that were cut, without what was filled up."""
    side = x.shape[1]
    whole = join(x.flatten(1, -2), [side] * len(counts), [count * side for count in counts])
    return cut_tokens(whole, grid)


class Block(nn.Module):
    """Pre-norm transformer block; `window` 0 attends over everything.

    Windows at the edge are filled up with zeros, which are attended to as in SAM.

    Args:
        beside: an adapter; it reads what the MLP reads, and its answer is added to the MLP's.
    """

    def __init__(self, config: EncoderConfig, window: int, beside: nn.Module | None = None) -> None:
        super().__init__()
        self.window = window
        self.norm1, self.norm2 = (nn.LayerNorm(config.width, config.eps) for _ in range(2))
        sides = [window or config.grid] * config.dims
        self.attn = Attention(config.width, config.heads, sides, AXES[config.dims], crossed=config.crossed)
        self.mlp = Mlp(config.width, int(config.width * config.mlp_ratio), nn.GELU)
        self.beside = beside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (b ... c)."""
        attended = self.norm1(x)
        if self.window:
            windows, counts = cut_in_windows(attended, self.window)
            attended = join_windows(self.attn(windows), counts, x.shape[1:-1])
        else:
            attended = self.attn(attended)
        x = x + attended
        read = self.norm2(x)
        result: torch.Tensor = x + self.mlp(read)
        return result if self.beside is None else result + self.beside(read)


class Patches(nn.Module):
    """One projection of each patch."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        conv = nn.Conv2d if config.dims == 2 else nn.Conv3d
        self.proj = conv(config.channels, config.width, config.patch, stride=config.patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens as (b width ...)."""
        tokens: torch.Tensor = self.proj(x)
        return tokens


def build_neck(dims: int, width: int, out: int) -> nn.Sequential:
    """From tokens to the embedding: two convolutions without bias, a norm after each."""
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    return nn.Sequential(
        conv(width, out, 1, bias=False), ChannelNorm(out), conv(out, out, 3, padding=1, bias=False), ChannelNorm(out)
    )


class ImageEncoder(nn.Module):
    """From a picture (b channels size size [size]) to its embedding (b out grid grid [grid]).

    Args:
        beside: makes the adapter of each block; see `Block`.
        patches: makes the tokens, (b width grid grid); None for one projection of each patch.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        beside: Callable[[], nn.Module] | None = None,
        patches: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = patches or Patches(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, *[config.grid] * config.dims, config.width))
        self.blocks = nn.ModuleList(
            Block(config, 0 if n in config.global_blocks else config.window, beside and beside())
            for n in range(config.depth)
        )
        self.neck = build_neck(config.dims, config.width, config.out)

    def check(self, picture: torch.Tensor) -> None:
        """Refuse a picture of another size.

        Raises:
            ValueError: it is not square or not of the configured size.
        """
        wanted = (self.config.channels, *[self.config.size] * self.config.dims)
        if tuple(picture.shape[1:]) != wanted:
            told = " x ".join(map(str, wanted))
            raise ValueError(f"the encoder takes pictures of {told}, got {tuple(picture.shape[1:])}")

    def tokens(self, picture: torch.Tensor) -> torch.Tensor:
        """What the first block takes, (b ... width)."""
        self.check(picture)
        placed: torch.Tensor = self.patch_embed(picture).movedim(1, -1) + self.pos_embed
        return placed

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """The embedding of the last block's tokens."""
        embedding: torch.Tensor = self.neck(x.movedim(-1, 1))
        return embedding

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """The embedding.

        Raises:
            ValueError: as of `check`.
        """
        x = self.tokens(picture)
        for block in self.blocks:
            x = block(x)
        return self.finish(x)
