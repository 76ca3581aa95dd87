"""Any backbone asked by words: its channels are a feature per voxel, and each text vector is a question to it.

Paper: the backbone's own, `models/backbones`; asked by text as SAT (Zhao et al. 2023, arXiv 2312.17183), late as in `network.py`.
Takes: images (b 1 x y z) or (b channels x y), text vectors (n text_dim).
Returns: logits (b n x y z); above 0 is inside.
Weights: none bundled; `ostensor fit` with `objective = "text"` and a `backbone` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ...backbones.network import SegOutput
from ...backbones.table import backbone
from .network import ask

OWN = ("dims", "backbone", "neighbours", "embed", "text_dim", "hidden", "window", "stride")


@dataclass(frozen=True)
class QueriedConfig:
    """Shape of a `QueriedBackbone`; what it shares with `SatMiniConfig` means the same.

    Attributes:
        backbone: row of `BACKBONES`.
        options: of the backbone.
        window: sides of what it looks at in a volume at once; () where tiles of any size do.
        stride: sides of the input must be multiples of it; 0 until the network is built.
    """

    dims: int
    backbone: str
    options: Mapping[str, Any] = field(default_factory=dict)
    neighbours: int = 0
    embed: int = 16
    text_dim: int = 384
    hidden: int = 128
    window: tuple[int, ...] = ()
    stride: int = 0

    @property
    def channels(self) -> int:
        """Channels of the input: a slice in the middle of its neighbours, or 1."""
        return 1 + 2 * self.neighbours

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "options": dict(self.options), "window": list(self.window)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> QueriedConfig:
        """The `[network]` table of a configuration; what is not the network's own is the backbone's."""
        own = {key: values[key] for key in OWN if key in values}
        rest = {key: value for key, value in values.items() if key not in {*own, "options"}}
        window = tuple(own.pop("window", ()))
        return cls(**own, window=window, options={**values.get("options", {}), **rest})


class QueriedBackbone(nn.Module):
    """A backbone whose per-voxel answer is a feature, and a text branch that asks it questions.

    Attributes:
        config: completed with stride.
    """

    def __init__(self, config: QueriedConfig) -> None:
        super().__init__()
        self.net = backbone(config.backbone).build(config.dims, config.channels, config.embed, config.options)
        self.config = replace(config, stride=math.lcm(*self.net.divisor))
        self.text = nn.Sequential(
            nn.Linear(config.text_dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.embed + 1)
        )

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        """One feature per voxel, (b embed x y z)."""
        said: SegOutput = self.net(image)
        return said.logits

    def query_weights(self, text: torch.Tensor) -> torch.Tensor:
        """Weights and bias that each text puts on the features: (n embed+1) from (n text_dim)."""
        weights: torch.Tensor = self.text(text)
        return weights

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Logits (b n x y z)."""
        return ask(self.image_features(image), self.query_weights(text))

    def supervised(self, image: torch.Tensor, text: torch.Tensor) -> list[tuple[torch.Tensor, float]]:
        """Logits and weight of every place where the backbone answers, its own answer first; for training."""
        said: SegOutput = self.net(image)
        weights = self.query_weights(text)
        return [(ask(said.logits, weights), 1.0), *((ask(one.logits, weights), one.weight) for one in said.aux)]
