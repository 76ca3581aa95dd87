"""From a model's name to a loaded predictor."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..imaging.errors import BadCall, Failed, Unavailable
from .adapting import Adaptation
from .adapting_predictor import AdaptingPredictor
from .card import Card
from .catalogue import WEIGHTS_FOLDER, card
from .decisions import Decisions
from .duplus import load_duplus
from .duplus_loader import TOWER_FOLDER, ClipTextEncoder
from .duplus_predictor import DuplusPredictor
from .engine import Backend, Precision
from .flans import Flans, FlansConfig
from .flans_loader import load_flans
from .importing import ENCODER_FOLDER, TOKENIZER_FOLDER
from .interface import Predictor
from .late_fusion import SatMini, SatMiniConfig
from .lsms import Lsms, LsmsConfig
from .meshnet import MeshNetPredictor, load_meshnet
from .obelisk import ObeliskPredictor, load_obelisk
from .predictor import SatMiniPredictor
from .preprocess import Preparation
from .referring_predictor import ClipReader, ReferringPredictor
from .sat_loader import load_sat, load_text_head, sat_config
from .sat_predictor import SatPredictor
from .sentences import SentenceEncoder
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
            f"The weights of '{name}' are not here. Train them with `ostensor fit {name.removeprefix('sat-mini-').removesuffix('-mini')}`."
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
        if entry.system == "DuPLUS":
            return _duplus(entry, path, device)
        if name == "obelisk":
            return ObeliskPredictor(load_obelisk(load_file(path)), entry)
        if name == "flans":
            return _flans(entry, path, device)
        return _sat(entry, path, device)
    if entry.system in ("FLanS", "LSMS"):
        return _referring(entry, path, device)
    how = Preparation.from_json(entry.facts["preparation"])
    decisions = Decisions.from_json(entry.facts)
    return SatMiniPredictor(
        _sat_mini(entry, path),
        how,
        entry,
        device=device,
        backend=backend,
        precision=precision,
        threads=threads,
        decisions=decisions,
    )


def load_adapting(
    name: str, *, how: Adaptation | None = None, threads: int | None = None, folder: Path = WEIGHTS_FOLDER
) -> AdaptingPredictor:
    """A bundled network that fits itself to every scan; see `load_predictor` for what is refused.

    Raises:
        BadCall: the model is none of the small networks with words.
    """
    twin = load_predictor(name, threads=threads, folder=folder)
    if not isinstance(twin, SatMiniPredictor):
        raise BadCall(f"'{name}' cannot fit itself to a scan. Use a bundled network, such as sat-mini-hippocampus.")
    net = _sat_mini(twin.card, folder / twin.card.weights_file)
    return AdaptingPredictor(net, twin, twin.card.claimed or twin.card.vocabulary, how=how)


def _sat_mini(entry: Card, path: Path) -> SatMini:
    """The small network with its bundled weights."""
    net = SatMini(SatMiniConfig.from_json(entry.facts["network"]))
    net.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    )
    return net


def _duplus(entry: Card, path: Path, device: str) -> Predictor:
    """DuPLUS with the user's checkpoint; config and tokenizer of its text tower lie beside it."""
    state = load_file(path)
    tower = {key.removeprefix("words."): value for key, value in state.items() if key.startswith("words.")}
    net = load_duplus({key.removeprefix("net."): v for key, v in state.items() if key.startswith("net.")})
    encoder = ClipTextEncoder(path.parent / TOWER_FOLDER, state=tower or None)
    words = CachedEncoder(encoder, path.parent / f"vectors-{entry.sha256[:12]}.npz")
    return DuplusPredictor(net, words, entry, device=device)


def _referring(entry: Card, path: Path, device: str) -> Predictor:
    """A small FLanS or LSMS with MiniLM as its language side."""
    net: Flans | Lsms
    if entry.system == "FLanS":
        net = Flans(FlansConfig.from_json(entry.facts["network"]))
    else:
        net = Lsms(LsmsConfig.from_json(entry.facts["network"]))
    net.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()},
        strict=True,
    )
    return ReferringPredictor(net, SentenceEncoder(), entry, size=entry.facts["size"], device=device)


def _flans(entry: Card, path: Path, device: str) -> Predictor:
    """FLanS with the user's weights; the tokenizer of its text tower lies beside them."""
    net = load_flans(load_file(path)).net
    return ReferringPredictor(net, ClipReader(net, path.parent / TOKENIZER_FOLDER), entry, device=device)


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
