"""Weights of FairDomain's fair identity attention for our block, `models/blocks/identity.py`, and a fixture of the official code."""

from __future__ import annotations

import torch

from ....models.backbones.official import count, load, read_width, rename
from ....models.blocks.identity import IdentityAttention
from ....models.checkpoints import Tensors
from ....models.parity import Fixture

FILE = "a state dict of FairDomain's fair identity attention"


def convert(state: Tensors) -> Tensors:
    """Weights of the authors' class under our names.

    Raises:
        BadCall: a key of something else.
    """
    layer = r"layers\.encoder_layer_(\d+)\."
    renamed = rename(
        state,
        (
            (r"condition_embedding\.weight", "attribute.weight"),
            ("pos_embedding", "place"),
            ("pos_embedding_c", "place_asking"),
            (layer + r"ln_c\.(.+)", r"layers.\1.norm_asked.\2"),
            (layer + r"ln_1\.(.+)", r"layers.\1.norm.\2"),
            (layer + r"ln_2\.(.+)", r"layers.\1.norm_mlp.\2"),
            (layer + r"self_attention\.in_proj_(weight|bias)", r"layers.\1.in_proj.\2"),
            (layer + r"self_attention\.out_proj\.(.+)", r"layers.\1.out.\2"),
            (layer + r"mlp\.0\.(.+)", r"layers.\1.mlp.0.\2"),
            (layer + r"mlp\.3\.(.+)", r"layers.\1.mlp.2.\2"),
            (r"ln\.(.+)", r"norm.\1"),
        ),
        FILE,
    )
    found: Tensors = {}
    for key, value in renamed.items():
        if ".in_proj." in key:
            width = len(value) // 3
            found[key.replace("in_proj", "q")], found[key.replace("in_proj", "kv")] = value[:width], value[width:]
        else:
            found[key] = value
    return found


def load_identity(state: Tensors, heads: int) -> IdentityAttention:
    """The block with converted weights; it has no id for the unknown, as the authors' has none.

    Raises:
        BadCall: keys are missing or unexpected, or shapes differ.
    """
    depth = count(state, r"layers\.(\d+)\.")
    with torch.device("meta"):
        block = IdentityAttention(
            read_width(state, "place", 1, FILE),
            read_width(state, "place", 2, FILE),
            heads,
            hidden=read_width(state, "layers.0.mlp.0.weight", 0, FILE),
            attributes=read_width(state, "attribute.weight", 0, FILE),
            depth=depth,
            unknown=0.0,
        )
    return load(block, state, FILE)


def reproduce(fixture: Fixture) -> Tensors:
    """Our features."""
    block = load_identity(convert(fixture.state()), int(fixture.sizes["num_heads"]))
    given = fixture.inputs
    with torch.no_grad():
        return {"features": block(given["features"], given["attribute"].long())}
