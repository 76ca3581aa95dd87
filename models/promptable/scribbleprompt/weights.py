"""The authors' ScribblePrompt-UNet: its layout understood, everything else refused.

Layout: a bare state dict, `downs.N.conv.{0,1}`, `bottleneck.conv.{0,1}`, `ups.M.conv.{0,1}` with odd M (the even ones only
double the resolution), `final_conv.conv.0`. Every size is read from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...card import Card
from ...checkpoints import Tensors, fill, full_precision, read_checkpoint
from ...inference.hardware import has_fast_bf16
from ...interface import Running
from ...parity import Fixture
from ..deep import DeepPredictor
from ..flat import FlatPredictor
from .cube import CubeHand
from .guides import GUIDES
from .hand import ScribbleHand
from .network import CHANNELS, Drawn, ScribbleConfig, ScribbleUnet, channels_of, rescaled
from .zoom import ZoomHand

SIDE = 128  # pixels the authors' network was taught at
FILE = "the authors' ScribblePrompt_unet_v1_nf192_res128.pt"


def load_scribble(state: Mapping[str, torch.Tensor]) -> ScribbleUnet:
    """The network with these weights.

    Raises:
        BadCall: another network.
    """
    levels = sorted({int(found[1]) for key in state if (found := re.fullmatch(r"downs\.(\d+)\.conv\.0\.weight", key))})
    first = state.get("downs.0.conv.0.weight")
    if first is None or first.dim() not in (4, 5) or levels != list(range(len(levels))):
        raise BadCall(f"This is no ScribblePrompt-UNet: there is no first level 'downs.0'. Give {FILE}.")
    guided = first.shape[1] == CHANNELS + GUIDES
    if first.shape[1] != CHANNELS and not guided:
        raise BadCall(f"This network takes {first.shape[1]} channels and ScribblePrompt {CHANNELS}. Give {FILE}.")
    widths = tuple(state[f"downs.{level}.conv.0.weight"].shape[0] for level in levels)
    with torch.device("meta"):
        net = ScribbleUnet(ScribbleConfig(widths, first.dim() - 2, guided))
    return fill(net, state, FILE)


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file as it is, once every weight was checked.

    Raises:
        BadCall: it is something else.
    """
    net = load_scribble(read_checkpoint(files[0]))
    if net.config.guided:
        raise BadCall(f"This network takes {net.config.channels} channels and ScribblePrompt {CHANNELS}. Give {FILE}.")
    return net.state_dict()


def load(card: Card, path: Path, how: Running) -> FlatPredictor | DeepPredictor:
    """The network with the user's weights, or one taught here."""
    if how.threads is not None:
        torch.set_num_threads(how.threads)
    if card.weights == "bundled":
        net, size = load_scribble(full_precision(path)), int(card.facts["size"])
        if net.config.dims == 3:
            fast = how.precision == "auto" and has_fast_bf16(torch.device(how.device))
            bf16 = fast or how.precision == "bf16"  # it was taught so
            found = DeepPredictor(CubeHand(net, size, how.device, bf16=bf16), card)
            found.engine = f"torch {how.device} {'bf16' if bf16 else 'fp32'}"
            return found
        return FlatPredictor(ZoomHand(net, size, how.device), card)
    return FlatPredictor(ScribbleHand(load_scribble(load_file(path)), SIDE, how.device), card)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    net, given = load_scribble(fixture.state()), fixture.inputs
    image, drawn = given["image"], _drawn(given)
    raw, moved = rescaled(given["raw_image"], _drawn(given, "raw_"), (SIDE, SIDE))
    with torch.no_grad():
        prepared, small = channels_of(image, drawn), channels_of(raw, moved)
        found = {
            "logits": net(prepared),
            "logits_image_only": net(channels_of(image, Drawn())),
            "logits_rescaled128": net(small),
            "prepared_input": prepared,
            "rescaled_prepared_input": small,
        }
    if moved.points is not None and moved.boxes is not None:
        found["rescaled_point_coords"] = moved.points.flip(-1)
        found["rescaled_box"] = moved.boxes.flip(-1).flatten(2)
    return found


def _drawn(given: Mapping[str, torch.Tensor], start: str = "") -> Drawn:
    """Marks of a fixture, whose places are column, row."""
    box = given.get(f"{start}box")
    points = given.get(f"{start}point_coords")
    return Drawn(
        None if points is None else points.flip(-1),
        given.get(f"{start}point_labels"),
        None if box is None else box.unflatten(-1, (2, -1)).flip(-1),
        given.get(f"{start}scribbles"),
        given.get(f"{start}mask_input"),
    )
