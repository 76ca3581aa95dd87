"""DD-SAM2's adapters with weights of the authors' code; none are published."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ....imaging.errors import BadCall
from ...blocks.sam.sizes import State, select_part
from ...checkpoints import Tensors, fill
from ...parity import Fixture
from .adapters import ChainedDilatedAdapter, DilatedAdapter

FILE = "adapters that the code of apple1986/DD-SAM2 saved"


def load_adapter(state: State, rates: Sequence[int] | None = None) -> DilatedAdapter | ChainedDilatedAdapter:
    """One adapter, of the paper's kind or of the chained one; its weights tell which.

    Args:
        rates: dilations, which the weights do not tell; None for the released ones.

    Raises:
        BadCall: it is something else, or has another number of rates.
    """
    first = state.get("pw1.0.weight")
    if first is None:
        raise BadCall(f"This is no adapter of DD-SAM2: 'pw1.0.weight' is missing. Give {FILE}.")
    chained = any(key.startswith("blk.") for key in state)
    wanted = tuple(rates or ((1, 3, 5) if chained else (1, 3)))
    if not chained and len(wanted) != 2:
        raise BadCall(f"The adapter of the paper has two dilations, not {len(wanted)}. Give two.")
    with torch.device("meta"):
        net: DilatedAdapter | ChainedDilatedAdapter
        if chained:
            net = ChainedDilatedAdapter(first.shape[1], wanted)
        else:
            net = DilatedAdapter(first.shape[1], (wanted[0], wanted[1]))
    return fill(net, state, FILE)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: both kinds on the same tokens."""
    state, tokens = fixture.state(), fixture.inputs["tokens"]
    plain = load_adapter(select_part(state, "dd."), fixture.sizes.get("dilation_rate"))
    chained = load_adapter(select_part(state, "other."), fixture.sizes.get("other_dilation_rate"))
    with torch.no_grad():
        pw1 = plain.pw1(tokens.movedim(-1, 1))
        return {"correction": plain(tokens), "correction_other_rate": chained(tokens), "pw1": pw1}
