"""SAM's two-way mask decoder: a few tokens and the picture attend to each other, then each token draws a mask.

Source: Kirillov et al. 2023, Segment Anything, arXiv 2304.02643; facebookresearch/segment-anything, Apache-2.0. In three dimensions as
SAM-Med3D (uni-medical/SAM-Med3D, Apache-2.0).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .vit import ChannelNorm, Mlp

MASKS = 4  # one for unambiguous prompts, three for ambiguous ones


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the decoder; the defaults are SAM's.

    Attributes:
        width: channels of embedding, prompts and tokens.
        iou_hidden: width of the head that guesses the IoU.
        mask_channels: of the encoder of mask prompts.
        dims: 2 or 3.
    """

    width: int = 256
    depth: int = 2
    heads: int = 8
    hidden: int = 2048
    iou_hidden: int = 256
    mask_channels: int = 16
    dims: int = 2


class ShrunkAttention(nn.Module):
    """Attention whose inner width may be smaller than its outer."""

    def __init__(self, width: int, heads: int, shrink: int = 1) -> None:
        super().__init__()
        inner = width // shrink
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """(b n width) of queries (b n width), keys and values (b m width)."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        mixed: torch.Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return mixed


class TwoWayBlock(nn.Module):
    """Prompts attend to each other, then to the picture; then the picture attends to the prompts."""

    def __init__(self, config: DecoderConfig, *, first: bool) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.first = first
        self.self_attn = ShrunkAttention(width, heads)
        self.cross_attn_token_to_image = ShrunkAttention(width, heads, 2)
        self.cross_attn_image_to_token = ShrunkAttention(width, heads, 2)
        self.mlp = Mlp(width, config.hidden, nn.ReLU)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))

    def forward(
        self, tokens: torch.Tensor, image: torch.Tensor, token_code: torch.Tensor, image_code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both, after having looked at each other."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_code
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_code, image + image_code, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image + image_code, tokens + token_code, tokens))
        return tokens, image


class TwoWay(nn.Module):
    """All the blocks, and a last look of the tokens at the picture."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(config, first=n == 0) for n in range(config.depth))
        self.final_attn_token_to_image = ShrunkAttention(config.width, config.heads, 2)
        self.norm_final_attn = nn.LayerNorm(config.width)

    def forward(
        self, tokens: torch.Tensor, image: torch.Tensor, code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (b n width) and picture (b hw width); `code` is that of the picture's places."""
        asked = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, asked, code)
        tokens = tokens + self.final_attn_token_to_image(tokens + asked, image + code, image)
        return self.norm_final_attn(tokens), image


class Layers(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last layer's answer."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        result: torch.Tensor = self.layers[-1](x)
        return result


def build_upscaling(config: DecoderConfig) -> nn.Sequential:
    """The map grows to four times its sides, with an eighth of the channels."""
    grow = nn.ConvTranspose2d if config.dims == 2 else nn.ConvTranspose3d
    width = config.width
    return nn.Sequential(
        grow(width, width // 4, 2, stride=2),
        ChannelNorm(width // 4),
        nn.GELU(),
        grow(width // 4, width // 8, 2, stride=2),
        nn.GELU(),
    )


def attend(
    transformer: nn.Module,
    own: torch.Tensor,
    image: torch.Tensor,
    code: torch.Tensor,
    sparse: torch.Tensor | None,
    dense: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Own tokens (n width) with the prompts, and the picture as a map again, after they attended to each other.

    Args:
        image: embedding (b or 1, width ...); one picture serves all prompts.
        sparse: prompts (b m width), or None.
        dense: (b width ...).
    """
    tokens = own.expand(len(dense), -1, -1)
    if sparse is not None:
        tokens = torch.cat([tokens, sparse], dim=1)
    flat = (image + dense).flatten(2).transpose(1, 2)
    tokens, flat = transformer(tokens, flat, code.flatten(2).transpose(1, 2))
    return tokens, flat.transpose(1, 2).unflatten(2, image.shape[2:])


class MaskDecoder(nn.Module):
    """From embedding and prompts to mask logits at a quarter of the token size.

    Args:
        masks: how many it draws: one for unambiguous prompts, all others together for ambiguous ones.
    """

    def __init__(self, config: DecoderConfig, masks: int = MASKS) -> None:
        super().__init__()
        width = config.width
        self.transformer = TwoWay(config)
        self.iou_token, self.mask_tokens = nn.Embedding(1, width), nn.Embedding(masks, width)
        self.output_upscaling = build_upscaling(config)
        self.output_hypernetworks_mlps = nn.ModuleList(Layers(width, width, width, width // 8) for _ in range(masks))
        self.iou_prediction_head = Layers(width, config.iou_hidden, config.iou_hidden, masks)

    def forward(
        self,
        image: torch.Tensor,
        code: torch.Tensor,
        sparse: torch.Tensor | None,
        dense: torch.Tensor,
        *,
        ambiguous: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b m 4h 4w) and guessed IoU (b m): one mask, or all others when `ambiguous`; see `attend`."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens, seen = attend(self.transformer, own, image, code, sparse, dense)
        return self.draw(tokens, self.output_upscaling(seen), ambiguous=ambiguous)

    def draw(self, tokens: torch.Tensor, grown: torch.Tensor, *, ambiguous: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and IoU of the tokens on the grown map."""
        weights = torch.stack([mlp(tokens[:, 1 + n]) for n, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        logits = (weights @ grown.flatten(2)).unflatten(2, grown.shape[2:])
        iou = self.iou_prediction_head(tokens[:, 0])
        kept = slice(1, None) if ambiguous else slice(0, 1)
        return logits[:, kept], iou[:, kept]
