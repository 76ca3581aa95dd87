"""3DSAM-adapter: SAM's transformer made to see cubes, clicks that look at the features they lie on, a head of four scales.

Paper: Gong et al. 2024, "3DSAM-adapter: Holistic Adaptation of SAM from 2D to 3D for Promptable Medical Image Segmentation",
    Medical Image Analysis, arXiv 2306.13465; med-air/3DSAM-adapter (no licence file; nothing is copied).
Takes: a crop (b 3 d h w) of 128 voxels per side, slices first, and clicks in it, which carry no label.
Returns: logits (b 2 d h w) of background and structure.
Weights: the authors' files, one for each structure, brought by the user.
Left out: training. The position code of the clicks is in the weights, but the released code never uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.sam.decoder import ShrunkAttention
from ...blocks.sam.vit import Mlp
from .encoder import Encoder, EncoderConfig, count_bytes


@dataclass(frozen=True)
class Adapter3dConfig:
    """Sizes; the defaults are the published ones.

    Attributes:
        heads: of the prompt module's attention.
        hidden: of its MLP.
        depth: its layers.
        queries: learned ones beside the clicks.
        inner: channels of the head.
        classes: background and what is meant.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    heads: int = 8
    hidden: int = 2048
    depth: int = 2
    queries: int = 10
    inner: int = 128
    classes: int = 2


class ClickLayer(nn.Module):
    """Learned queries and clicks attend to each other; then the picture attends to the queries.

    `cross_attn_token_to_image` is in the authors' files and never used.
    """

    def __init__(self, config: Adapter3dConfig) -> None:
        super().__init__()
        width, heads = config.encoder.out, config.heads
        self.global_query = nn.Parameter(torch.zeros(1, config.queries, width))
        self.self_attn = ShrunkAttention(width, heads)
        self.cross_attn_token_to_image = ShrunkAttention(width, heads, 2)
        self.cross_attn_image_to_token = ShrunkAttention(width, heads, 2)
        self.mlp = Mlp(width, config.hidden, nn.ReLU)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))

    def forward(self, image: torch.Tensor, clicks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Picture (b n width) and clicks (b m width), after they looked at each other."""
        tokens = torch.cat([self.global_query.expand(len(clicks), -1, -1), clicks], dim=1)
        tokens = self.norm2(tokens + self.norm1(self.self_attn(tokens, tokens, tokens)))
        queries, clicks = tokens.split([self.global_query.shape[1], clicks.shape[1]], dim=1)
        queries = self.norm3(queries + self.mlp(queries))
        image = self.norm4(image + self.cross_attn_image_to_token(image, queries, queries))
        return image, clicks


class _Layered(nn.Module):
    def __init__(self, config: Adapter3dConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ClickLayer(config) for _ in range(config.depth))


class Clicked(nn.Module):
    """The prompt module: clicks are what the features hold where they lie."""

    positional_encoding_gaussian_matrix: torch.Tensor

    def __init__(self, config: Adapter3dConfig) -> None:
        super().__init__()
        self.transformer = _Layered(config)
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(3, config.encoder.out // 2))

    def forward(self, features: torch.Tensor, points: torch.Tensor, size: int) -> torch.Tensor:
        """Features (b c h w d) that know of the clicks (b n 3): slice, column, row in a crop of `size` voxels per side."""
        at = (points + 0.5) * 2 / size - 1
        clicks = F.grid_sample(features, at[:, None, None], align_corners=False)[:, :, 0, 0].transpose(1, 2)
        image = features.flatten(2).transpose(1, 2)
        for layer in self.transformer.layers:
            image, clicks = layer(image, clicks)
        known: torch.Tensor = image.transpose(1, 2).unflatten(2, features.shape[2:])
        return known


def _twice(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a in (inside, outside):
        layers += [nn.Conv3d(a, outside, 3, padding=1, bias=False), nn.InstanceNorm3d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class _Scales(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.head2, self.head3, self.head4, self.head5 = (_twice(inside, outside) for _ in range(4))

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        heads = (self.head2, self.head3, self.head4, self.head5)
        grown = [_doubled(head(one)) for head, one in zip(heads, features, strict=True)]
        return torch.cat(grown, dim=1)


class Head(nn.Module):
    """Four feature cubes, doubled and joined with the picture, as logits of the crop."""

    def __init__(self, config: Adapter3dConfig) -> None:
        super().__init__()
        inner = config.inner
        self.mlahead = _Scales(config.encoder.out, inner)
        self.cls = nn.Sequential(
            nn.Conv3d(4 * inner + 1, inner, 3, padding=1, bias=False),
            nn.InstanceNorm3d(inner),
            nn.ReLU(),
            nn.Conv3d(inner, config.classes, 3, padding=1, bias=False),
        )

    def forward(self, features: Sequence[torch.Tensor], picture: torch.Tensor) -> torch.Tensor:
        """Logits (b classes h w d); `picture` (b 1 h w d) has two voxels per token side."""
        return _doubled(self.cls(torch.cat([self.mlahead(features), picture], dim=1)))


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)


@dataclass(frozen=True)
class Seen:
    """A crop as the network sees it: its four features, and itself at two voxels per token side (b 1 h w d)."""

    features: tuple[torch.Tensor, ...]
    picture: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return count_bytes([*self.features, self.picture])


class Adapter3d(nn.Module):
    """The network: `encode` a crop once, `decode` any clicks."""

    def __init__(self, config: Adapter3dConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.feature, self.decoder = Encoder(config.encoder), Clicked(config), Head(config)

    def encode(self, crop: torch.Tensor) -> Seen:
        """Of a crop (b 3 d h w)."""
        side = 2 * self.config.encoder.grid
        picture = F.interpolate(crop[:, :1].permute(0, 1, 3, 4, 2), size=[side] * 3, mode="trilinear")
        return Seen(tuple(self.encoder(crop)), picture)

    def clicked(self, seen: Seen, points: torch.Tensor) -> torch.Tensor:
        """The last features, which know of the clicks (b n 3); see `Clicked`."""
        prompted: torch.Tensor = self.feature(seen.features[-1], points, self.config.encoder.crop)
        return prompted

    def decode(self, seen: Seen, points: torch.Tensor) -> torch.Tensor:
        """Logits (b classes d h w)."""
        features = [*seen.features[:-1], self.clicked(seen, points)]
        logits: torch.Tensor = self.decoder(features, seen.picture)
        return logits.permute(0, 1, 4, 2, 3)
