"""FluoroSAM's prompts and decoder: a phrase becomes one of a few thousand codes, which prompts a SAM for X-ray pictures.

Paper: Killeen et al. 2024, "FluoroSAM: A Language-promptable Foundation Model for Flexible X-ray Image Segmentation", arXiv 2403.08059;
    arcadelab/fluorosam (CC BY-NC-SA 4.0; nothing is copied).
Takes: an embedding (b 256 64 64), pooled CLIP vectors of phrases, points, boxes, last logits.
Returns: logits at eight times the embedding's sides, one mask or three, with the IoU they expect, and which code a phrase fell on.
Weights: the authors' file is not offered: half of it is the encoder that is left out.
Left out: the Swin encoder (of mmdet) and the CLIP tower, so this draws on embeddings that are made elsewhere; training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.sam.decoder import MASKS, DecoderConfig, MaskDecoder
from ...blocks.sam.prompts import PromptEncoder
from ...blocks.sam.sam import Given
from ...blocks.sam.vit import ChannelNorm


@dataclass(frozen=True)
class FluoroConfig:
    """Sizes; the defaults are the published ones.

    Attributes:
        size: pixels per side of the picture.
        grid: of the embedding.
        text: width of a pooled text vector.
        codes: how many a phrase may fall on.
    """

    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    size: int = 448
    grid: int = 64
    text: int = 512
    codes: int = 8192


@dataclass(frozen=True)
class Quantised:
    """Vectors (b width) as codes: the codes' own vectors, their numbers (b), and how far the vectors were from them (training)."""

    vectors: torch.Tensor
    index: torch.Tensor
    loss: torch.Tensor


class _Codebook(nn.Module):
    """`embed` (1 codes width) is learned; the counters are in the file, and a learned codebook does not use them."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(1, codes, width))
        self.register_buffer("cluster_size", torch.zeros(1, codes))
        self.register_buffer("embed_avg", torch.zeros(1, codes, width))
        self.register_buffer("initted", torch.ones(()))


class Quantiser(nn.Module):
    """The nearest code stands for a vector; gradients pass through it to the vector as if it were not there.

    Its loss is the mean squared distance, from which both the vectors and their codes learn.
    """

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self._codebook = _Codebook(codes, width)

    def forward(self, x: torch.Tensor) -> Quantised:
        """Of vectors (b width)."""
        codes = self._codebook.embed[0]
        index = torch.cdist(x, codes).argmin(1)
        nearest = codes[index]
        passed = x + (nearest - x).detach() if self.training else nearest
        return Quantised(passed, index, F.mse_loss(nearest, x))


class _TextMlp(nn.Module):
    def __init__(self, text: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(text, text), nn.Linear(text, width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers[1](F.gelu(self.layers[0](x)))
        return result


class PhrasePrompts(PromptEncoder):
    """SAM's prompts, and before them one vector for a phrase."""

    def __init__(self, config: FluoroConfig) -> None:
        width = config.decoder.width
        super().__init__(width, config.size, config.decoder.mask_channels)
        self.clip_mlp, self.vq = _TextMlp(config.text, width), Quantiser(config.codes, width)

    def phrases(self, pooled: torch.Tensor) -> Quantised:
        """Of pooled text vectors (b text), as they are, not normalised."""
        found: Quantised = self.vq(self.clip_mlp(pooled))
        return found


class TravelDecoder(MaskDecoder):
    """SAM's decoder whose map grows three times; `travel_tokens` are in the file and never used."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        width = config.width
        self.travel_tokens = nn.Embedding(MASKS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 4, 2, stride=2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )


class FluoroSam(nn.Module):
    """What comes after the image encoder."""

    def __init__(self, config: FluoroConfig) -> None:
        super().__init__()
        self.config = config
        self.prompt_encoder, self.mask_decoder = PhrasePrompts(config), TravelDecoder(config.decoder)

    def decode(
        self, embedding: torch.Tensor, pooled: torch.Tensor | None, given: Given, *, ambiguous: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b m 8*grid 8*grid) and guessed IoU (b m) of phrases and of what was pointed at."""
        prompts = self.prompt_encoder
        sparse = self.sparse(pooled, given)
        batch = given.batch if pooled is None else len(pooled)
        dense = prompts.dense(batch, self.config.grid, given.mask)
        code = prompts.pe_layer.of_grid(self.config.grid)
        found: tuple[torch.Tensor, torch.Tensor] = self.mask_decoder(
            embedding, code, sparse, dense, ambiguous=ambiguous
        )
        return found

    def sparse(self, pooled: torch.Tensor | None, given: Given) -> torch.Tensor | None:
        """The phrase's vector, then points, then a box."""
        pointed = self.prompt_encoder.sparse(given.points, given.labels, given.boxes)
        if pooled is None:
            return pointed
        phrase = self.prompt_encoder.phrases(pooled).vectors[:, None]
        return phrase if pointed is None else torch.cat([phrase, pointed], dim=1)
