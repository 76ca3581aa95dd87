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

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

LEAK = 0.01  # slope of LeakyReLU; Source: Isensee et al. 2021 (nnU-Net)


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


def _conv_block(dims: int, inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    return nn.Sequential(
        conv(inside, outside, 3, stride=stride, padding=1, bias=False), norm(outside), nn.LeakyReLU(LEAK)
    )


class SatMini(nn.Module):
    """A U-Net that ends in a feature per voxel, and a text branch that asks it questions.

    Source of the shape: U-Net (Ronneberger et al. 2015), strided convolutions down, transposed
    convolutions up, two convolutions per level, as nnU-Net's plain network; the finest
    decoder level has one.
    """

    def __init__(self, config: SatMiniConfig) -> None:
        super().__init__()
        self.config = config
        dims, widths = config.dims, config.features
        self.down = nn.ModuleList(
            nn.Sequential(
                _conv_block(
                    dims, config.channels if level == 0 else widths[level - 1], width, stride=1 if level == 0 else 2
                ),
                _conv_block(dims, width, width),
            )
            for level, width in enumerate(widths)
        )
        transposed = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        coarse_to_fine = list(range(len(widths) - 1))[::-1]
        out = (config.finest, *widths[1:])
        self.up = nn.ModuleList(transposed(out[n + 1], widths[n], 2, stride=2) for n in coarse_to_fine)
        self.merge = nn.ModuleList(
            nn.Sequential(_conv_block(dims, 2 * widths[n], out[n]), *([_conv_block(dims, out[n], out[n])] if n else []))
            for n in coarse_to_fine
        )
        point = nn.Conv2d if dims == 2 else nn.Conv3d
        # One projection per supervised scale, finest last.
        self.project = nn.ModuleList(point(out[n], config.embed, 1) for n in coarse_to_fine[-3:])
        self.text = nn.Sequential(
            nn.Linear(config.text_dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.embed + 1)
        )

    def pyramid(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Decoder features of the supervised scales, coarsest first, each (b embed ...)."""
        found = list(decoded(image, self.down, self.up, self.merge))[-len(self.project) :]
        return [project(x) for project, x in zip(self.project, found, strict=True)]

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        """One feature per voxel, (b embed x y z), from (b channels x y z); asked once per image."""
        *_, x = decoded(image, self.down, self.up, self.merge)
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

    def supervised(self, image: torch.Tensor, text: torch.Tensor) -> list[torch.Tensor]:
        """Logits of every supervised scale, finest first; for training."""
        weights = self.query_weights(text)
        return [ask(features, weights) for features in reversed(self.pyramid(image))]


def decoded(
    image: torch.Tensor, down: nn.ModuleList, up: nn.ModuleList, merge: nn.ModuleList
) -> Iterator[torch.Tensor]:
    """Decoder maps of a U-Net, coarsest first; with fewer `up` and `merge` the finest ones are never computed."""
    skips = []
    x = image
    for stage in down:
        x = stage(x)
        skips.append(x)
    skips.pop()
    for grow, join in zip(up, merge, strict=True):
        x = join(torch.cat([grow(x), skips.pop()], dim=1))
        yield x


def ask(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Logits (b n x y z) of features (b embed x y z) under text weights (n embed+1).

    Each mask depends on its own text only.
    """
    weights = weights.to(features.dtype)
    scores = torch.matmul(weights[:, :-1], features.flatten(2)) + weights[:, -1:]
    return scores.reshape(features.shape[0], -1, *features.shape[2:])
