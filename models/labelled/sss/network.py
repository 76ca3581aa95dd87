"""SSS-style network (reconstruction): SAM 2 whose prompts are classes, features of two views put together, and boxes it makes itself.

Paper: SSS, semi-supervised SAM-2, Biomedical Signal Processing and Control 2026; AIGeeksGroup/SSS (a README and a figure; no code, no equations).
Takes: pictures (b 1 size size) in [0, 1].
Returns: logits (b 1+classes n n) at a quarter of the size, the first of what is nothing and always 0.
Weights: none of ours; a run begins with random ones or with a SAM 2.1 the user imported (`ostensor fit sss`).
Left out, because it was never published: everything but the names of the parts. What each part computes is our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.hiera import describe_vision
from ...blocks.sam.sizes import State
from ...promptable.colours import MEAN, SPREAD
from .prompting import Boxes, find_boxes

Maps = list[torch.Tensor]


@dataclass(frozen=True)
class SssConfig:
    """Sizes; the defaults but the classes are those of SAM 2.1 small, which the README names.

    Attributes:
        size: pixels per side.
        width, blocks, heads, windows, everywhere, places: of the encoder; see `blocks.hiera.describe_vision`.
        out: channels of maps, prompts and tokens.
        hidden: of the decoder's MLPs.
    """

    classes: int
    size: int = 1024
    width: int = 96
    blocks: tuple[int, ...] = (1, 2, 11, 2)
    heads: int = 1
    windows: tuple[int, ...] = (8, 4, 14, 7)
    everywhere: tuple[int, ...] = (7, 10, 13)
    places: tuple[int, int] = (7, 7)
    out: int = 256
    hidden: int = 2048

    def to_json(self) -> dict[str, Any]:
        """For the file beside the weights."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SssConfig:
        """From that file, or from a run's configuration."""
        sizes: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
        return cls(**sizes)


class Enhancement(nn.Module):
    """Features of a picture out of those of two views of it (called DFE).

    Where both point the same way their mean counts, where they do not what the second has beyond the first:
    f = s (a + b) / 2 + (1 - s) (b - a), s their cosine, not below 0; then a 1x1 convolution that starts as nothing but a copy.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        nn.init.dirac_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """(b c h w) of two such maps."""
        alike = F.cosine_similarity(first, second, dim=1)[:, None].clamp(min=0)
        mixed: torch.Tensor = self.mix(alike * (first + second) / 2 + (1 - alike) * (second - first))
        return mixed


class SssNet(nn.Module):
    """The network: `embed` a view, `enhance` two, `look` with or without boxes."""

    def __init__(self, config: SssConfig) -> None:
        from transformers import Sam2Config, Sam2Model

        super().__init__()
        self.config, self.size = config, config.size
        vision = describe_vision(
            size=config.size,
            width=config.width,
            out=config.out,
            blocks=config.blocks,
            heads=config.heads,
            windows=config.windows,
            everywhere=config.everywhere,
            places=config.places,
        )
        self.sam2: Any = Sam2Model(
            Sam2Config(
                vision_config=vision,
                prompt_encoder_config={"image_size": config.size, "hidden_size": config.out},
                mask_decoder_config={
                    "hidden_size": config.out,
                    "mlp_dim": config.hidden,
                    "dynamic_multimask_via_stability": False,
                },
            )
        )
        self.classes = nn.Embedding(config.classes, config.out)
        self.enhance = Enhancement(config.out)

    def embed(self, pictures: torch.Tensor) -> Maps:
        """Maps of a view: two fine ones, then the coarse one that is decoded."""
        mean, spread = (torch.tensor(one, device=pictures.device).view(3, 1, 1) for one in (MEAN, SPREAD))
        seen = self.sam2.get_image_features((255 * pictures - mean) / spread, return_dict=True).fpn_hidden_states
        maps = [
            one.permute(1, 2, 0).unflatten(2, (self.size // n,) * 2) for one, n in zip(seen, (4, 8, 16), strict=True)
        ]
        return [*maps[:2], maps[2] + self.sam2.no_memory_embedding.view(1, -1, 1, 1)]

    def look(self, maps: Maps, boxes: Boxes | None = None) -> torch.Tensor:
        """Logits (b 1+classes n n): each class is asked for by its own token and, where there is one, a box."""
        prompts, decoder = self.sam2.prompt_encoder, self.sam2.mask_decoder
        b = len(maps[2])
        tokens = self.classes.weight[None, :, None].expand(b, -1, -1, -1)
        if boxes is not None:
            corners, _ = prompts(
                None, None, boxes.corners * self.size - 0.5, None
            )  # it counts from the middle of a pixel
            absent = prompts.not_a_point_embed.weight.expand_as(corners)
            tokens = torch.cat([tokens, torch.where(boxes.there[..., None, None], corners, absent)], dim=2)
        side = self.size // 16
        masks, *_ = decoder(
            image_embeddings=maps[2],
            image_positional_embeddings=self.sam2.get_image_wide_positional_embeddings().expand(b, -1, -1, -1),
            sparse_prompt_embeddings=tokens,
            dense_prompt_embeddings=prompts.no_mask_embed.weight.view(1, -1, 1, 1).expand(b, -1, side, side),
            multimask_output=False,
            high_resolution_features=maps[:2],
        )
        found = masks[:, :, 0]
        return torch.cat([torch.zeros_like(found[:, :1]), found], dim=1)

    def join(self, first: Maps, second: Maps) -> Maps:
        """The second view's maps, the coarse one put together from both."""
        return [*second[:2], self.enhance(first[2], second[2])]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits after a first look without boxes and a second one with those the first gave."""
        maps = self.embed(pictures)
        maps = self.join(maps, maps)
        return self.look(maps, find_boxes(self.look(maps).softmax(1)))

    def begin_with_(self, state: State) -> None:
        """Take over a SAM 2.1's encoder, prompts and decoder; its memory is not needed.

        Args:
            state: under the names of transformers' video model.

        Raises:
            ValueError: a SAM 2.1 of other sizes.
        """
        own = self.sam2.state_dict()
        wrong = [key for key, value in own.items() if key not in state or state[key].shape != value.shape]
        if wrong:
            raise ValueError(f"its weights have other sizes: '{wrong[0]}' differs")
        with torch.no_grad():
            for key, value in own.items():
                value.copy_(state[key])
