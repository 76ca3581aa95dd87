"""The authors' SAM-Med3D: its layout understood, everything else refused.

Layout: a dict whose "model_state_dict" holds a SAM in three dimensions under the original names, beside the arguments of the training
run, which are no tensors (`checkpoints.read_checkpoint` reads the file without running anything).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...blocks.sam.sam import Given, Sam, read_configs
from ...blocks.sam.sizes import HEADS, State
from ...card import Card
from ...checkpoints import Tensors, fill, read_checkpoint
from ...interface import Running
from ...parity import Fixture
from ..deep import DeepPredictor
from .hand import MedHand

FILE = "the authors' sam_med3d_turbo.pth"


def load_sammed3d(state: State, heads: int = HEADS, *, mode: Literal["released", "described"] = "released") -> Sam:
    """The network with these weights.

    Args:
        mode: "released" adds relative positions at the axes the authors' code adds them at, for which their weights were taught;
            "described" at their own, for weights taught here.

    Raises:
        BadCall: another network, a SAM of pictures among them.
    """
    first = state.get("image_encoder.patch_embed.proj.weight")
    if first is None or first.dim() != 5:
        raise BadCall(f"This is no SAM-Med3D: its patches are no cubes. Give {FILE}.")
    try:
        encoder, decoder = read_configs(state, heads)
    except KeyError as error:
        raise BadCall(f"This is no SAM-Med3D checkpoint: {error} is missing. Give {FILE}.") from None
    with torch.device("meta"):
        net = Sam(replace(encoder, crossed=mode == "released"), decoder)
    return fill(net, state, FILE)


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file as it is, once every weight was checked.

    Raises:
        BadCall: it is something else.
    """
    return load_sammed3d(read_checkpoint(files[0])).state_dict()


def load(card: Card, path: Path, how: Running) -> DeepPredictor:
    """The network with the user's weights."""
    return DeepPredictor(MedHand(load_sammed3d(load_file(path)), how.device), card)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: after an empty mask, after a given one, without any."""
    net, given = load_sammed3d(fixture.state(), fixture.sizes.get("decoder_num_heads", HEADS)), fixture.inputs
    points, labels, mask = given["points"], given["labels"], given["low_res_mask"]
    with torch.no_grad():
        embedding = net.encode(given["image"])
        found: Tensors = {
            "embedding": embedding,
            "dense_pe": net.prompt_encoder.pe_layer.of_grid(net.encoder.grid),
            "sparse": net.prompt_encoder.points(points, labels, with_box=False),
        }
        for name, last, ambiguous in (
            ("zero_mask", torch.zeros_like(mask), False),
            ("with_mask", mask, True),
            ("no_mask", None, False),
        ):
            logits, iou = net.decode(embedding, Given(points, labels, mask=last), ambiguous=ambiguous)
            found[f"low_res_{name}"], found[f"iou_{name}"] = logits, iou
    return found
