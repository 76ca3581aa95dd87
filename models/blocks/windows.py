"""Attention inside windows of a map, for images and volumes.

Source: Swin, Liu et al. 2021, arXiv 2103.14030 (windows, shift, relative bias); D-Former, Wu et al. 2022, arXiv 2201.00462
(dilated groups).
Maps are channels-last here: (b x y c) or (b x y z c), `sides` are x y or x y z. A token that only pads is never seen by one of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

Sides = Sequence[int]


def partition(x: torch.Tensor, window: Sides, *, dilated: bool = False) -> torch.Tensor:
    """A map (b sides c) as windows (b·windows tokens c); sides are multiples of the window.

    Args:
        dilated: a window's tokens lie side / window apart instead of next to each other.
    """
    dims, many = len(window), x.shape[0]
    counts = [side // size for side, size in zip(x.shape[1:-1], window, strict=True)]
    split = [
        part
        for count, size in zip(counts, window, strict=True)
        for part in ((size, count) if dilated else (count, size))
    ]
    windows, tokens = _axes(dims, dilated)
    cut = x.reshape(many, *split, x.shape[-1]).permute(0, *windows, *tokens, 2 * dims + 1)
    return cut.reshape(many * math.prod(counts), math.prod(window), x.shape[-1])


def join(windows: torch.Tensor, window: Sides, sides: Sides, *, dilated: bool = False) -> torch.Tensor:
    """The map (b sides c) whose `partition` the windows are."""
    dims, width = len(window), windows.shape[-1]
    counts = [side // size for side, size in zip(sides, window, strict=True)]
    of_windows, of_tokens = _axes(dims, dilated)
    order = (0, *of_windows, *of_tokens, 2 * dims + 1)
    back = [order.index(axis) for axis in range(2 * dims + 2)]
    return windows.reshape(-1, *counts, *window, width).permute(back).reshape(-1, *sides, width)


def _axes(dims: int, dilated: bool) -> tuple[list[int], list[int]]:
    """Where the windows' and the tokens' axes lie once every side is split in two."""
    odd, even = list(range(1, 2 * dims, 2)), list(range(2, 2 * dims + 1, 2))
    return (even, odd) if dilated else (odd, even)


def pad_tokens(x: torch.Tensor, sides: Sides) -> torch.Tensor:
    """A map (b sides c) grown with zeros at its ends."""
    grown = [0, 0]
    for side, now in zip(reversed(sides), reversed(x.shape[1:-1]), strict=True):
        grown += [0, side - now]
    return F.pad(x, grown) if any(grown) else x


def cut_tokens(x: torch.Tensor, sides: Sides) -> torch.Tensor:
    """The beginning of a map (b sides c)."""
    return x[(slice(None), *(slice(side) for side in sides))]


def relative_index(window: Sides, table: Sides, *, colliding: bool = False) -> torch.Tensor:
    """Row of the table of relative biases for each pair of tokens: (tokens tokens).

    Args:
        window: tokens on each side, at most those of `table`.
        table: the window the table was made for; it has prod(2 side - 1) rows.
        colliding: the strides of nnFormer and of what follows it, 3 w - 1 and 2 w - 1 in a volume, with which different offsets share
            a row. Only to load such weights.
    """
    places = torch.cartesian_prod(*(torch.arange(side) for side in window)).reshape(-1, len(window))
    offsets = places[:, None] - places[None] + torch.tensor(table) - 1
    spans = [2 * side - 1 for side in table]
    strides = [math.prod(spans[axis + 1 :]) for axis in range(len(table))]
    if colliding:
        strides = [3 * table[0] - 1, 2 * table[0] - 1, 1][-len(table) :]
    return (offsets * torch.tensor(strides)).sum(-1)


@dataclass(frozen=True)
class Layout:
    """How a map is cut into windows.

    Attributes:
        window: tokens on each side.
        padded: the map's sides before it is cut, multiples of the window.
        shift: by which the windows are moved against the map.
        masked: tokens that pad are not seen by those of the map.
    """

    window: tuple[int, ...]
    padded: tuple[int, ...]
    shift: tuple[int, ...]
    dilated: bool = False
    masked: bool = True

    def labels(self, sides: Sides) -> torch.Tensor | None:
        """(windows tokens): a token is seen by those with its label only; None where all see each other."""
        pads = self.masked and self.padded != tuple(sides)
        if not pads and not any(self.shift):
            return None
        found = torch.zeros(1, *self.padded, 1, dtype=torch.int64)
        for axis, (side, whole, shift) in enumerate(zip(sides, self.padded, self.shift, strict=True)):
            place = torch.arange(whole).reshape([-1 if n == axis + 1 else 1 for n in range(len(sides) + 2)])
            found = found + (place >= whole - shift) * 2**axis  # what came round from the other end
            if pads:
                found = found.masked_fill((place + shift) % whole >= side, -(2 ** len(sides)))
        labels = partition(found, self.window, dilated=self.dilated).squeeze(-1)
        return labels.clamp(min=-1)


class WindowAttention(nn.Module):
    """Multi-head attention among the tokens of each window.

    Args:
        table: window the relative biases are for; None: there are none.
        colliding: see `relative_index`.
    """

    def __init__(self, width: int, heads: int, table: Sides | None, *, colliding: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide {width} channels")
        self.heads, self.window, self.colliding = heads, table, colliding
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = None
        if table is not None:
            self.table = nn.Parameter(torch.empty(math.prod(2 * side - 1 for side in table), heads))
            nn.init.trunc_normal_(self.table, std=0.02)  # Source: arXiv 2103.14030, code

    def forward(self, windows: torch.Tensor, layout: Layout, labels: torch.Tensor | None) -> torch.Tensor:
        """Windows (b·windows tokens c) after attention; the layout's labels, if any."""
        count, tokens, width = windows.shape
        qkv = self.qkv(windows).reshape(count, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, self._bias(count, layout.window, labels, windows))
        out: torch.Tensor = self.proj(seen.transpose(1, 2).reshape(count, tokens, width))
        return out

    def _bias(self, count: int, window: Sides, labels: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor | None:
        """What is added before the softmax: (windows or 1, heads or 1, tokens, tokens)."""
        bias = None
        if self.table is not None and self.window is not None:
            index = relative_index(window, self.window, colliding=self.colliding).to(like.device)
            bias = self.table[index].permute(2, 0, 1)[None].to(like.dtype)
        if labels is None:
            return bias
        labels = labels.to(like.device)
        apart = (labels[:, :, None] != labels[:, None, :])[:, None]
        base = like.new_zeros(1) if bias is None else bias
        return base.masked_fill(apart, -math.inf).repeat(count // labels.shape[0], 1, 1, 1)


class Mlp(nn.Module):
    """Two linear maps with GELU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(... c) to (... c)."""
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class WindowBlock(nn.Module):
    """A transformer layer (norms first) whose attention stays inside windows.

    Args:
        window: tokens on each side; a map that is smaller is one window there, without a shift.
        ratio: of the MLP's inner width.
        shifted: windows are moved by half of their side.
        dilated: see `partition`.
        biased: relative position biases.
        colliding: see `relative_index`.
        masked: see `Layout`. False as in Swin's and nnFormer's code, whose padding is seen.
    """

    def __init__(
        self, width: int, heads: int, window: Sides, *, ratio: float = 4, shifted: bool = False, dilated: bool = False,
        biased: bool = True, colliding: bool = False, masked: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.window, self.shifted, self.dilated, self.masked = tuple(window), shifted, dilated, masked
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, self.window if biased else None, colliding=colliding)
        self.mlp = Mlp(width, int(width * ratio))

    def layout(self, sides: Sides) -> Layout:
        """How a map of these sides is cut."""
        window = tuple(min(size, side) for size, side in zip(self.window, sides, strict=True))
        shift = tuple(
            size // 2 if self.shifted and side > size else 0 for size, side in zip(self.window, sides, strict=True)
        )
        padded = tuple(-(-side // size) * size for side, size in zip(sides, window, strict=True))
        return Layout(window, padded, shift, self.dilated, self.masked)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b sides c) to one of the same shape."""
        sides = tuple(x.shape[1:-1])
        cut, axes = self.layout(sides), list(range(1, x.dim() - 1))
        inside = pad_tokens(self.norm1(x), cut.padded)
        if any(cut.shift):
            inside = inside.roll([-by for by in cut.shift], axes)
        windows = self.attn(partition(inside, cut.window, dilated=cut.dilated), cut, cut.labels(sides))
        inside = join(windows, cut.window, cut.padded, dilated=cut.dilated)
        if any(cut.shift):
            inside = inside.roll(list(cut.shift), axes)
        x = x + cut_tokens(inside, sides)
        out: torch.Tensor = x + self.mlp(self.norm2(x))
        return out
