"""From a model's name to a loaded predictor."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..imaging.errors import Failed, Unavailable
from .catalogue import WEIGHTS_FOLDER, card
from .engine import Backend, Precision
from .interface import Predictor
from .late_fusion import SatMini, SatMiniConfig
from .predictor import SatMiniPredictor
from .preprocess import Preparation


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
    if entry.weights != "bundled":
        raise Unavailable(
            f"'{name}' needs its published weights. Get them from its authors, then `ostensor models import {name} FILE`."
        )
    path = folder / entry.weights_file
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
        raise Failed(
            f"The weights file '{path.name}' is damaged: its sha256 is not the catalogue's. Install the package again."
        )
    net = SatMini(SatMiniConfig.from_json(entry.facts["network"]))
    net.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    )
    torch.set_grad_enabled(False)
    how = Preparation.from_json(entry.facts["preparation"])
    return SatMiniPredictor(net, how, entry, device=device, backend=backend, precision=precision, threads=threads)
