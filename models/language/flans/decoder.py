"""SAM's prompt encoder and two-way mask decoder, with words as sparse prompts.

Part of FLanS (models/language/flans/network.py). Names of layers are those of the published checkpoint.
Source: Kirillov et al. 2023, Segment Anything, arXiv 2304.02643; facebookresearch/segment-anything, Apache-2.0;
the maps of the small configuration enter while the mask grows, as in SAM 2 (Ravi et al. 2024, arXiv 2408.00714).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .image import LayerNorm2d, Mlp

MASKS = 4  # one for unambiguous prompts, three for ambiguous ones


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the decoder; the defaults are SAM's.

    Attributes:
        width: channels of embedding, prompts and tokens.
        iou_hidden: width of the head that guesses the IoU.
        mask_channels: of the encoder of mask prompts.
        fine: channels of the trunk's maps at strides 4 and 2; empty without them.
    """

    width: int = 256
    depth: int = 2
    heads: int = 8
    hidden: int = 2048
    iou_hidden: int = 256
    mask_channels: int = 16
    fine: tuple[int, ...] = ()


class PositionCode(nn.Module):
    """Random Fourier code of a place in the picture; its matrix belongs to the weights."""

    positional_encoding_gaussian_matrix: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """Codes (... width) of places (... 2), x then y, each in [0, 1]."""
        angles = 2 * torch.pi * ((2 * places - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def of_grid(self, side: int) -> torch.Tensor:
        """Codes (1 width side side) of the middles of a square grid's cells."""
        matrix = self.positional_encoding_gaussian_matrix
        at = (torch.arange(side, device=matrix.device, dtype=matrix.dtype) + 0.5) / side
        y, x = torch.meshgrid(at, at, indexing="ij")
        return self.forward(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None]


class PromptEncoder(nn.Module):
    """Words, points, boxes and a mask as vectors the decoder attends to.

    Args:
        text_tower: turns token numbers (b t) into states (b t text); None when states come from outside.
    """

    def __init__(
        self, width: int, text: int, size: int, mask_channels: int, text_tower: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.size = size
        if text_tower is not None:
            self.text_encoder = text_tower
        self.text_encoder_head = nn.Linear(text, width)
        self.pe_layer = PositionCode(width)
        self.point_embeddings: Sequence[nn.Embedding]
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))  # type: ignore[assignment]  # typed by what it holds
        self.not_a_point_embed, self.no_mask_embed = nn.Embedding(1, width), nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, 2, stride=2),
            LayerNorm2d(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, 2, stride=2),
            LayerNorm2d(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, width, 1),
        )

    def words(self, states: torch.Tensor) -> torch.Tensor:
        """Prompts (b t width) of text states (b t text), padding included."""
        prompts: torch.Tensor = self.text_encoder_head(states)
        return prompts

    def points(self, places: torch.Tensor, labels: torch.Tensor, *, with_box: bool) -> torch.Tensor:
        """Prompts of points (b n 2) in pixels, x then y; labels (b n): 1 inside, 0 outside, -1 none."""
        if not with_box:
            places = F.pad(places, (0, 0, 0, 1))
            labels = F.pad(labels, (0, 1), value=-1)
        code = self.pe_layer((places + 0.5) / self.size)
        kinds = [(-1, self.not_a_point_embed), (0, self.point_embeddings[0]), (1, self.point_embeddings[1])]
        code = torch.where((labels == -1)[..., None], torch.zeros_like(code), code)
        for label, embedding in kinds:
            code = code + (labels == label)[..., None] * embedding.weight
        return code

    def boxes(self, corners: torch.Tensor) -> torch.Tensor:
        """Prompts (b 2 width) of boxes (b 4) in pixels: x y of one corner, then of the opposite one."""
        code = self.pe_layer((corners.view(-1, 2, 2) + 0.5) / self.size)
        ends: torch.Tensor = code + torch.cat([self.point_embeddings[2].weight, self.point_embeddings[3].weight])
        return ends

    def dense(self, batch: int, side: int, mask: torch.Tensor | None = None) -> torch.Tensor:
        """What is added to the embedding: the encoded mask (b 1 4*side 4*side), or "no mask" everywhere."""
        if mask is not None:
            encoded: torch.Tensor = self.mask_downscaling(mask)
            return encoded
        return self.no_mask_embed.weight[:, :, None, None].expand(batch, -1, side, side)


