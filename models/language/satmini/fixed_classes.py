"""One output channel per structure on any backbone: what training without words gives.

Paper: U-Net (Ronneberger et al. 2015) for the plain backbone; `models/backbones/table.py` says it of the others.
Takes: images (b 1 x y z) or (b channels x y).
Returns: logits (b n x y z), above 0 is inside, or while training a `SegOutput` with the backbone's side answers.
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

OWN = ("dims", "backbone", "neighbours", "window", "exclusive")


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
        window: sides of what it looks at in a volume at once; () where tiles of any size do.
        exclusive: whether the backbone answers the background first, and of all its classes the likeliest counts.
    """

    dims: int
    backbone: str = "unet"
    options: Mapping[str, Any] = field(default_factory=dict)
    neighbours: int = 0
    embed: int = 0
    stride: int = 0
    window: tuple[int, ...] = ()
    exclusive: bool = False

    @property
    def channels(self) -> int:
        """Channels of the input: a slice in the middle of its neighbours, or 1."""
        return 1 + 2 * self.neighbours

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "options": dict(self.options), "window": list(self.window)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClassesConfig:
        """The `[network]` table of a configuration; what is not the network's own is the backbone's."""
        own = {key: values[key] for key in OWN if key in values}
        rest = {key: value for key, value in values.items() if key not in {*own, "options", "embed", "stride"}}
        window = tuple(own.pop("window", ()))
        return cls(**own, window=window, options={**values.get("options", {}), **rest})


class FixedClasses(nn.Module):
    """A backbone whose per-voxel answer is one channel per structure.

    It offers what `SatMiniPredictor` asks of a network, so one predictor serves both.

    Attributes:
        config: completed with stride and channels.
    """

    def __init__(self, config: ClassesConfig, structures: Sequence[str]) -> None:
        super().__init__()
        self.structures = tuple(structures)
        self.net = backbone(config.backbone).build(
            config.dims, config.channels, len(self.structures) + config.exclusive, config.options
        )
        stride = math.lcm(*self.net.divisor)
        self.config = replace(config, embed=len(self.structures), stride=stride)

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        """Logits at full resolution, (b n x y z)."""
        said: SegOutput = self.net(image)
        return against_others(said.logits) if self.config.exclusive else said.logits

    def query_weights(self, structures: Sequence[str]) -> torch.Tensor:
        """Weights (m n+1) that pick each named structure's channel."""
        rows = torch.zeros(len(structures), len(self.structures) + 1)
        for row, name in enumerate(structures):
            rows[row, self.structures.index(name)] = 1.0
        return rows

    def forward(self, image: torch.Tensor) -> torch.Tensor | SegOutput:
        """Logits; while training, with side answers."""
        said: SegOutput = self.net(image)
        if self.training:
            return said
        return against_others(said.logits) if self.config.exclusive else said.logits


def against_others(logits: torch.Tensor) -> torch.Tensor:
    """Of classes that exclude each other (b 1+n ...), background first, how far each of n lies above the best of all others.

    It is above 0 where the class is the likeliest.
    """
    best, second = logits.topk(2, dim=1).values.unbind(1)
    others = torch.where(logits == best[:, None], second[:, None], best[:, None])
    return (logits - others)[:, 1:]
