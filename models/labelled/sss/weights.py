"""SSS out of the files that a run exports."""

from __future__ import annotations

from pathlib import Path

from ...card import Card
from ...checkpoints import full_precision
from ...interface import Running
from ..slices import SlicePredictor
from .network import SssConfig, SssNet


def load(card: Card, path: Path, how: Running) -> SlicePredictor:
    """The network with its weights, built as the facts beside them say."""
    net = SssNet(SssConfig.from_json(card.facts["network"]))
    net.load_state_dict(full_precision(path))
    return SlicePredictor(net.eval().to(how.device), card, card.vocabulary, how.device)
