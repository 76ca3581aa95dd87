"""The sizes of a SAM, read from its weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...checkpoints import count_numbers
from .decoder import DecoderConfig
from .vit import AXES, EncoderConfig

State = Mapping[str, torch.Tensor]
HEADS = 8  # of every published decoder; weights do not tell


def select_part(state: State, prefix: str) -> dict[str, torch.Tensor]:
    """The entries below a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def read_encoder_config(state: State) -> EncoderConfig:
    """Of the image encoder's entries, without their prefix.

    Raises:
        KeyError: one that tells a size is missing.
    """
    width, channels, patch, *rest = state["patch_embed.proj.weight"].shape
    dims, grid = 1 + len(rest), state["pos_embed"].shape[1]
    depth = count_numbers(state, r"blocks\.(\d+)\.attn\.qkv\.weight")
    tables = [state[f"blocks.{n}.attn.rel_pos_{AXES[dims][0]}"].shape for n in range(depth)]
    sides = [(rows + 1) // 2 for rows, _head in tables]
    windows = [side for side in sides if side != grid]
    return EncoderConfig(
        size=grid * patch,
        patch=patch,
        width=width,
        depth=depth,
        heads=width // tables[0][1],
        mlp_ratio=state["blocks.0.mlp.lin1.weight"].shape[0] / width,
        global_blocks=tuple(n for n, side in enumerate(sides) if side == grid),
        window=windows[0] if windows else grid,
        out=state["neck.0.weight"].shape[0],
        dims=dims,
        channels=channels,
    )


def read_decoder_config(decoder: State, prompts: State, heads: int = HEADS) -> DecoderConfig:
    """Of the mask decoder's and the prompt encoder's entries, without their prefixes; where a head of it is missing, SAM's size.

    Raises:
        KeyError: one that tells a size is missing.
    """
    usual = DecoderConfig()
    iou = decoder.get("iou_prediction_head.layers.0.weight")
    return DecoderConfig(
        width=prompts["no_mask_embed.weight"].shape[1],
        depth=count_numbers(decoder, r"transformer\.layers\.(\d+)\.mlp\.lin1\.weight"),
        heads=heads,
        hidden=decoder["transformer.layers.0.mlp.lin1.weight"].shape[0],
        iou_hidden=usual.iou_hidden if iou is None else iou.shape[0],
        mask_channels=prompts["mask_downscaling.3.weight"].shape[0],
        dims=prompts["mask_downscaling.3.weight"].dim() - 2,
    )
