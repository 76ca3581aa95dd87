"""SAM-Med2D: SAM at 256 pixels with an adapter beside the MLP of every block.

Paper: Cheng et al. 2023, "SAM-Med2D", arXiv 2308.16184; OpenGVLab/SAM-Med2D, Apache-2.0. Written anew from the description.
Takes: pictures (b 3 256 256), normalised as SAM's; points, boxes, and the last mask as probabilities.
Returns: logits at a quarter of the side, one mask or three, with the IoU they expect.
Weights: the authors' sam-med2d_b.pth, brought by the user. The adapters weigh 180.5 M of an encoder of 267.2 M.
Left out: training.
"""

from __future__ import annotations

import torch
from torch import nn

from ...blocks.sam.decoder import DecoderConfig
from ...blocks.sam.sam import Sam
from ...blocks.sam.vit import EncoderConfig

RATIO = 0.25  # of the channel gate's inner width. Source: OpenGVLab/SAM-Med2D


class GatedSqueeze(nn.Module):
    """Channels are weighed by the picture's mean, then the map is halved and doubled again; LayerNorm of the sum with the input."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.channel = nn.Sequential(
            nn.Linear(width, inner, bias=False), nn.ReLU(), nn.Linear(inner, width, bias=False), nn.Sigmoid()
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (b h w c); h and w are even."""
        maps = x.movedim(-1, 1)
        gated = maps * self.channel(maps.mean((2, 3)))[..., None, None]
        result: torch.Tensor = self.norm((maps + self.spatial(gated)).movedim(1, -1))
        return result


def build(encoder: EncoderConfig, decoder: DecoderConfig, inner: int | None = None) -> Sam:
    """The network; `inner` is the width inside the channel gates, a quarter of the encoder's as published."""
    width = encoder.width
    return Sam(encoder, decoder, beside=lambda: GatedSqueeze(width, inner or int(width * RATIO)))
