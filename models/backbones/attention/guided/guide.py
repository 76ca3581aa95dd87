"""What guides a scale: attention over places and over channels, times what a semantic network rebuilds; twice, for four scales.

Source: Sinha and Dolz 2020, arXiv 1906.02849, figure 1 and eq. 1-7; graph of sinAshish/Multi-Scale-Attention, class DAF_stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....blocks.gates import ChannelAttention, PositionAttention
from ...network import resize

SCALES = 4


class Semantic(nn.Module):
    """An encoder and decoder without skips, whose bottleneck says what is seen and whose answer rebuilds its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([_double(width, 2 * width), _double(2 * width, 4 * width)])
        self.decoder = nn.ModuleList(
            nn.Sequential(*_double(inside, inside // 2), nn.ConvTranspose2d(inside // 2, inside // 2, 2, stride=2))
            for inside in (4 * width, 2 * width)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The bottleneck as vectors (b n), and the input rebuilt; sides of x are even."""
        half = F.max_pool2d(self.encoder[0](x), 2)
        quarter = F.max_pool2d(self.encoder[1](half), 2)
        return quarter.flatten(1), self.decoder[1](resize(self.decoder[0](quarter), half.shape[2:]))


class Attended(nn.Sequential):
    """An attention between two convolutions, from twice the width to it."""

    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__(*_unit(2 * width, width), attention, *_unit(width, width))


class Guide(nn.Module):
    """One pass over all scales: the semantic network is one for all, everything else one for each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.semantic = Semantic(2 * width)

        def each(make: Any) -> nn.ModuleList:
            return nn.ModuleList(make() for _ in range(SCALES))

        self.places = each(lambda: Attended(width, PositionAttention(width)))
        self.channels = each(lambda: Attended(width, ChannelAttention()))
        self.rebuilt = each(partial(nn.Conv2d, 2 * width, width, 3, padding=1))
        self.out = each(partial(nn.Conv2d, width, width, 1))

    def forward(self, scale: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Attention for one scale (b width h w), the vectors, and x (b 2*width h w) rebuilt."""
        vectors, rebuilt = self.semantic(x)
        seen = (self.places[scale](x) + self.channels[scale](x)) * self.rebuilt[scale](rebuilt)
        return self.out[scale](seen), vectors, rebuilt


class SelfGuided(nn.Module):
    """What comes after the trunk; scales are counted from the finest.

    Args:
        widths: channels of the trunk's maps.
        width: of everything here.
    """

    def __init__(self, widths: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Sequential(*_unit(one, width, size=1)) for one in widths)
        self.fuse = nn.Sequential(*_unit(SCALES * width, width), *_unit(width, width), *_unit(width, width, size=1))
        self.first, self.second = Guide(width), Guide(width)
        self.heads_before = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in widths)
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in widths)

    def forward(self, maps: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """By name and scale: logits "before.i" and "after.i" at a quarter of the image's sides, and what they are made of."""
        sides = maps[0].shape[2:]
        down = [resize(layer(x), sides) for layer, x in zip(self.down, maps, strict=True)]
        fused = self.fuse(torch.cat(down[::-1], dim=1))
        said = {"fused": fused}
        for i, x in enumerate(down):
            said[f"input.first.{i}"] = torch.cat([x, fused], dim=1)
            seen, said[f"vectors.first.{i}"], said[f"rebuilt.first.{i}"] = self.first(i, said[f"input.first.{i}"])
            said[f"attention.{i}"] = seen
            said[f"input.second.{i}"] = torch.cat([x, seen * fused], dim=1)
            seen, said[f"vectors.second.{i}"], said[f"rebuilt.second.{i}"] = self.second(i, said[f"input.second.{i}"])
            said[f"refined.{i}"] = seen
            said[f"before.{i}"], said[f"after.{i}"] = self.heads_before[i](x), self.heads[i](seen)
        return said


def _unit(inside: int, outside: int, size: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(inside, outside, size, padding=size // 2), nn.BatchNorm2d(outside), nn.PReLU()]


def _double(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for one in (inside, outside):
        layers += [nn.Conv2d(one, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)
