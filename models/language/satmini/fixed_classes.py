"""A U-Net with one output channel per structure: what training without words gives.

Paper: U-Net (Ronneberger et al. 2015); the trunk is that of `late_fusion.SatMini`.
Takes: images (b 1 x y z) or (b channels x y).
Returns: logits (b n x y z), or while training a list of them, finest first.
Weights: none bundled; `ostensor fit` with `[objective] name = "supervised"` makes them.
Left out: nothing; it is the plain rival of the networks that take words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from .network import SatMini, SatMiniConfig


class FixedClasses(nn.Module):
    """SatMini's trunk whose per-voxel feature is the answer itself: channel n is structure n.

    It offers what `SatMiniPredictor` asks of a network, so one predictor serves both.
    """

    def __init__(self, config: SatMiniConfig, structures: Sequence[str]) -> None:
        super().__init__()
        self.structures = tuple(structures)
        self.trunk = SatMini(replace(config, embed=len(self.structures)))
        self.trunk.text = nn.Sequential()  # no words
        self.config = self.trunk.config

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        """Logits at full resolution, (b n x y z)."""
        return self.trunk.image_features(image)

    def query_weights(self, structures: Sequence[str]) -> torch.Tensor:
        """Weights (m n+1) that pick each named structure's channel."""
        rows = torch.zeros(len(structures), len(self.structures) + 1)
        for row, name in enumerate(structures):
            rows[row, self.structures.index(name)] = 1.0
        return rows

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Logits; of every supervised scale, finest first, while training."""
        if not self.training:
            return self.image_features(image)
        return list(reversed(self.trunk.pyramid(image)))
