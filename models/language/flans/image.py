"""FLanS' image encoder: SAM's, or one that begins with a U-Net.

Part of FLanS (models/language/flans/network.py). Names of layers are those of the published checkpoint, so that it loads.
The small configuration begins with a U-Net that was taught to segment, where FLanS begins with SAM: a small transformer
that starts from nothing learns too little from a few thousand pictures. The U-Net's maps also reach the mask decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...blocks.sam import vit
from ...blocks.unet import UNet

BODY_MEAN, BODY_SPREAD = 0.5, 0.2  # of a body's pixels in [0, 1], our estimate; a SAT-mini expects z-scores
FINEST = 16  # channels of the level that is left out


@dataclass(frozen=True)
class EncoderConfig(vit.EncoderConfig):
    """Sizes of the encoder; the defaults are SAM ViT-B.

    Attributes:
        trunk: channels of a U-Net that makes the tokens (patch 8 only) instead of
            one patch projection; empty without it.
    """

    trunk: tuple[int, ...] = ()


class Trunk(UNet):
    """The U-Net of a 2-D SAT-mini without its finest level; names of layers as there, so that its weights load.

    It was taught arrays along the patient's axes (x to the right, then y to the front) and z-scores; pictures come as
    displayed (rows to the back, columns to the left) in [0, 1].
    """

    def __init__(self, config: EncoderConfig) -> None:
        if config.patch != 8 or len(config.trunk) < 5 or config.width != config.trunk[3]:
            raise ValueError(
                f"a U-Net makes tokens of 8 pixels and of its fourth level's channels; got {config.patch} pixels, "
                f"{config.width} channels, levels {config.trunk}"
            )
        super().__init__(2, 1, config.trunk, FINEST)
        self.up, self.merge = self.up[:-1], self.merge[:-1]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Tokens (b width h/8 w/8), and the maps at strides 4 and 2."""
        scored = (x.mean(1, keepdim=True) - BODY_MEAN) / BODY_SPREAD
        maps = [_turned(one) for one in self.decode(_turned(scored))]
        tokens, middle, fine = maps[-3:]
        return tokens, [middle, fine]


def _turned(x: torch.Tensor) -> torch.Tensor:
    """Displayed to the patient's axes, and back."""
    return x.transpose(2, 3).flip(2, 3)


class ImageEncoder(vit.ImageEncoder):
    """From a picture (b 3 size size) to its embedding (b out grid grid)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, patches=Trunk(config) if config.trunk else None)
        self._trunk = bool(config.trunk)

    def forward(  # type: ignore[override]  # the maps come along
        self, picture: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The embedding, and the trunk's maps at strides 4 and 2 (none with a patch projection).

        Raises:
            ValueError: the picture is not square or not of the configured size.
        """
        self.check(picture)
        tokens, fine = self.patch_embed(picture) if self._trunk else (self.patch_embed(picture), [])
        x = tokens.movedim(1, -1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.finish(x), fine
