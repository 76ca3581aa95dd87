"""SAM-UNet: SAM's frozen transformer with a ResNet beside it, whose maps enter on the way and meet again before the mask.

Paper: Yang et al. 2024, "SAM-UNet: Enhancing Zero-Shot Segmentation of SAM for Universal Medical Images", arXiv 2408.09886;
    Hhankyangg/sam-unet (no licence file; nothing is copied).
Takes: pictures (b 3 256 256), normalised and padded; points and boxes.
Returns: logits (b 1 64 64) of one learned token; it guesses no IoU.
Weights: none published.
Left out: training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.sam.decoder import DecoderConfig, Layers, TwoWay, attend, build_upscaling
from ...blocks.sam.prompts import PromptEncoder
from ...blocks.sam.sam import Given
from ...blocks.sam.vit import ChannelNorm, EncoderConfig, ImageEncoder

QUARTERS = 4  # of the transformer; a ResNet stage enters each before its last, global block


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of the branch; the defaults are ResNet-50's.

    Attributes:
        stem: channels after the first convolution.
        planes: inner channels of each stage; a bottleneck ends in four times as many.
        blocks: of each stage.
    """

    stem: int = 64
    planes: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    bottleneck: bool = True

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage's map."""
        return tuple(plane * (4 if self.bottleneck else 1) for plane in self.planes)


@dataclass(frozen=True)
class SamUnetConfig:
    """Sizes of the whole; defaults as published."""

    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(size=256))
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    resnet: ResNetConfig = field(default_factory=ResNetConfig)


