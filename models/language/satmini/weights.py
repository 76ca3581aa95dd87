"""The bundled networks that are asked by words, from their files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from ....imaging.errors import Failed, Unavailable
from ...card import Card
from ...checkpoints import full_precision
from ...inference.decisions import Decisions
from ...inference.preprocess import Preparation
from ...interface import Running
from .engine import Segmenter
from .fixed_classes import ClassesConfig, FixedClasses
from .nested import NestedPredictor, Nesting
from .network import SatMini, SatMiniConfig
from .predictor import SatMiniPredictor
from .queried import QueriedBackbone, QueriedConfig


def load(card: Card, path: Path, how: Running) -> SatMiniPredictor | NestedPredictor:
    """The network, or the two that are nested, ready to encode.

    Raises:
        Unavailable: the coarse one's files do not lie beside the fine one's.
        Failed: they are of another edition than the card was measured with.
    """
    if "nested" not in card.facts:
        return _predictor(card, path, how)
    nesting = Nesting.from_json(card.facts["nested"])
    coarse = path.parent / f"{nesting.coarse}.safetensors"
    try:
        facts = json.loads(coarse.with_suffix(".json").read_text(encoding="utf-8"))
        content = coarse.read_bytes()
    except FileNotFoundError as error:
        raise Unavailable(
            f"'{card.name}' needs '{nesting.coarse}', which is not here. Install the package again."
        ) from error
    if hashlib.sha256(content).hexdigest() != nesting.sha256:
        raise Failed(
            f"'{card.name}' was measured with other weights of '{nesting.coarse}' than those here. Measure it again with "
            "`python -m ostensor.training.segmenting.nested`."
        )
    return NestedPredictor(
        _predictor(replace(card, name=nesting.coarse, facts=facts), coarse, how),
        _predictor(replace(card, facts=card.facts["fine"]), path, how),
        card,
        nesting,
    )


def load_network(card: Card, path: Path) -> Segmenter:
    """The network alone, in full precision."""
    sizes = card.facts["network"]
    net: Segmenter
    if "backbone" not in sizes:
        net = SatMini(SatMiniConfig.from_json(sizes))
    elif "text_dim" in sizes:
        net = QueriedBackbone(QueriedConfig.from_json(sizes))
    else:
        net = FixedClasses(ClassesConfig.from_json(sizes), card.vocabulary)
    net.load_state_dict(full_precision(path))
    return net


def _predictor(card: Card, path: Path, how: Running) -> SatMiniPredictor:
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
