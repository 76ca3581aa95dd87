"""Bringing published weights: checked once, converted to safetensors, remembered with their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save

from ..imaging.atomic import write_atomically
from ..imaging.errors import BadCall
from .card import Card
from .catalogue import USER_FOLDER, card, forget_cards
from .checkpoints import read_checkpoint
from .duplus import load_duplus
from .duplus_loader import tower_state
from .flans_loader import cleaned, load_flans
from .meshnet import load_meshnet
from .obelisk import load_obelisk
from .sat_loader import language_model_state, load_sat, load_text_head, read_sat, sat_config

ENCODER_FOLDER = "biolord"  # below the user's weights folder: the text encoder's own files
TOKENIZER_FOLDER = "clip"  # likewise: the tokenizer's files of CLIP ViT-B/16
Tensors = dict[str, torch.Tensor]


def import_weights(name: str, files: Sequence[Path], *, accept_licence: bool, folder: Path = USER_FOLDER) -> Card:
    """Check and convert the authors' files, and answer the completed card.

    Args:
        files: for SAT the segmentation and the text checkpoint, for MeshNet and OBELISK one file.
        accept_licence: the user has read the licence note of the card.

    Raises:
        BadCall: not a model that takes user files, a wrong file, or the licence was not accepted.
    """
    entry = card(name)
    if name not in IMPORTERS:
        raise BadCall(f"'{name}' takes no file of yours. Models that do: {', '.join(IMPORTERS)}.")
    if not accept_licence:
        raise BadCall(
            f"Licence of '{name}': {entry.licence}; use: {entry.purpose}. Call again with --accept-licence if that is right for you."
        )
    content = save(IMPORTERS[name](name, files))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.safetensors", lambda file: file.write(content))
    sources = [file.name for file in files]
    facts = {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "sources": sources}
    beside = json.dumps(facts, indent=1).encode()
    write_atomically(folder / f"{name}.json", lambda file: file.write(beside))
    forget_cards()
    return card(name)


def _sat(name: str, files: Sequence[Path]) -> Tensors:
    if len(files) != 2:
        raise BadCall(f"'{name}' needs two files, the segmentation and the text checkpoint; {len(files)} were given.")
    state = read_sat(files[0])
    load_sat(state, sat_config(state, expected=name))
    text = read_sat(files[1])
    load_text_head(text)
    head = {key: value for key, value in text.items() if key.startswith(("projection_layer.", "modality_embed."))}
    parts = {"segmentation": state, "text": head, "words": language_model_state(text)}
    return {f"{part}.{key}": value.contiguous() for part, tensors in parts.items() for key, value in tensors.items()}


def _meshnet(name: str, files: Sequence[Path]) -> Tensors:
    if len(files) != 1:
        raise BadCall(f"'{name}' needs one file, its model.pth; {len(files)} were given.")
    net = load_meshnet(read_checkpoint(files[0]))
    return {key: value.contiguous() for key, value in net.state_dict().items()}


def _duplus(name: str, files: Sequence[Path]) -> Tensors:
    if len(files) != 1:
        raise BadCall(f"'{name}' needs one file, its checkpoint; {len(files)} were given.")
    state = read_checkpoint(files[0])
    net = load_duplus(state).state_dict()
    parts: dict[str, Mapping[str, torch.Tensor]] = {"net": net, "words": tower_state(state)}
    return {f"{part}.{key}": value.contiguous() for part, tensors in parts.items() for key, value in tensors.items()}


def _obelisk(name: str, files: Sequence[Path]) -> Tensors:
    if len(files) != 1:
        raise BadCall(f"'{name}' needs one file, e.g. obeliskhybrid_tcia_fold1.pth; {len(files)} were given.")
    net = load_obelisk(read_checkpoint(files[0]))
    return {key: value.contiguous() for key, value in net.state_dict().items()}


def _flans(name: str, files: Sequence[Path]) -> Tensors:
    if len(files) != 1:
        raise BadCall(f"'{name}' needs one file, its checkpoint; {len(files)} were given.")
    net = load_flans(cleaned(read_checkpoint(files[0]))).net
    return {key: value.contiguous() for key, value in net.state_dict().items()}


IMPORTERS: Mapping[str, Callable[[str, Sequence[Path]], Tensors]] = {
    "sat-nano": _sat,
    "sat-pro": _sat,
    "meshnet": _meshnet,
    "duplus": _duplus,
    "obelisk": _obelisk,
    "flans": _flans,
}
