"""I-MedSAM: SAM with a branch for the spectrum and a mask that can be asked at any resolution.

Paper: Wei et al. 2024, "I-MedSAM: Implicit Medical Image Segmentation with Segment Anything", ECCV 2024, arXiv 2311.17081.
Takes: pictures (b 3 384 384), normalised as SAM's; a box.
Returns: logits (b 1 h w) at whatever size is asked for.
Weights: the authors' checkpoint is not offered: its layout could not be read, so nothing could be checked against it.
Left out: training. Where the description is silent: values are dropped behind the last hidden layer of the rough function, both looks are
    averaged, and SAM's position code is taken at the places themselves.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.sam.decoder import MASKS, DecoderConfig, MaskDecoder, attend
from ...blocks.sam.prompts import PromptEncoder
from ...blocks.sam.sam import Given
from ...blocks.sam.vit import EncoderConfig
from .encoder import RANK, SpectralEncoder
from .field import Answer, Field, FieldConfig, encode_fourier


@dataclass(frozen=True)
class ImplicitConfig:
    """Sizes; the defaults are the published ones."""

    encoder: EncoderConfig = dataclasses.field(default_factory=lambda: EncoderConfig(size=384))
    decoder: DecoderConfig = dataclasses.field(default_factory=DecoderConfig)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    rank: int = RANK


class ImplicitSam(nn.Module):
    """The network: `encode` a picture once, `ask` for a box's mask at any size."""

    def __init__(self, config: ImplicitConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = SpectralEncoder(config.encoder, config.rank)
        self.prompt_encoder = PromptEncoder(config.decoder.width, config.encoder.size, config.decoder.mask_channels)
        self.mask_decoder = MaskDecoder(config.decoder)
        self.field = Field(config.field)

    def freeze(self) -> None:
        """What learns is LoRA, the spectrum's adapters and the field."""
        for name, value in self.named_parameters():
            learns = (
                name.startswith("field.")
                or ".frequency." in name
                or any(one in name for one in (".down_", ".up_", ".gate_"))
            )
            value.requires_grad_(learns)

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """The embedding of pictures (b 3 size size)."""
        embedding: torch.Tensor = self.image_encoder(picture)
        return embedding

    def ask(
        self, embedding: torch.Tensor, given: Given, shape: tuple[int, int], *, share: float = 1.0, legacy: bool = False
    ) -> Answer:
        """What stands at every pixel of a picture of `shape`, rows then columns, as (b rows*columns).

        Args:
            share: of the Fourier code, while it learns coarse to fine.
            legacy: see `Field`.
        """
        prompts, side = self.prompt_encoder, self.config.encoder.grid
        sparse = prompts.sparse(given.points, given.labels, given.boxes)
        own = torch.cat([self.mask_decoder.iou_token.weight, self.mask_decoder.mask_tokens.weight[:MASKS]])
        dense = prompts.dense(given.batch, side, given.mask)
        _, seen = attend(self.mask_decoder.transformer, own, embedding, prompts.pe_layer.of_grid(side), sparse, dense)
        upscaled = self.mask_decoder.output_upscaling(seen)
        places = lay_out_places(shape).to(upscaled)  # column, row
        sampled = F.grid_sample(upscaled, places[None].expand(len(upscaled), -1, -1, -1), align_corners=False)
        code = torch.cat([prompts.pe_layer((places + 1) / 2), encode_fourier(places, share)], dim=-1)
        known = torch.cat([sampled.movedim(1, -1), code[None].expand(len(upscaled), -1, -1, -1)], dim=-1)
        answer: Answer = self.field(known.flatten(1, 2), legacy=legacy)
        return answer

    def decode(self, embedding: torch.Tensor, given: Given, shape: tuple[int, int]) -> torch.Tensor:
        """Logits (b 1 rows columns)."""
        logits: torch.Tensor = self.ask(embedding, given, shape).logits.unflatten(1, shape)[:, None]
        return logits


def lay_out_places(shape: tuple[int, int]) -> torch.Tensor:
    """Middles of pixels (rows columns 2) as column, row from -1 to 1."""
    rows, columns = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in shape)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1)
