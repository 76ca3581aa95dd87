"""ScribblePrompt-UNet: a picture, clicks, scribbles, a box and the last answer in; one mask out, at once on a CPU.

Paper: Wong et al. 2024, "ScribblePrompt: Fast and Flexible Interactive Segmentation for Any Biomedical Image", ECCV 2024,
    arXiv 2312.07381; halleewong/ScribblePrompt, Apache-2.0. Written anew from the description.
Takes: (b 1 h w) in [0, 1], and marks; whatever was drawn becomes four more channels, so a mark costs a whole pass.
Returns: logits (b 1 h w), which the next round gets back as they are.
Weights: the authors' file, brought by the user (weights.py).
Left out: the variant on SAM ViT-B, whose weights are a SAM's and load there.
Ours beside it: the same in three dimensions, levels of unequal width, and guides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .guides import GUIDES

CHANNELS = 5  # picture, box, what is meant, what is not, last logits


@dataclass(frozen=True)
class ScribbleConfig:
    """Sizes; the defaults are the published ones (3,991,882 weights).

    Attributes:
        features: channels of each level, finest first; between levels the resolution halves, and once more at the bottom.
        dims: 2 as published, or 3.
        guided: whether three channels more say what grey values make of the marks (guides.py); not as published.
    """

    features: tuple[int, ...] = (192, 192, 192, 192)
    dims: int = 2
    guided: bool = False

    @property
    def channels(self) -> int:
        """Of the input."""
        return CHANNELS + GUIDES * self.guided

    @property
    def stride(self) -> int:
        """Sides of the picture must be multiples of it."""
        return int(2 ** len(self.features))


@dataclass(frozen=True)
class Drawn:
    """What a person drew on a batch of pictures. Places are pixel indices along the tensor's own axes (rows first).

    Attributes:
        points: (b n dims) whole numbers, in the order they were made.
        labels: (b n): 1 it is meant, 0 it is not, -1 no point.
        boxes: (b m 2 dims): one corner and the opposite one, in any order; from the smaller up to, without, the larger.
        scribbles: (b 2 ...) in [0, 1]: what is meant, what is not.
        previous: (b 1 ...) logits of the last round.
    """

    points: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    scribbles: torch.Tensor | None = None
    previous: torch.Tensor | None = None


class ScribbleUnet(nn.Module):
    """The network: `forward` takes channels as `channels_of` lays them out. Layers are named as in the published file."""

    def __init__(self, config: ScribbleConfig = ScribbleConfig()) -> None:
        super().__init__()
        self.config = config
        dims, widths = config.dims, config.features
        ins = (config.channels, *widths[:-1])
        self.downs = nn.ModuleList(_Conv(dims, a, b) for a, b in zip(ins, widths, strict=True))
        self.bottleneck = _Conv(dims, widths[-1], widths[-1])
        rising = widths[::-1]
        below = (widths[-1], *rising[:-1])
        steps = [[_Double(dims), _Conv(dims, a + b, b)] for a, b in zip(below, rising, strict=True)]
        self.ups = nn.ModuleList(layer for step in steps for layer in step)
        self.final_conv = _Conv(dims, widths[0], 1, size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (b 1 ...) of channels (b 5 ...), or 8 where it is guided: guides between marks and last logits.

        Raises:
            ValueError: a side is no multiple of the stride.
        """
        if any(side % self.config.stride for side in x.shape[2:]):
            raise ValueError(f"sides must be multiples of {self.config.stride}, got {tuple(x.shape[2:])}")
        pool = F.max_pool2d if self.config.dims == 2 else F.max_pool3d
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
            x = pool(x, 2)
        x = self.bottleneck(x)
        for double, conv, skip in zip(self.ups[::2], self.ups[1::2], skips[::-1], strict=True):
            x = conv(torch.cat([skip, double(x)], dim=1))
        logits: torch.Tensor = self.final_conv(x)
        return logits


class _Conv(nn.Module):
    """A convolution and, unless it is the last (`size` 1), a PReLU of one slope."""

    def __init__(self, dims: int, inside: int, outside: int, *, size: int = 3) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        layer = conv(inside, outside, size, padding=size // 2)
        self.conv = nn.Sequential(layer) if size == 1 else nn.Sequential(layer, nn.PReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.conv(x)
        return result


class _Double(nn.Module):
    """Twice the resolution, linear between the corners."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.mode = "bilinear" if dims == 2 else "trilinear"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode=self.mode, align_corners=True)


def channels_of(image: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """What the network takes, (b 5 ...): picture, filled boxes, what is meant, what is not, last logits.

    A later click replaces an earlier one on the same pixel in both channels; scribbles are added to clicks, up to 1.
    """
    empty = torch.zeros_like(image)
    meant, other = _clicked(empty, drawn)
    if drawn.scribbles is not None:
        meant = (meant + drawn.scribbles[:, :1]).clamp(0, 1)
        other = (other + drawn.scribbles[:, 1:]).clamp(0, 1)
    previous = empty if drawn.previous is None else drawn.previous
    return torch.cat([image, _filled(empty, drawn.boxes), meant, other, previous], dim=1)


def _clicked(empty: torch.Tensor, drawn: Drawn) -> tuple[torch.Tensor, torch.Tensor]:
    meant, other = empty.clone(), empty.clone()
    if drawn.points is None or drawn.labels is None:
        return meant, other
    rows = torch.arange(len(empty), device=empty.device)
    for place, label in zip(drawn.points.long().unbind(1), drawn.labels.unbind(1), strict=True):
        real = label >= 0
        at: tuple[torch.Tensor | int, ...] = (rows[real], 0, *place[real].unbind(1))
        meant[at] = (label[real] == 1).to(empty)
        other[at] = (label[real] == 0).to(empty)
    return meant, other


def _filled(empty: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
    filled = empty.clone()
    if boxes is None:
        return filled
    for row, own in enumerate(boxes):
        for corners in own.long():
            low, high = corners.amin(0).clamp(min=0).tolist(), corners.amax(0).clamp(min=0).tolist()
            inside: tuple[int | slice, ...] = (row, 0, *map(slice, low, high))
            filled[inside] = 1
    return filled


def rescaled(image: torch.Tensor, drawn: Drawn, sides: Sequence[int]) -> tuple[torch.Tensor, Drawn]:
    """Picture and marks at another size: maps linear (scribbles become fractional), places cut down to whole pixels."""
    mode = "bilinear" if image.dim() == 4 else "trilinear"
    old = image.shape[2:]

    def at_size(x: torch.Tensor | None) -> torch.Tensor | None:
        return None if x is None else F.interpolate(x, size=tuple(sides), mode=mode, align_corners=False)

    def placed(x: torch.Tensor | None) -> torch.Tensor | None:
        if x is None:
            return None
        share = torch.tensor([new / side for new, side in zip(sides, old, strict=True)], device=x.device)
        return (x * share).to(torch.int64)

    resized = F.interpolate(image, size=tuple(sides), mode=mode, align_corners=False)
    moved = Drawn(
        placed(drawn.points), drawn.labels, placed(drawn.boxes), at_size(drawn.scribbles), at_size(drawn.previous)
    )
    return resized, moved