class _Residual(nn.Module):
    """ResNet's block of two or, as a bottleneck, three convolutions."""

    def __init__(self, inside: int, plane: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        outside = plane * 4 if bottleneck else plane
        shapes = (
            [(inside, plane, 1, 1), (plane, plane, 3, stride), (plane, outside, 1, 1)]
            if bottleneck
            else [(inside, plane, 3, stride), (plane, plane, 3, 1)]
        )
        self._count = len(shapes)
        for number, (a, b, size, step) in enumerate(shapes, start=1):
            setattr(self, f"conv{number}", nn.Conv2d(a, b, size, stride=step, padding=size // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(b))
        self.downsample = (
            nn.Sequential(nn.Conv2d(inside, outside, 1, stride=stride, bias=False), nn.BatchNorm2d(outside))
            if stride != 1 or inside != outside
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        for number in range(1, self._count + 1):
            x = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x))
            x = F.relu(x) if number < self._count else x
        return F.relu(x + shortcut)


class ResNet(nn.Module):
    """Maps at strides 4, 8, 16, 32."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.stage0 = nn.Sequential(
            nn.Conv2d(3, config.stem, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(config.stem),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        inside = config.stem
        for number, (plane, count) in enumerate(zip(config.planes, config.blocks, strict=True), start=1):
            blocks = []
            for one in range(count):
                stride = 2 if one == 0 and number > 1 else 1
                blocks.append(_Residual(inside, plane, stride, bottleneck=config.bottleneck))
                inside = config.widths[number - 1]
            setattr(self, f"stage{number}", nn.Sequential(*blocks))
        self._stages = len(config.planes)

    def forward(self, picture: torch.Tensor) -> list[torch.Tensor]:
        """The maps, finest first."""
        x = self.stage0(picture)
        maps = []
        for number in range(1, self._stages + 1):
            x = getattr(self, f"stage{number}")(x)
            maps.append(x)
        return maps


class Reshaper(nn.Module):
    """A map (b inside side side) as tokens (b width grid grid): halved with twice the channels, or doubled with half of them."""

    def __init__(self, inside: int, side: int, width: int, grid: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while side != grid:
            if side > grid:
                step: nn.Module = nn.Conv2d(inside, inside * 2, 3, stride=2, padding=1)
                inside, side = inside * 2, side // 2
            else:
                step = nn.ConvTranspose2d(inside, inside // 2, 2, stride=2)
                inside, side = inside // 2, side * 2
            layers += [step, ChannelNorm(inside), nn.GELU()]
        self.reshaper = nn.Sequential(*layers, nn.Conv2d(inside, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens."""
        tokens: torch.Tensor = self.reshaper(x)
        return tokens


def build_bridge(inside: int, middle: int, outside: int) -> nn.Sequential:
    """A map grows to four times its sides; it ends without activation."""
    return nn.Sequential(
        nn.ConvTranspose2d(inside, middle, 2, stride=2),
        ChannelNorm(middle),
        nn.GELU(),
        nn.ConvTranspose2d(middle, outside, 2, stride=2),
    )


class TokenDecoder(nn.Module):
    """One learned token draws one mask on the grown map, to which the multi-scale feature is added."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, fine = config.width, config.width // 8
        self.transformer, self.output_upscaling = TwoWay(config), build_upscaling(config)
        self.med_token = nn.Embedding(1, width)
        self.hf_mlp = Layers(width, width, width, fine)
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(fine, 2 * fine, 3, padding=1),
            ChannelNorm(2 * fine),
            nn.GELU(),
            nn.Conv2d(2 * fine, fine, 3, padding=1),
        )

    def forward(
        self,
        image: torch.Tensor,
        code: torch.Tensor,
        sparse: torch.Tensor | None,
        dense: torch.Tensor,
        scales: torch.Tensor,
    ) -> torch.Tensor:
        """Logits (b 1 4h 4w); `scales` (1 or b, width/8, 4h 4w)."""
        tokens, seen = attend(self.transformer, self.med_token.weight, image, code, sparse, dense)
        grown = self.embedding_maskfeature(self.output_upscaling(seen)) + scales
        return torch.einsum("bc,bchw->bhw", self.hf_mlp(tokens[:, 0]), grown)[:, None]


@dataclass(frozen=True)
class Seen:
    """A picture as the network sees it: its embedding and the multi-scale feature."""

    embedding: torch.Tensor
    scales: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return sum(one.numel() * one.element_size() for one in (self.embedding, self.scales))


class SamUnet(nn.Module):
    """The network: `encode` a picture once, `decode` any prompts."""

    def __init__(self, config: SamUnetConfig) -> None:
        super().__init__()
        self.config = config
        encoder, width = config.encoder, config.decoder.width
        self.image_encoder = ImageEncoder(encoder)
        self.prompt_encoder = PromptEncoder(width, encoder.size, config.decoder.mask_channels)
        self.mask_decoder = TokenDecoder(config.decoder)
        self.resnet = ResNet(config.resnet)
        self.adapters_in = nn.ModuleList(
            Reshaper(channels, encoder.size // (4 * 2**n), encoder.width, encoder.grid)
            for n, channels in enumerate(config.resnet.widths)
        )
        self.adapters_bridge = nn.ModuleList(
            build_bridge(encoder.width, width, width // 8) for _ in range(QUARTERS - 1)
        )
        self.embedding_encoder = build_bridge(width, width // 4, width // 8)

    def encode(self, picture: torch.Tensor) -> Seen:
        """Of pictures (b 3 size size); the ResNet sees what pads them, too."""
        maps = self.resnet(picture)
        x = self.image_encoder.tokens(picture)
        each = len(self.image_encoder.blocks) // QUARTERS
        bridged: list[torch.Tensor] = []
        for number, (reshaper, level) in enumerate(zip(self.adapters_in, maps, strict=True)):
            *before, last = self.image_encoder.blocks[number * each : (number + 1) * each]
            for block in before:
                x = block(x)
            x = last(x + reshaper(level).movedim(1, -1))
            if number < QUARTERS - 1:  # the first takes the last bridge; as they are added, nothing else tells
                bridged.append(self.adapters_bridge[QUARTERS - 2 - number](x.movedim(-1, 1)))
        embedding = self.image_encoder.finish(x)
        return Seen(embedding, _total([*bridged, self.embedding_encoder(embedding)]))

    def decode(self, seen: Seen, given: Given) -> torch.Tensor:
        """Logits (b 1 4*grid 4*grid) of prompts on one picture, or on as many as there are sets of prompts."""
        prompts, side = self.prompt_encoder, self.config.encoder.grid
        sparse = prompts.sparse(given.points, given.labels, given.boxes)
        dense = prompts.dense(given.batch, side, given.mask)
        logits: torch.Tensor = self.mask_decoder(
            seen.embedding, prompts.pe_layer.of_grid(side), sparse, dense, seen.scales
        )
        return logits


def _total(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    total = parts[0]
    for one in parts[1:]:
        total = total + one
    return total
