"""From a model's name to a loaded predictor."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..imaging.errors import BadCall, Failed, Unavailable
from .card import Card
from .catalogue import WEIGHTS_FOLDER, card
from .interface import Backend, Precision, Predictor, Running
from .systems import system_of


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
    if entry.task in ("synthesize", "translate"):
        raise BadCall(f"'{name}' makes images; it does not segment. Call list_models(task='segment').")
    found: Predictor = load_card(entry, Running(device, threads, backend, precision), folder)
    return found


def load_card(entry: Card, how: Running, folder: Path = WEIGHTS_FOLDER) -> Any:
    """What a card stands for, whatever its task; its `engine` names what runs it. Refusals as of `load_predictor`."""
    return system_of(entry).code().load(entry, checked_file(entry, folder), how)


def checked_file(entry: Card, folder: Path = WEIGHTS_FOLDER) -> Path:
    """The weights file of a card, its content compared with the hash.

    Raises:
        Unavailable: it is not here.
        Failed: it is another one.
    """
    if entry.weights == "none":
        config = entry.name.removeprefix("sat-mini-").removesuffix("-mini")
        raise Unavailable(f"The weights of '{entry.name}' are not here. Train them with `ostensor fit {config}`.")
    if entry.weights == "engine":  # its many files are compared where it is loaded
        return Path(entry.weights_file)
    if not entry.is_ready:
        raise Unavailable(
            f"'{entry.name}' needs its published weights. Get them from its authors, then "
            f"`ostensor models import {entry.name}`."
        )
    path = folder / entry.weights_file
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
        raise Failed(
            f"The weights file '{path.name}' is damaged: its sha256 is not the catalogue's. Install the package again."
        )
    return path
