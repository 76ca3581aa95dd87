"""An encoder's position tables for pictures of another size."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from .sizes import State

Way = Literal["bicubic", "bilinear"]


def resize_tables(state: State, size: int, way: Way = "bicubic") -> dict[str, torch.Tensor]:
    """The image encoder's entries with its table of places and those of the blocks that attend globally made for `size` pixels per side.

    Args:
        way: "bicubic", smoothed, as timm does (huggingface/pytorch-image-models, Apache-2.0), or "bilinear" as SAM-Med2D does.
    """
    found = dict(state)
    places = state["pos_embed"]
    old, new = places.shape[1], size // state["patch_embed.proj.weight"].shape[-1]
    if old == new:
        return found
    smooth = way == "bicubic"
    moved = F.interpolate(places.float().movedim(-1, 1), size=(new, new), mode=way, antialias=smooth)
    found["pos_embed"] = moved.movedim(1, -1)
    for key, table in state.items():
        if ".attn.rel_pos_" in key and len(table) == 2 * old - 1:
            found[key] = F.interpolate(table.float().T[None], size=2 * new - 1, mode="linear")[0].T
    return found
