"""The bundled LSMS, from its file."""

from __future__ import annotations

from pathlib import Path

from ...card import Card
from ...checkpoints import full_precision
from ...interface import Running
from ...text.sentences import SentenceEncoder
from ..referring.predictor import ReferringPredictor
from .network import Lsms, LsmsConfig
from .predictor import LsmsPointer


def load(card: Card, path: Path, how: Running) -> ReferringPredictor:
    """The network with MiniLM as its language side."""
    net = Lsms(LsmsConfig.from_json(card.facts["network"]))
    net.load_state_dict(full_precision(path))
    return ReferringPredictor(LsmsPointer(net, card.facts["size"], device=how.device), SentenceEncoder(), card)
