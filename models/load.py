"""From a model's name to a loaded predictor."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..imaging.errors import Failed, Unavailable
from .card import Card
from .catalogue import WEIGHTS_FOLDER, card
from .decisions import Decisions
from .engine import Backend, Precision
from .importing import ENCODER_FOLDER
from .interface import Predictor
from .late_fusion import SatMini, SatMiniConfig
from .meshnet import MeshNetPredictor, load_meshnet
from .obelisk import ObeliskPredictor, load_obelisk
from .predictor import SatMiniPredictor
from .preprocess import Preparation
from .sat_loader import load_sat, load_text_head, sat_config
from .sat_predictor import SatPredictor
from .text import CachedEncoder, TransformerEncoder


def load_predictor(
    name: str,
    *,
    device: str = "cpu",
    threads: int | None = None,
    backend: Backend = "auto",
    precision: Precision = "auto",
    folder: Path = WEIGHTS_FOLDER,
) -> Predictor:
    """The model, ready to encode.

    Raises:
        BadCall: no such model, or an unknown device.
        Unavailable: its weights are not here; the message says how to get them.
        Failed: the weights file is not the one the catalogue means.
    """
    entry = card(name, folder=folder)
    if entry.weights == "none":
        raise Unavailable(
            f"The weights of '{name}' are not here. Train them with `ostensor fit {name.removeprefix('sat-mini-')}`."
        )
    if not entry.is_ready:
        raise Unavailable(
            f"'{name}' needs its published weights. Get them from its authors, then `ostensor models import {name}`."
        )
    path = folder / entry.weights_file
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
        raise Failed(
            f"The weights file '{path.name}' is damaged: its sha256 is not the catalogue's. Install the package again."
        )
    if entry.weights == "user-file":
        if name == "meshnet":
            return MeshNetPredictor(load_meshnet(load_file(path)), entry)
        if name == "obelisk":
            return ObeliskPredictor(load_obelisk(load_file(path)), entry)
        return _sat(entry, path, device)
    net = SatMini(SatMiniConfig.from_json(entry.facts["network"]))
    net.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    )
    how = Preparation.from_json(entry.facts["preparation"])
    decisions = Decisions.from_json(entry.facts)
    return SatMiniPredictor(
        net, how, entry, device=device, backend=backend, precision=precision, threads=threads, decisions=decisions
    )


def _sat(entry: Card, path: Path, device: str) -> Predictor:
    """SAT with the user's weights; its language model lies beside them."""
    state = load_file(path)
    parts: dict[str, dict[str, torch.Tensor]] = {"segmentation": {}, "text": {}, "words": {}}
    for key, value in state.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    net = load_sat(parts["segmentation"], sat_config(parts["segmentation"], expected=entry.name))
    encoder = TransformerEncoder(path.parent / ENCODER_FOLDER, state=parts["words"])
    words = CachedEncoder(encoder, path.parent / f"vectors-{entry.sha256[:12]}.npz")
    return SatPredictor(net, load_text_head(parts["text"]), words, entry, device=device)