class _Attention(nn.Module):
    """Attention whose inner width may be smaller than its outer."""

    def __init__(self, width: int, heads: int, shrink: int = 1) -> None:
        super().__init__()
        inner = width // shrink
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        mixed: torch.Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return mixed


class _TwoWayBlock(nn.Module):
    """Prompts attend to each other, then to the picture; then the picture attends to the prompts."""

    def __init__(self, config: DecoderConfig, *, first: bool) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.first = first
        self.self_attn = _Attention(width, heads)
        self.cross_attn_token_to_image = _Attention(width, heads, 2)
        self.cross_attn_image_to_token = _Attention(width, heads, 2)
        self.mlp = Mlp(width, config.hidden, nn.ReLU)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))

    def forward(
        self, tokens: torch.Tensor, image: torch.Tensor, token_code: torch.Tensor, image_code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
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


class _TwoWay(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TwoWayBlock(config, first=n == 0) for n in range(config.depth))
        self.final_attn_token_to_image = _Attention(config.width, config.heads, 2)
        self.norm_final_attn = nn.LayerNorm(config.width)

    def forward(
        self, tokens: torch.Tensor, image: torch.Tensor, code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        asked = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, asked, code)
        tokens = tokens + self.final_attn_token_to_image(tokens + asked, image + code, image)
        return self.norm_final_attn(tokens), image


class _Layers(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        result: torch.Tensor = self.layers[-1](x)
        return result


class MaskDecoder(nn.Module):
    """From embedding and prompts to mask logits at a quarter of the token size."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.width
        self.transformer = _TwoWay(config)
        self.iou_token, self.mask_tokens = nn.Embedding(1, width), nn.Embedding(MASKS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(_Layers(width, width, width, width // 8) for _ in range(MASKS))
        self.iou_prediction_head = _Layers(width, config.iou_hidden, config.iou_hidden, MASKS)
        if config.fine:
            self.fine = nn.ModuleList(
                nn.Conv2d(channels, width // n, 1) for channels, n in zip(config.fine, (4, 8), strict=True)
            )

    def forward(
        self,
        image: torch.Tensor,
        code: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor,
        fine: Sequence[torch.Tensor] = (),
        *,
        ambiguous: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b m 4h 4w) and guessed IoU (b m): one mask, or three when `ambiguous`."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        h, w = image.shape[2:]
        flat = (image + dense).flatten(2).transpose(1, 2)
        tokens, flat = self.transformer(tokens, flat, code.flatten(2).transpose(1, 2))
        grown = self._grow(flat.transpose(1, 2).unflatten(2, (h, w)), fine)
        weights = torch.stack([mlp(tokens[:, 1 + n]) for n, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        logits = torch.einsum("bmc,bchw->bmhw", weights, grown)
        iou = self.iou_prediction_head(tokens[:, 0])
        kept = slice(1, None) if ambiguous else slice(0, 1)
        return logits[:, kept], iou[:, kept]

    def _grow(self, x: torch.Tensor, fine: Sequence[torch.Tensor]) -> torch.Tensor:
        up1, norm, gelu, up2, last = self.output_upscaling
        if not fine:
            grown: torch.Tensor = self.output_upscaling(x)
            return grown
        x = gelu(norm(up1(x) + self.fine[0](fine[0])))
        return last(up2(x) + self.fine[1](fine[1]))  # type: ignore[no-any-return]  # a module's call is untyped
