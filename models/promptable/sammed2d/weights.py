"""The authors' SAM-Med2D: its layout understood, everything else refused.

Layout: a dict whose "model" holds a SAM under the original names, with `image_encoder.blocks.N.Adapter.{norm,channel,spatial}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...blocks.sam.sam import Given, Sam, read_configs
from ...blocks.sam.sizes import HEADS, State
from ...card import Card
from ...checkpoints import Tensors, fill, read_checkpoint
from ...interface import Running
from ...parity import Fixture
from ..colours import ColourHand, Habits
from ..flat import FlatPredictor
from ..places import centre_or_stretch
from .network import build

FILE = "the authors' sam-med2d_b.pth"


def load_sammed2d(state: State, heads: int = HEADS) -> Sam:
    """The network with these weights.

    Raises:
        BadCall: another network, a SAM without adapters among them.
    """
    own = {key.replace(".Adapter.", ".beside."): value for key, value in state.items() if not key.startswith("pixel_")}
    gate = own.get("image_encoder.blocks.0.beside.channel.0.weight")
    if gate is None:
        raise BadCall(
            f"This is no SAM-Med2D: its blocks have no adapters. Give {FILE}, or import a plain SAM as 'sam'."
        )
    try:
        encoder, decoder = read_configs(own, heads)
    except KeyError as error:
        raise BadCall(f"This is no SAM-Med2D checkpoint: {error} is missing. Give {FILE}.") from None
    with torch.device("meta"):
        net = build(encoder, decoder, gate.shape[0])
    return fill(net, own, FILE)


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file under our names.

    Raises:
        BadCall: it is something else.
    """
    return load_sammed2d(read_checkpoint(files[0])).state_dict()


def load(card: Card, path: Path, how: Running) -> FlatPredictor:
    """The network with the user's weights."""
    net = load_sammed2d(load_file(path)).to(how.device)
    return FlatPredictor(ColourHand(net, choose_habits(net), how.device), card)


def choose_habits(net: Sam) -> Habits:
    """Padded where both sides are smaller than its square, else stretched by nearest; the last mask comes back as probabilities."""
    takes = frozenset({"point", "-point", "box", "mask"})
    size, tokens = net.encoder.size, net.encoder.grid
    return Habits(size, tokens, centre_or_stretch, takes, nearest=True, feedback="probabilities")


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: points, then all prompts, then boxes."""
    net, given = load_sammed2d(fixture.state(), fixture.sizes.get("decoder_num_heads", HEADS)), fixture.inputs
    points, labels, boxes = given["points"], given["labels"], given["boxes"]
    found: Tensors = {}
    with torch.no_grad():
        embedding = net.encode(given["image"])
        calls = {
            "points": (Given(points, labels), True),
            "all": (Given(points, labels, boxes, given["mask_input"]), False),
            "box": (Given(boxes=boxes), True),
        }
        for name, (prompts, ambiguous) in calls.items():
            found[f"low_res_{name}"], found[f"iou_{name}"] = net.decode(embedding, prompts, ambiguous=ambiguous)
        shape = fixture.outputs["masks_points"].shape[2:]
        whole = F.interpolate(found["low_res_points"][:1], size=given["image"].shape[2:], mode="bilinear")
        found["masks_points"] = F.interpolate(whole, size=shape, mode="bilinear")
        x = net.image_encoder.tokens(given["image"])
        found["block0"] = net.image_encoder.blocks[0](x)
    return found | {"embedding": embedding}
