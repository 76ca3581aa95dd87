"""A 3DSAM-adapter of the authors' code: its layout understood, everything else refused.

Layout: a dict with `encoder_dict`, `decoder_dict` and `feature_dict`; the last is a list of the state dicts of four prompt modules, of which
only the fourth runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from ....imaging.errors import BadCall
from ...blocks.sam.sizes import HEADS, select_part
from ...card import Card
from ...checkpoints import Tensors, count_numbers, fill, read_parts
from ...interface import Running
from ...parity import Fixture
from ..deep import DeepPredictor
from .encoder import read_sizes
from .hand import AdapterHand
from .network import Adapter3d, Adapter3dConfig

FILE = "a file of med-air/3DSAM-adapter as downloaded"


def load_adapter3d(state: Mapping[str, torch.Tensor], heads: int = HEADS) -> Adapter3d:
    """The network with these weights, named `encoder.`, `feature.` (the fourth prompt module) and `decoder.`.

    Raises:
        BadCall: another network.
    """
    prompts = select_part(state, "feature.")
    try:
        config = Adapter3dConfig(
            encoder=read_sizes(select_part(state, "encoder.")),
            heads=heads,
            hidden=prompts["transformer.layers.0.mlp.lin1.weight"].shape[0],
            depth=count_numbers(prompts, r"transformer\.layers\.(\d+)\."),
            queries=prompts["transformer.layers.0.global_query"].shape[1],
            inner=state["decoder.cls.0.weight"].shape[0],
            classes=state["decoder.cls.3.weight"].shape[0],
        )
    except KeyError as error:
        raise BadCall(f"This is no 3DSAM-adapter: {error} is missing. Give {FILE}.") from None
    with torch.device("meta"):
        net = Adapter3d(config)
    return fill(net, state, FILE)


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file as one state dict; the three prompt modules that never run are set aside.

    Raises:
        BadCall: it is something else.
    """
    parts = read_parts(files[0])
    modules = parts.get("feature_dict")
    if not isinstance(modules, list) or not modules or not {"encoder_dict", "decoder_dict"} <= set(parts):
        raise BadCall(f"'{files[0].name}' does not hold encoder_dict, feature_dict and decoder_dict. Give {FILE}.")
    named = (("encoder.", parts["encoder_dict"]), ("feature.", modules[-1]), ("decoder.", parts["decoder_dict"]))
    state = {f"{prefix}{key.removeprefix('module.')}": value for prefix, part in named for key, value in part.items()}
    return {key: value.contiguous() for key, value in load_adapter3d(state).state_dict().items()}


def load(card: Card, path: Path, how: Running) -> DeepPredictor:
    """The network with the user's weights."""
    return DeepPredictor(AdapterHand(load_adapter3d(load_file(path)), how.device), card)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    net, given = load_adapter3d(fixture.state(), fixture.sizes.get("prompt_num_heads", HEADS)), fixture.inputs
    with torch.no_grad():
        seen = net.encode(given["image"])
        prompted = net.clicked(seen, given["points"])
        return {
            "logits": net.decode(seen, given["points"]),
            "prompted_sum": prompted.sum(1),
            "features_1": seen.features[0],
            "features_4": seen.features[3],
            "prompted": prompted,
        }
