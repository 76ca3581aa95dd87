"""What lies where, learned beside the sentences: a head on the image encoder's features, for training only.

FLanS starts from SAM's encoder, which has seen a billion masks. Our small encoder starts from nothing, so every
picture also teaches it all its labels at once. The head is not part of the network and is thrown away. Ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..models.flans import FlansConfig, FlansFeatures
from .referring import LESION, ORGANS

CLASSES = 1 + len(ORGANS) + 2  # background, structures, dark and bright lesions
_HIDDEN = (32, 16)  # channels at strides 4 and 2
_BACKGROUND = 0.9  # about its share of a picture


class DenseHead(nn.Module):
    """From the encoder's features to class logits (b classes 4*grid 4*grid)."""

    def __init__(self, config: FlansConfig) -> None:
        super().__init__()
        first, second = _HIDDEN
        self.up1 = nn.ConvTranspose2d(config.encoder.out, first, 2, stride=2)
        self.up2 = nn.ConvTranspose2d(first, second, 2, stride=2)
        widths = zip(config.decoder.fine, _HIDDEN, strict=True) if config.decoder.fine else ()
        self.fine = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels, width in widths)
        self.last = nn.Conv2d(second, CLASSES, 1)
        # Starting from the usual shares: else the first steps teach "nearly all is background" through the encoder,
        # whose features then become the same everywhere.
        with torch.no_grad():
            start = torch.full((CLASSES,), math.log((1 - _BACKGROUND) / (CLASSES - 1)))
            start[0] = math.log(_BACKGROUND)
            self.last.bias = nn.Parameter(start)

    def forward(self, features: FlansFeatures) -> torch.Tensor:
        """Logits of the pictures as they were encoded, that is with their element undone."""
        x = self.up1(features.embedding)
        x = F.gelu(x + self.fine[0](features.fine[0]) if features.fine else x)
        x = self.up2(x)
        x = F.gelu(x + self.fine[1](features.fine[1]) if features.fine else x)
        logits: torch.Tensor = self.last(x)
        return logits


def dense_shares(labels: torch.Tensor, side: int) -> torch.Tensor:
    """How much of each of side x side cells each class covers, (b classes side side), of labels (b h w)."""
    table = torch.zeros(LESION + 100, dtype=torch.long)
    for number, value in enumerate(ORGANS, start=1):
        table[value] = number
    values = torch.arange(LESION, LESION + 100)
    table[LESION:] = 1 + len(ORGANS) + ((values - LESION) % 20 >= 10).long()
    one_hot = F.one_hot(table[labels], CLASSES).permute(0, 3, 1, 2).float()
    return F.adaptive_avg_pool2d(one_hot, side)


def dense_loss(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against the shares plus soft Dice, averaged over the classes the batch holds."""
    probabilities = logits.softmax(1)
    overlap = 2 * (probabilities * shares).sum((0, 2, 3)) + 1
    size = (probabilities**2).sum((0, 2, 3)) + (shares**2).sum((0, 2, 3)) + 1
    held = shares.amax((0, 2, 3)) > 0
    return F.cross_entropy(logits, shares) + (1 - overlap / size)[held].mean()
