"""IMIS-Net: SAM with wider prompts that also takes a name, and says what it drew.

Paper: Cheng et al. 2025, "Interactive Medical Image Segmentation: A Benchmark Dataset and Baseline", CVPR 2025, arXiv 2411.12814;
    uni-medical/IMIS-Bench (no licence file; nothing is copied).
Takes: pictures (b 3 1024 1024); points, boxes, last logits, and the pooled CLIP vector of "A segmentation area of a {}.".
Returns: of three masks the one with the greatest guessed IoU, that IoU, and a vector to be compared with those of categories.
Weights: the authors' IMISNet-B.pth, brought by the user.
Left out: training; the categories' vectors, which come as a pickle of four objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from ...blocks.sam.decoder import MASKS, DecoderConfig, Layers, MaskDecoder, attend
from ...blocks.sam.prompts import PromptEncoder
from ...blocks.sam.sam import Given
from ...blocks.sam.vit import EncoderConfig, ImageEncoder


@dataclass(frozen=True)
class ImisConfig:
    """Sizes; the defaults are the published ones.

    Attributes:
        text: width of a pooled text vector.
        semantic: widths of the head that says what was drawn, from the token's on.
    """

    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(out=768))
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(width=768))
    text: int = 512
    semantic: tuple[int, ...] = (768, 256, 512)


@dataclass(frozen=True)
class Drawn:
    """Three masks of each set of prompts: logits (b 3 h w), guessed IoU (b 3), vectors of what they are (b 3 semantic)."""

    logits: torch.Tensor
    iou: torch.Tensor
    semantic: torch.Tensor

    def likeness(self, categories: torch.Tensor) -> torch.Tensor:
        """How alike each mask is to categories (b 3 k), whose vectors are the columns of (semantic k); as published, ours alone are normalised."""
        return torch.nn.functional.normalize(self.semantic, dim=-1) @ categories

    def best(self) -> Drawn:
        """The one of the greatest guessed IoU, with its own vector."""
        rows, at = torch.arange(len(self.iou), device=self.iou.device), self.iou.argmax(1)
        return Drawn(*(one[rows, at][:, None] for one in (self.logits, self.iou, self.semantic)))


class NamedDecoder(MaskDecoder):
    """SAM's decoder with a semantic token for each mask, and a name that is added to every mask."""

    def __init__(self, config: DecoderConfig, semantic: Sequence[int]) -> None:
        super().__init__(config)
        self.semantic_tokens = nn.Embedding(MASKS, config.width)
        self.text_output = nn.Linear(config.width, config.width // 8)
        self.semantic_prediction_head = Layers(*semantic)

    def look(
        self,
        image: torch.Tensor,
        code: torch.Tensor,
        sparse: torch.Tensor | None,
        dense: torch.Tensor,
        text: torch.Tensor | None,
    ) -> Drawn:
        """The three masks; `text` (b width) is the name's vector, None without a name."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight, self.semantic_tokens.weight])
        tokens, seen = attend(self.transformer, own, image, code, sparse, dense)
        grown = self.output_upscaling(seen)
        logits, iou = self.draw(tokens, grown, ambiguous=True)
        if text is not None:
            logits = logits + torch.einsum("bc,bchw->bhw", self.text_output(text), grown)[:, None]
        return Drawn(logits, iou, self.semantic_prediction_head(tokens[:, 2 + MASKS : 1 + 2 * MASKS]))


class ImisNet(nn.Module):
    """The network: `encode` a picture once, `decode` any prompts."""

    def __init__(self, config: ImisConfig) -> None:
        super().__init__()
        self.config = config
        encoder, decoder = config.encoder, config.decoder
        self.image_encoder = ImageEncoder(encoder)
        self.prompt_encoder = PromptEncoder(decoder.width, encoder.size, decoder.mask_channels)
        self.mask_decoder = NamedDecoder(decoder, config.semantic)
        self.text_out_dim = nn.Linear(config.text, decoder.width)

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """The embedding of pictures (b 3 size size)."""
        embedding: torch.Tensor = self.image_encoder(picture)
        return embedding

    def decode(self, embedding: torch.Tensor, given: Given, pooled: torch.Tensor | None = None) -> Drawn:
        """Three masks of prompts and of a name, whose pooled text vectors are (b text).

        Raises:
            ValueError: there is nothing to go by.
        """
        prompts, side = self.prompt_encoder, self.config.encoder.grid
        text = None if pooled is None else self.text_out_dim(pooled)
        sparse = prompts.sparse(given.points, given.labels, given.boxes)
        if text is not None:
            sparse = text[:, None] if sparse is None else torch.cat([sparse, text[:, None]], dim=1)
        if sparse is None and given.mask is None:
            raise ValueError("IMIS-Net needs a point, a box, a name or a mask to go by")
        dense = prompts.dense(given.batch if text is None else len(text), side, given.mask)
        return self.mask_decoder.look(embedding, prompts.pe_layer.of_grid(side), sparse, dense, text)
