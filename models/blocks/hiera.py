"""SAM 2's hierarchical encoder as transformers' configuration describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def describe_vision(
    *,
    size: int,
    width: int,
    out: int,
    blocks: Sequence[int],
    heads: int,
    windows: Sequence[int],
    everywhere: Sequence[int],
    places: Sequence[int],
) -> Any:
    """transformers' `Sam2VisionConfig`.

    Args:
        size: pixels per side.
        width, heads: of the first stage; both double from stage to stage.
        out: channels of the maps it answers.
        blocks, windows: of each stage: how many, and tokens per side.
        everywhere: blocks that attend to the whole picture.
        places: rows and columns of the table of places.
    """
    from transformers import Sam2HieraDetConfig, Sam2VisionConfig

    stages = range(len(blocks))
    backbone = Sam2HieraDetConfig(
        hidden_size=width,
        image_size=[size, size],
        num_attention_heads=heads,
        window_positional_embedding_background_size=list(places),
        blocks_per_stage=list(blocks),
        embed_dim_per_stage=[width * 2**n for n in stages],
        num_attention_heads_per_stage=[heads * 2**n for n in stages],
        window_size_per_stage=list(windows),
        global_attention_blocks=list(everywhere),
    )
    return Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[width * 2**n for n in stages][::-1],
        backbone_feature_sizes=[[size // n, size // n] for n in (4, 8, 16)],
        fpn_hidden_size=out,
    )
