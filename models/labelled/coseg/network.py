"""Co-Seg++: two rounds of two decoders over one embedding; in the second each is prompted with what the other drew in the first.

Paper: Xu et al. 2025, arXiv 2506.17159. Code: xq141839/Co-Seg-Plus (Apache-2.0).
Takes: an embedding of SAM 2's kind with two finer maps. Returns: masks at four times the embedding's sides, and coarse ones.
Weights: none published. Left out: the Hiera-L encoder, whose maps are given; instances from the distance maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.sam.decoder import DecoderConfig, Layers, TwoWay, attend, build_upscaling
from .prompts import MutualPrompts

REGIONS = 2  # channels of the spatial map that the two tasks are to agree on


@dataclass(frozen=True)
class Seen:
    """An image as the encoder saw it.

    Attributes:
        embedding: (b width h w).
        half: a map of twice its sides, and a quarter of its channels.
        quarter: a map of four times its sides, and an eighth of its channels.
    """

    embedding: torch.Tensor
    half: torch.Tensor
    quarter: torch.Tensor


@dataclass(frozen=True)
class Drawn:
    """What a decoder drew: (b masks 4h 4w), and where it looked (b 2 h w)."""

    masks: torch.Tensor
    regions: torch.Tensor


@dataclass(frozen=True)
class Round:
    """What both tasks drew in a round."""

    instance: Drawn
    semantic: Drawn


class TaskDecoder(nn.Module):
    """A token for a coarse mask and one for each mask of the task; neither IoU nor prompts of points.

    Args:
        config: `DecoderConfig`.
        masks: of the task; instance segmentation has foreground, types and two distance maps.
    """

    def __init__(self, config: DecoderConfig, masks: int) -> None:
        super().__init__()
        width = config.width
        self.transformer = TwoWay(config)
        self.mask_tokens = nn.Embedding(1 + masks, width)
        self.output_upscaling = build_upscaling(config)
        self.output_hypernetworks_mlps = nn.ModuleList(
            Layers(width, width, width, width // 8) for _ in range(1 + masks)
        )
        self.spatial_cons = nn.Conv2d(width, REGIONS, 1, bias=False)
        self.conv_s0, self.conv_s1 = nn.Conv2d(width, width // 8, 1), nn.Conv2d(width, width // 4, 1)

    def narrow(self, embedding: torch.Tensor, half: torch.Tensor, quarter: torch.Tensor) -> Seen:
        """An image from an encoder's maps, all as wide as the embedding."""
        return Seen(embedding, self.conv_s1(half), self.conv_s0(quarter))

    def forward(self, seen: Seen, code: torch.Tensor, dense: torch.Tensor, *, coarse: bool) -> Drawn:
        """The coarse mask, or all others; `code` (1 width h w) says where a place is, `dense` (b width h w) is the prompt."""
        tokens, image = attend(self.transformer, self.mask_tokens.weight, seen.embedding, code, None, dense)
        first, norm, act, second, last = self.output_upscaling
        grown = last(second(act(norm(first(image) + seen.half))) + seen.quarter)
        weights = torch.stack([mlp(tokens[:, n]) for n, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1)
        masks = torch.unflatten(weights @ grown.flatten(2), 2, grown.shape[2:])
        return Drawn(masks[:, :1] if coarse else masks[:, 1:], self.spatial_cons(image))


class CoSeg(nn.Module):
    """Both tasks, each with a decoder and with an encoder of the other's masks.

    Args:
        config: of both decoders.
        size: pixels per side of the picture.
        instance, semantic: masks of each task.
        hidden, state, kernel, released: see `MutualPrompts`.
    """

    def __init__(
        self,
        config: DecoderConfig,
        size: int,
        instance: int,
        semantic: int,
        *,
        hidden: int = 2048,
        state: int = 8,
        kernel: int = 3,
        released: bool = False,
    ) -> None:
        super().__init__()
        self.instance, self.semantic = TaskDecoder(config, instance), TaskDecoder(config, semantic)
        self.for_instance, self.for_semantic = (
            MutualPrompts(
                config.width,
                size,
                config.mask_channels,
                hidden,
                inner=config.width,
                state=state,
                kernel=kernel,
                released=released,
            )
            for _ in range(2)
        )

    def forward(self, instance: Seen, semantic: Seen) -> tuple[Round, Round]:
        """Coarse masks without prompts, then masks with the other task's coarse mask as prompt.

        Args:
            instance, semantic: the same image, narrowed by each task's decoder.
        """
        sides = instance.embedding.shape[2:]
        if sides[0] != sides[1]:
            raise ValueError(f"a square embedding, not {sides[0]} x {sides[1]}")
        batch, side = len(instance.embedding), sides[0]
        codes = [one.pe_layer.of_grid(side) for one in (self.for_instance, self.for_semantic)]
        nothing = [one.dense(batch, side) for one in (self.for_instance, self.for_semantic)]
        first = Round(
            self.instance(instance, codes[0], nothing[0], coarse=True),
            self.semantic(semantic, codes[1], nothing[1], coarse=True),
        )
        for_instance = self.for_instance.of_mask(_at(first.semantic.masks, 4 * side), instance.embedding)
        for_semantic = self.for_semantic.of_mask(_at(first.instance.masks, 4 * side), semantic.embedding)
        second = Round(
            self.instance(instance, codes[0], for_instance, coarse=False),
            self.semantic(semantic, codes[1], for_semantic, coarse=False),
        )
        return first, second


def _at(mask: torch.Tensor, side: int) -> torch.Tensor:
    if mask.shape[2] == side:
        return mask
    return F.interpolate(mask, (side, side), mode="bilinear", align_corners=False)
