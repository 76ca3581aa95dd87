"""SAM's weights, and those of networks that differ from it in nothing but what they were taught.

Layout: a bare state dict under the original names (Meta's sam_vit_{b,l,h}, MedSAM's medsam_vit_b.pth, ScribblePrompt's SAM), or under those of
transformers. Every size is read from it; other picture sizes (a SAM taught at 256 pixels) are understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...blocks.sam.decoder import DecoderConfig
from ...blocks.sam.sam import Sam, read_configs
from ...blocks.sam.sizes import HEADS, State
from ...blocks.sam.vit import EncoderConfig
from ...card import Card
from ...checkpoints import Tensors, fill, read_checkpoint
from ...interface import Running
from ..colours import ColourHand, Habits
from ..flat import FlatPredictor
from ..places import fit_longest, stretch
from .names import rename_as_original

FILE = "a SAM as its authors or transformers give it"
# Source: facebookresearch/segment-anything, Apache-2.0.
PUBLISHED = {
    "vit_b": EncoderConfig(),
    "vit_l": EncoderConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": EncoderConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}


def load_sam(state: State, heads: int = HEADS) -> Sam:
    """The network with these weights.

    Raises:
        BadCall: another network; a SAM with adapters, in three dimensions, or SAM 2 among them.
    """
    own = rename_as_original(state)
    for word, said in (
        (".Adapter.", "adapters: import it as 'sam-med2d'"),
        ("memory_encoder.", "a memory: import it as 'sam2'"),
    ):
        if any(word in key for key in own):
            raise BadCall(f"This is no plain SAM, it has {said}.")
    first = own.get("image_encoder.patch_embed.proj.weight")
    if first is None or first.dim() != 4:
        raise BadCall(f"This is no SAM of pictures: it has no patches of one. Give {FILE}.")
    try:
        encoder, decoder = read_configs(own, heads)
    except KeyError as error:
        raise BadCall(f"This is no SAM checkpoint: {error} is missing. Give {FILE}.") from None
    with torch.device("meta"):
        net = Sam(encoder, decoder)
    return fill(net, own, FILE)


def build(size: str) -> Sam:
    """A published size, "vit_b", "vit_l" or "vit_h", without weights (on the meta device)."""
    with torch.device("meta"):
        return Sam(PUBLISHED[size], DecoderConfig())


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The file under the original names.

    Raises:
        BadCall: it is something else.
    """
    return {key: value.contiguous() for key, value in load_sam(read_checkpoint(files[0])).state_dict().items()}


def load(card: Card, path: Path, how: Running) -> FlatPredictor:
    """The network with the user's weights and its own habits."""
    net = load_sam(load_file(path)).to(how.device)
    return FlatPredictor(ColourHand(net, choose_habits(card.name, net), how.device), card)


def choose_habits(name: str, net: Sam) -> Habits:
    """How the card's network was taught to be asked."""
    size, tokens = net.encoder.size, net.encoder.grid
    if name == "medsam":  # Source: bowang-lab/MedSAM, Apache-2.0: boxes only, pictures stretched and scaled from 0 to 1
        return Habits(size, tokens, stretch, frozenset({"box"}), values="unit", masks="one")
    if name == "scribbleprompt-sam":  # Source: halleewong/ScribblePrompt, Apache-2.0
        takes = frozenset({"point", "-point", "box", "scribble", "-scribble", "mask"})
        return Habits(size, tokens, stretch, takes, strokes=128, masks="three")
    return Habits(size, tokens, fit_longest, frozenset({"point", "-point", "box", "mask"}))
