"""The rival: pix2pix, a U-Net that paints in one pass and a PatchGAN that judges patches.

Paper: Isola et al. 2017, used to enlarge a crowd-labelled set in arXiv 2409.03087, whose code could not be
read; so this is a baseline of that kind, not a reproduction. Takes maps (b c x y), gives (b 1 x y) in [-1, 1].
Left out: the eight levels of U-Net-256 (our slices are 40 to 128 pixels wide) and random crops of 286 pixels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn


class Generator(nn.Module):
    """U-Net with skips, stride-2 convolutions down, transposed up, dropout in the coarse half, tanh."""

    def __init__(self, maps: int, channels: tuple[int, ...] = (32, 64, 96)) -> None:
        super().__init__()
        sizes = (maps, *channels)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.BatchNorm2d(b), nn.LeakyReLU(0.2))
            for a, b in pairwise(sizes)
        )
        ups = []
        for level in range(len(channels) - 1, -1, -1):
            inputs = channels[level] * (1 if level == len(channels) - 1 else 2)
            outputs = channels[level - 1] if level else channels[0]
            dropout = nn.Dropout(0.5) if level == len(channels) - 1 else nn.Identity()
            ups.append(
                nn.Sequential(
                    nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1),
                    nn.BatchNorm2d(outputs),
                    dropout,
                    nn.ReLU(),
                )
            )
        self.up = nn.ModuleList(ups)
        self.last = nn.Conv2d(channels[0] + maps, 1, 3, padding=1)

    @property
    def stride(self) -> int:
        """Sides must be multiples of this."""
        return int(2 ** len(self.down))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(b 1 x y) of (b c x y)."""
        kept = []
        x = maps
        for block in self.down:
            x = block(x)
            kept.append(x)
        x = self.up[0](kept.pop())
        for block in list(self.up)[1:]:
            x = block(torch.cat([x, kept.pop()], dim=1))
        return torch.tanh(self.last(torch.cat([x, maps], dim=1)))


def discriminator(inputs: int, *, channels: int = 64, layers: int = 3) -> nn.Module:
    """MONAI's PatchGAN; 64 channels and 3 layers see 70 x 70 pixels."""
    from monai.networks import nets

    library: Any = nets
    made: nn.Module = library.PatchDiscriminator(
        spatial_dims=2, channels=channels, in_channels=inputs, num_layers_d=layers
    )
    return made


def logits(judge: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """The patch scores; MONAI answers all its maps, of which the last is the score."""
    maps: Any = judge(pictures)
    last: torch.Tensor = maps[-1]
    return last
