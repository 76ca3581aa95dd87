"""A plain U-Net's maps, for networks that ask or go on from them.

Source of the shape: U-Net (Ronneberger et al. 2015, arXiv 1505.04597), strided convolutions down, transposed
convolutions up, two convolutions per level, as nnU-Net's plain network (Isensee et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

LEAK = 0.01  # slope of LeakyReLU; Source: Isensee et al. 2021 (nnU-Net)


class UNet(nn.Module):
    """Encoder and decoder of a U-Net; what follows them is the heir's.

    Args:
        dims: 2 or 3.
        channels: of the input.
        features: channels of each level, finest first; each level halves the resolution.
        finest: channels of the finest decoder level, which has one convolution.

    Attributes:
        down: stages of the encoder, finest first.
        up, merge: steps of the decoder, coarsest first.
        widths: channels of the decoder's maps, coarsest first.
        stride: sides of the input must be multiples of it.
    """

    def __init__(self, dims: int, channels: int, features: Sequence[int], finest: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(
                conv_block(dims, features[level - 1] if level else channels, width, stride=2 if level else 1),
                conv_block(dims, width, width),
            )
            for level, width in enumerate(features)
        )
        transposed = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        levels = list(range(len(features) - 1))[::-1]
        out = (finest, *features[1:])
        self.up = nn.ModuleList(transposed(out[n + 1], features[n], 2, stride=2) for n in levels)
        self.merge = nn.ModuleList(
            nn.Sequential(conv_block(dims, 2 * features[n], out[n]), *([conv_block(dims, out[n], out[n])] if n else []))
            for n in levels
        )
        self.widths = tuple(out[n] for n in levels)
        self.stride = 2 ** (len(features) - 1)

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Maps of the encoder, finest first, of (b channels ...) with sides that are multiples of `stride`."""
        maps = []
        for stage in self.down:
            image = stage(image)
            maps.append(image)
        return maps

    def join(self, maps: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Maps of the decoder, coarsest first, from those of the encoder; one that is not asked for is never computed."""
        *skips, x = maps
        for grow, join in zip(self.up, self.merge, strict=True):
            x = join(torch.cat([grow(x), skips.pop()], dim=1))
            yield x

    def decode(self, image: torch.Tensor) -> Iterator[torch.Tensor]:
        """Maps of the decoder, coarsest first; without its last `up` and `merge` the finest is never computed.

        Args:
            image: (b channels x y z) or (b channels x y), sides multiples of 2 ** (levels - 1).
        """
        return self.join(self.encode(image))


def conv_block(dims: int, inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    """A convolution of 3 voxels per side, BatchNorm and LeakyReLU."""
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    return nn.Sequential(
        conv(inside, outside, 3, stride=stride, padding=1, bias=False), norm(outside), nn.LeakyReLU(LEAK)
    )
