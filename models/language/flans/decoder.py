"""FLanS' prompt encoder, which also takes words, and its mask decoder, which may also take a trunk's maps.

Part of FLanS (models/language/flans/network.py). Names of layers are those of the published checkpoint.
The maps of the small configuration enter while the mask grows, as in SAM 2 (Ravi et al. 2024, arXiv 2408.00714).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...blocks.sam import decoder, prompts


@dataclass(frozen=True)
class DecoderConfig(decoder.DecoderConfig):
    """Sizes of the decoder; the defaults are SAM's.

    Attributes:
        fine: channels of the trunk's maps at strides 4 and 2; empty without them.
    """

    fine: tuple[int, ...] = ()


class PromptEncoder(prompts.PromptEncoder):
    """Words, points, boxes and a mask as vectors the decoder attends to.

    Args:
        text_tower: turns token numbers (b t) into states (b t text); None when states come from outside.
    """

    def __init__(
        self, width: int, text: int, size: int, mask_channels: int, text_tower: nn.Module | None = None
    ) -> None:
        super().__init__(width, size, mask_channels)
        if text_tower is not None:
            self.text_encoder = text_tower
        self.text_encoder_head = nn.Linear(text, width)

    def words(self, states: torch.Tensor) -> torch.Tensor:
        """Prompts (b t width) of text states (b t text), padding included."""
        found: torch.Tensor = self.text_encoder_head(states)
        return found


class MaskDecoder(decoder.MaskDecoder):
    """From embedding, prompts and perhaps a trunk's maps to mask logits."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        width = config.width
        if config.fine:
            self.fine = nn.ModuleList(
                nn.Conv2d(channels, width // n, 1) for channels, n in zip(config.fine, (4, 8), strict=True)
            )

    def forward(
        self,
        image: torch.Tensor,
        code: torch.Tensor,
        sparse: torch.Tensor | None,
        dense: torch.Tensor,
        fine: Sequence[torch.Tensor] = (),
        *,
        ambiguous: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As of SAM's decoder; `fine` are the trunk's maps."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens, seen = decoder.attend(self.transformer, own, image, code, sparse, dense)
        return self.draw(tokens, self._grow(seen, fine), ambiguous=ambiguous)

    def _grow(self, x: torch.Tensor, fine: Sequence[torch.Tensor]) -> torch.Tensor:
        up1, norm, gelu, up2, last = self.output_upscaling
        if not fine:
            grown: torch.Tensor = self.output_upscaling(x)
            return grown
        x = gelu(norm(up1(x) + self.fine[0](fine[0])))
        return last(up2(x) + self.fine[1](fine[1]))  # type: ignore[no-any-return]  # a module's call is untyped
