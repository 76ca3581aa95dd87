"""SatMini: the bundled network. Text vectors in, one independent mask per text out.

Paper: own design. The idea of asking for masks by text vectors is SAT's (arXiv 2312.17183);
    here text meets the image only in the last dot product (late fusion), so the image features
    of a scan serve every later query (PERF.md §3).
Takes: images (b 1 x y z) or (b channels x y), text vectors (n text_dim).
Returns: logits (b n x y z); above 0 is inside.
Weights: `models/weights/sat-mini-*.safetensors`; their licences are in `models/weights/CARD.md`.
Left out: SAT's query decoder and memory tokens. Convolutions are followed by BatchNorm, which
    folds away and keeps no statistics of the image, so the result does not depend on tiling
    (PERF.md §2: InstanceNorm lost 0.17 to 0.42 Dice when tiles grew).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from ...blocks.unet import UNet


@dataclass(frozen=True)
class SatMiniConfig:
    """Shape of a SatMini.

    Attributes:
        dims: 2 for axial slices, 3 for volumes.
        features: channels of each level, finest first; each level halves the resolution.
        finest: channels of the finest decoder level, which carries every answer; the finest
            encoder level may be thinner.
        embed: channels of the per-voxel feature that meets the text.
        text_dim: length of a text vector (384 for MiniLM).
        hidden: width of the text branch.
        neighbours: slices on each side that a 2-D network sees beside the one it answers for.
    """

    dims: int
    features: tuple[int, ...]
    finest: int = 16
    embed: int = 16
    text_dim: int = 384
    hidden: int = 128
    neighbours: int = 0

    @property
    def channels(self) -> int:
        """Channels of the input: a slice in the middle of its neighbours, or 1."""
        return 1 + 2 * self.neighbours

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this."""
        return int(2 ** (len(self.features) - 1))

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file beside the weights."""
        return {**asdict(self), "features": list(self.features)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SatMiniConfig:
        """The configuration written by `to_json`."""
        return cls(**{**values, "features": tuple(values["features"])})


class SatMini(UNet):
    """A U-Net that ends in a feature per voxel, and a text branch that asks it questions."""

    def __init__(self, config: SatMiniConfig) -> None:
        super().__init__(config.dims, config.channels, config.features, config.finest)
        self.config = config
        point = nn.Conv2d if config.dims == 2 else nn.Conv3d
        # One projection per supervised scale, finest last.
        self.project = nn.ModuleList(point(width, config.embed, 1) for width in self.widths[-3:])
        self.text = nn.Sequential(
            nn.Linear(config.text_dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.embed + 1)
        )

    def pyramid(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Decoder features of the supervised scales, coarsest first, each (b embed ...)."""
        found = list(self.decode(image))[-len(self.project) :]
        return [project(x) for project, x in zip(self.project, found, strict=True)]

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        """One feature per voxel, (b embed x y z), from (b channels x y z); asked once per image."""
        *_, x = self.decode(image)
        features: torch.Tensor = self.project[-1](x)
        return features

    def query_weights(self, text: torch.Tensor) -> torch.Tensor:
        """Weights and bias that each text puts on the features: (n embed+1) from (n text_dim)."""
        weights: torch.Tensor = self.text(text)
        return weights

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Logits at full resolution.

        Args:
            image: (b channels x y z); sides are multiples of `config.stride`.
            text: (n text_dim), unit length.

        Returns:
            (b n x y z).
        """
        return ask(self.image_features(image), self.query_weights(text))

    def supervised(self, image: torch.Tensor, text: torch.Tensor) -> list[tuple[torch.Tensor, float]]:
        """Logits and weight (1, 1/2, 1/4) of every supervised scale, finest first; for training."""
        weights = self.query_weights(text)
        found = reversed(self.pyramid(image))
        return [(ask(features, weights), 0.5**n) for n, features in enumerate(found)]


def ask(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Logits (b n x y z) of features (b embed x y z) under text weights (n embed+1).

    Each mask depends on its own text only.
    """
    weights = weights.to(features.dtype)
    scores = torch.matmul(weights[:, :-1], features.flatten(2)) + weights[:, -1:]
    return scores.reshape(features.shape[0], -1, *features.shape[2:])
