"""SAM 2.1 and MedSAM2 in transformers' video model: the published layout understood, everything else refused.

Layout: a dict whose "model" holds a state dict under Meta's names, or one under transformers'. Windows, heads and global blocks, which weights do
not tell, are those of the published size with the same widths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...blocks.hiera import describe_vision
from ...blocks.sam.sizes import State
from ...card import Card
from ...checkpoints import Tensors, count_numbers, fill, read_checkpoint
from ...interface import Running
from .names import name_last_downsampling, rename_as_transformers
from .stack import StackPredictor

FILE = "a SAM 2.1 of Meta or a MedSAM2 as downloaded"
MEDSAM2_SIZE = 512  # Source: bowang-lab/MedSAM2, Apache-2.0


@dataclass(frozen=True)
class Size:
    """What weights do not tell of a published size. Source: facebookresearch/sam2, sam2/configs/sam2.1, Apache-2.0.

    Attributes:
        blocks: of each stage.
        heads: of the first stage; they double with the width.
        windows: tokens per side, of each stage.
        everywhere: blocks that attend to the whole picture.
    """

    blocks: tuple[int, ...]
    heads: int
    windows: tuple[int, ...]
    everywhere: tuple[int, ...]


SIZES: dict[tuple[int, int], Size] = {  # by width of the first stage and number of blocks
    (96, 12): Size((1, 2, 7, 2), 1, (8, 4, 14, 7), (5, 7, 9)),
    (96, 16): Size((1, 2, 11, 2), 1, (8, 4, 14, 7), (7, 10, 13)),
    (112, 24): Size((2, 3, 16, 3), 2, (8, 4, 14, 7), (12, 16, 20)),
    (144, 48): Size((2, 6, 36, 4), 2, (8, 4, 16, 8), (23, 33, 43)),
}


def make_config(state: State, size: int, like: Size | None = None) -> Any:
    """transformers' configuration of weights under its names, for pictures of `size` pixels per side.

    Raises:
        BadCall: another network, or a size that was never published.
    """
    from transformers import Sam2VideoConfig

    width, places = (
        state["vision_encoder.backbone.patch_embed.projection.weight"].shape[0],
        state["vision_encoder.backbone.pos_embed"].shape,
    )
    depth = count_numbers(state, r"vision_encoder\.backbone\.blocks\.(\d+)\.")
    like = like or SIZES.get((width, depth))
    if like is None:
        known = "; ".join(f"{a} wide with {b} blocks" for a, b in SIZES)
        raise BadCall(f"Its encoder is {width} wide and has {depth} blocks. Known: {known}. Give {FILE}.")
    vision = describe_vision(
        size=size,
        width=width,
        out=state["vision_encoder.neck.convs.0.weight"].shape[0],
        blocks=like.blocks,
        heads=like.heads,
        windows=like.windows,
        everywhere=like.everywhere,
        places=places[2:],
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"image_size": size},
        image_size=size,
        memory_attention_rope_feat_sizes=[size // 16, size // 16],
        memory_attention_num_layers=count_numbers(state, r"memory_attention\.layers\.(\d+)\."),
    )


def load_sam2(state: State, size: int = 1024, like: Size | None = None) -> Any:
    """transformers' `Sam2VideoModel` with these weights.

    Args:
        size: pixels per side: 1024 for Meta's, 512 for MedSAM2.
        like: what weights do not tell; None for the published size with the same widths.

    Raises:
        BadCall: another network, SAM 2.0 among them.
    """
    from transformers import Sam2VideoModel

    own = name_last_downsampling(rename_as_transformers(state))
    if "vision_encoder.backbone.pos_embed" not in own:
        raise BadCall(f"This is no SAM 2.1: it has no hierarchical encoder. Give {FILE}.")
    if "occlusion_spatial_embedding_parameter" not in own:
        raise BadCall(f"This is SAM 2.0, which knows no vector for what is hidden. Give {FILE}.")
    try:
        config = make_config(own, size, like)
    except KeyError as error:
        raise BadCall(f"This is no SAM 2.1 checkpoint: {error} is missing. Give {FILE}.") from None
    return fill(Sam2VideoModel(config), own, FILE)


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The file under transformers' names.

    Raises:
        BadCall: it is something else.
    """
    net = load_sam2(read_checkpoint(files[0]), choose_size(card))
    return {key: value.clone().contiguous() for key, value in net.state_dict().items()}


def load(card: Card, path: Path, how: Running) -> StackPredictor:
    """The network with the user's weights."""
    return StackPredictor(load_sam2(load_file(path), choose_size(card)), card, how.device)


def choose_size(card: Card) -> int:
    """Pixels per side the card's network was taught at."""
    return MEDSAM2_SIZE if card.name == "medsam2" else 1024
