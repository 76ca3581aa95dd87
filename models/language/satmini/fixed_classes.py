"""One output channel per structure on any backbone: what training without words gives.

Paper: U-Net (Ronneberger et al. 2015) for the plain backbone; `models/backbones/table.py` says it of the others.
Takes: images (b 1 x y z) or (b channels x y).
Returns: logits (b n x y z), or while training a `SegOutput` with the backbone's side answers.
Weights: none bundled; `ostensor fit` with `objective = "supervised"` makes them.
Left out: nothing; it is the plain rival of the networks that take words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ...backbones.network import SegOutput
from ...backbones.table import backbone


@dataclass(frozen=True)
class ClassesConfig:
    """Shape of a `FixedClasses`.

    Attributes:
        dims: 2 for axial slices, 3 for volumes.
        backbone: row of `BACKBONES`.
        options: of the backbone.
        neighbours: slices on each side that a 2-D network sees beside the one it answers for.
        embed: output channels, one per structure.
        stride: sides of the input must be multiples of it; 0 until the network is built.
    """

    dims: int
    backbone: str = "unet"
    options: Mapping[str, Any] = field(default_factory=dict)
    neighbours: int = 0
    embed: int = 0
    stride: int = 0

    @property
    def channels(self) -> int:
        """Channels of the input: a slice in the middle of its neighbours, or 1."""
        return 1 + 2 * self.neighbours

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "options": dict(self.options)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClassesConfig:
        """The `[network]` table of a configuration; what is not the network's own is the backbone's."""
        own = {key: values[key] for key in ("dims", "backbone", "neighbours") if key in values}
        return cls(**own, options={key: value for key, value in values.items() if key not in own})


class FixedClasses(nn.Module):
    """A backbone whose per-voxel answer is one channel per structure.

    It offers what `SatMiniPredictor` asks of a network, so one predictor serves both.

    Attributes:
        config: completed with stride and channels.
    """

    def __init__(self, config: ClassesConfig, structures: Sequence[str]) -> None:
        super().__init__()
        self.structures = tuple(structures)
        self.net = backbone(config.backbone).build(config.dims, config.channels, len(self.structures), config.options)
        stride = math.lcm(*self.net.divisor)
        self.config = replace(config, embed=len(self.structures), stride=stride)

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        """Logits at full resolution, (b n x y z)."""
        said: SegOutput = self.net(image)
        return said.logits

    def query_weights(self, structures: Sequence[str]) -> torch.Tensor:
        """Weights (m n+1) that pick each named structure's channel."""
        rows = torch.zeros(len(structures), len(self.structures) + 1)
        for row, name in enumerate(structures):
            rows[row, self.structures.index(name)] = 1.0
        return rows

    def forward(self, image: torch.Tensor) -> torch.Tensor | SegOutput:
        """Logits; while training, with side answers."""
        said: SegOutput = self.net(image)
        return said if self.training else said.logits
