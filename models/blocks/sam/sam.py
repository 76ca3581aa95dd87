"""A whole SAM, in two dimensions or three: encode a picture once, decode any prompts.

Source: Kirillov et al. 2023, Segment Anything, arXiv 2304.02643; facebookresearch/segment-anything, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from .decoder import MASKS, DecoderConfig, MaskDecoder
from .prompts import PromptEncoder
from .sizes import HEADS, State, read_decoder_config, read_encoder_config, select_part
from .vit import EncoderConfig, ImageEncoder

PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")


@dataclass(frozen=True)
class Given:
    """Prompts of a batch, in pixels of the encoder's picture as the network was taught: column, row (or the three axes).

    Attributes:
        points: (b n dims).
        labels: (b n): 1 meant, 0 not, -1 no point.
        boxes: (b 4): column, row of one corner, then of the opposite one.
        mask: (b 1 ...) at four times the token grid; what it holds differs between systems.
    """

    points: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    @property
    def batch(self) -> int:
        """How many sets of prompts there are."""
        return next((len(one) for one in (self.points, self.boxes, self.mask) if one is not None), 1)


class Sam(nn.Module):
    """Image encoder, prompt encoder, mask decoder.

    Args:
        beside: makes an adapter for each block of the encoder; see `vit.Block`.
        masks: see `MaskDecoder`.
    """

    def __init__(
        self,
        encoder: EncoderConfig,
        decoder: DecoderConfig,
        *,
        beside: Callable[[], nn.Module] | None = None,
        masks: int = MASKS,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.image_encoder = ImageEncoder(encoder, beside=beside)
        self.prompt_encoder = PromptEncoder(decoder.width, encoder.size, decoder.mask_channels, encoder.dims)
        self.mask_decoder = MaskDecoder(decoder, masks)

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """The embedding of a picture (b channels size size [size])."""
        embedding: torch.Tensor = self.image_encoder(picture)
        return embedding

    def decode(
        self, embedding: torch.Tensor, given: Given, *, ambiguous: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits at four times the token grid (b m ...) and the guessed IoU (b m); see `MaskDecoder`."""
        prompts, side = self.prompt_encoder, self.encoder.grid
        sparse = prompts.sparse(given.points, given.labels, given.boxes)
        dense = prompts.dense(given.batch, side, given.mask)
        found: tuple[torch.Tensor, torch.Tensor] = self.mask_decoder(
            embedding, prompts.pe_layer.of_grid(side), sparse, dense, ambiguous=ambiguous
        )
        return found


def read_configs(state: State, heads: int = HEADS) -> tuple[EncoderConfig, DecoderConfig]:
    """Sizes of a SAM's weights.

    Raises:
        KeyError: one that tells a size is missing.
    """
    encoder, prompts, decoder = (select_part(state, part) for part in PARTS)
    return read_encoder_config(encoder), read_decoder_config(decoder, prompts, heads)
