"""The bundled networks that are asked by words, from their files."""

from __future__ import annotations

from pathlib import Path

from ...card import Card
from ...checkpoints import full_precision
from ...inference.decisions import Decisions
from ...inference.preprocess import Preparation
from ...interface import Running
from .network import SatMini, SatMiniConfig
from .predictor import SatMiniPredictor


def load(card: Card, path: Path, how: Running) -> SatMiniPredictor:
    """The network, ready to encode."""
    return SatMiniPredictor(
        load_network(card, path),
        Preparation.from_json(card.facts["preparation"]),
        card,
        device=how.device,
        backend=how.backend,
        precision=how.precision,
        threads=how.threads,
        decisions=Decisions.from_json(card.facts),
    )


def load_network(card: Card, path: Path) -> SatMini:
    """The network alone, in full precision."""
    net = SatMini(SatMiniConfig.from_json(card.facts["network"]))
    net.load_state_dict(full_precision(path))
    return net
