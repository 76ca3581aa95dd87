"""The plain U-Net with a head at each of its three finest scales.

Paper: Ronneberger et al. 2015, arXiv 1505.04597; deep supervision as nnU-Net's, Isensee et al. 2021.
Takes: images (b channels x y z) or (b channels x y). Returns: `SegOutput`.
Weights: none published for this shape. Left out: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ...blocks.unet import UNet
from ..network import SegmentationNetwork, SegOutput, halve_weights, name_maps

SCALES = 3  # of the decoder, that answer


class PlainUNet(SegmentationNetwork):
    """`UNet` with heads.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        features: channels of each level, finest first.
        finest: channels of the finest decoder level.
    """

    channels_last = True

    def __init__(self, dims: int, channels: int, classes: int, features: Sequence[int], finest: int) -> None:
        if len(features) < 2:
            raise ValueError("features: a U-Net has two levels or more")
        stride = 2 ** (len(features) - 1)
        super().__init__(dims, channels, classes, [stride] * dims, [stride] * dims)
        self.trunk = UNet(dims, channels, tuple(features), finest)
        point = nn.Conv2d if dims == 2 else nn.Conv3d
        self.heads = nn.ModuleList(point(width, classes, 1) for width in self.trunk.widths[-SCALES:])

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        down = self.trunk.encode(image)
        up = list(self.trunk.join(down))
        *coarse, logits = [head(x) for head, x in zip(self.heads, up[-SCALES:], strict=True)]
        return SegOutput(logits, halve_weights(coarse), name_maps(down, up))


def build(dims: int, channels: int, classes: int, *, features: Sequence[int], finest: int) -> PlainUNet:
    """The backbone "unet"."""
    return PlainUNet(dims, channels, classes, features, finest)
